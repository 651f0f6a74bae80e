// SPDX-License-Identifier: Apache-2.0
// The option table and its parser.
#include "tools/keelctl/option.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(struct options, member)

const struct option_row option_rows[] = {
    {"node", 'n', "URL", OPTION_TEXT, AT(node), true, "the node: https://HOST[:PORT]"},
    {"secret", 's', "FILE", OPTION_TEXT, AT(secret_file), true,
     "file with the administrator secret; - reads it from standard input"},
    {"fingerprint", 0, "SHA256", OPTION_TEXT, AT(fingerprint), true, "trust exactly this certificate"},
    {"cacert", 0, "FILE", OPTION_TEXT, AT(cacert), true, "trust certificates of this authority"},
    {"insecure", 0, NULL, OPTION_FLAG, AT(insecure), true,
     "trust anyone (never send a real secret this way)"},
    {"accept-new", 0, NULL, OPTION_FLAG, AT(accept_new), true, "remember an unknown node without asking"},
    {"output", 'o', "FORM", OPTION_OUTPUT, AT(output), true, "human (default), json, or name"},
    {"quiet", 'q', NULL, OPTION_FLAG, AT(quiet), true, "no progress, no confirmations"},
    {"help", 'h', NULL, OPTION_HELP, 0, true, "explain"},
    {"version", 0, NULL, OPTION_VERSION, 0, true, "print keelctl's version"},
    {"file", 'f', "FILE", OPTION_TEXT, AT(file), false, "the system's HCS document; - reads standard input"},
    {"memory", 'm', "MB", OPTION_TEXT, AT(memory), false, "memory of the system"},
    {"cpus", 'c', "N", OPTION_TEXT, AT(cpus), false, "processors of the system (1)"},
    {"kernel", 'k', "IMAGE", OPTION_TEXT, AT(kernel), false, "image with a Linux kernel"},
    {"initrd", 'i', "IMAGE", OPTION_TEXT, AT(initrd), false,
     "image with its initial RAM disk; NAME ARGUMENTS,NAME... for modules"},
    {"cmdline", 0, "TEXT", OPTION_TEXT, AT(cmdline), false, "the kernel's command line (console=ttyS0)"},
    {"nic", 0, "ENDPOINT", OPTION_TEXT, AT(nic), false,
     "a network adapter on this endpoint, or on \"default\""},
    {"disk", 'd', "A,B:ro", OPTION_TEXT, AT(disk), false, "disks of the system, in order; :ro: read-only"},
    {"hostname", 0, "NAME", OPTION_TEXT, AT(hostname), false, "host name that a cloud image takes"},
    {"user", 0, "NAME", OPTION_TEXT, AT(user), false, "name of its user (the image's own)"},
    {"ssh-key", 0, "FILE|KEY", OPTION_TEXT, AT(ssh_key), false, "public keys that may log in as that user"},
    {"address", 0, "A.B.C.D/N", OPTION_TEXT, AT(address), false, "address of the adapter (by DHCP)"},
    {"gateway", 0, "A.B.C.D", OPTION_TEXT, AT(gateway), false, "default gateway for --address"},
    {"dns", 0, "A,B", OPTION_TEXT, AT(dns), false, "addresses of name servers"},
    {"user-data", 0, "FILE", OPTION_TEXT, AT(user_data), false, "cloud-init's file user-data as it is"},
    {"meta-data", 0, "FILE", OPTION_TEXT, AT(meta_data), false, "meta-data as it is"},
    {"network-config", 0, "FILE", OPTION_TEXT, AT(network_config), false, "network-config as it is"},
    {"size", 0, "BYTES", OPTION_TEXT, AT(size), false, "size of the disk; K, M, G and T are understood"},
    {"image", 0, "IMAGE", OPTION_TEXT, AT(image), false, "the image that the disk begins as"},
    {"snapshot", 0, "NAME", OPTION_TEXT, AT(snapshot), false, "the snapshot that the disk begins as"},
    {"raw", 0, NULL, OPTION_FLAG, AT(raw), false, "send a qcow2, VHD or VHDX file as it is"},
    {"owner", 0, "NAME", OPTION_TEXT, AT(owner), false, "owner of the system (keelctl)"},
    {"start", 0, NULL, OPTION_FLAG, AT(start), false, "start it as well"},
    {"console", 0, NULL, OPTION_FLAG, AT(console), false, "start it and attach to its console"},
    {"types", 0, "A,B", OPTION_TEXT, AT(types), false, "Memory, Statistics, TerminateOnLastHandleClosed"},
    {"port", 'p', "N", OPTION_TEXT, AT(port), false, "COM port 0 or 1, virtio console 2 (0)"},
    {"from", 0, "NUMBER", OPTION_TEXT, AT(from), false, "sequence number to begin with (the oldest kept)"},
    {"new", 0, NULL, OPTION_FLAG, AT(fresh), false, "leave out what was said before"},
    {"idle", 0, "SECONDS", OPTION_TEXT, AT(idle), false,
     "after the end of input, leave when silent for so long"},
    {"follow", 0, NULL, OPTION_FLAG, AT(follow), false, "go on with what happens next"},
    {"no-wait", 0, NULL, OPTION_FLAG, AT(no_wait), false, "do not wait for the operation's end"},
    {"timeout", 't', "SECONDS", OPTION_TEXT, AT(timeout), false, "how long to wait"},
    {"switch", 0, "NAME", OPTION_TEXT, AT(on_switch), false, "the endpoint's switch (default)"},
    {"mac", 0, "MAC", OPTION_TEXT, AT(mac), false, "the station's address, such as 02-00-00-12-34-56"},
    {"vlan", 0, "N", OPTION_TEXT, AT(vlan), false, "VLAN of frames without a tag (0: none)"},
    {"tagged", 0, "LIST", OPTION_TEXT, AT(tagged), false, "VLANs that go with tags, such as 5,10-20"},
    {"rate", 0, "BYTES", OPTION_TEXT, AT(rate), false, "bytes a second that may be sent (0: any)"},
    {"allow-spoofing", 0, NULL, OPTION_FLAG, AT(allow_spoofing), false, "any source address may be used"},
    {"force", 0, NULL, OPTION_FLAG, AT(force), false, "even though something runs"},
    {0},
};
const size_t option_count = sizeof option_rows / sizeof option_rows[0] - 1;
_Static_assert(sizeof option_rows / sizeof option_rows[0] <= OPTIONS_MAX, "OPTIONS_MAX");

// --- commands ---

const struct command *command_find(const char *noun, const char *verb)
{
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (strcmp(cmd->noun, noun) == 0 && strcmp(cmd->verb, verb) == 0) {
            return cmd;
        }
    }
    // `terminate` is what HCS calls it.
    return strcmp(noun, "system") == 0 && strcmp(verb, "terminate") == 0 ? command_find("system", "stop")
                                                                         : NULL;
}

bool noun_known(const char *noun)
{
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (strcmp(cmd->noun, noun) == 0) {
            return true;
        }
    }
    return false;
}

bool option_accepted(const struct command *cmd, const char *name)
{
    size_t length = strlen(name);

    for (const char *p = cmd->accepts; *p != '\0'; p += strspn(p, " ")) {
        size_t word = strcspn(p, " ");

        if (word == length && strncmp(p, name, length) == 0) {
            return true;
        }
        p += word;
    }
    return false;
}

bool option_check(const struct parsed *p, const struct command *cmd)
{
    for (size_t i = 0; i < option_count; i++) {
        if (p->given[i] && !option_rows[i].common && !option_accepted(cmd, option_rows[i].name)) {
            complain("`%s %s` does not take --%s", cmd->noun, cmd->verb, option_rows[i].name);
            return false;
        }
    }
    return true;
}

// --- parsing ---

static bool parse_output(const char *text, enum output *out)
{
    static const char *const names[] = {
        [OUTPUT_HUMAN] = "human", [OUTPUT_JSON] = "json", [OUTPUT_NAME] = "name"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum output)i;
            return true;
        }
    }
    complain("--output: '%s' is none of human, json, name", text);
    return false;
}

static bool store(const struct option_row *row, struct options *o, struct parsed *p, char *argument)
{
    char *place = (char *)o + row->offset;

    switch (row->type) {
    case OPTION_TEXT:
        *(const char **)place = argument;
        break;
    case OPTION_FLAG:
        *(bool *)place = true;
        break;
    case OPTION_OUTPUT:
        return parse_output(argument, &o->output);
    case OPTION_HELP:
        p->help = true;
        break;
    case OPTION_VERSION:
        p->version = true;
        break;
    }
    return true;
}

static const struct option_row *row_of_letter(int letter)
{
    for (const struct option_row *row = option_rows; row->name != NULL; row++) {
        if (row->letter != 0 && row->letter == letter) {
            return row;
        }
    }
    return NULL;
}

bool option_parse(int argc, char **argv, struct options *o, struct parsed *p)
{
    struct option longs[OPTIONS_MAX] = {0};
    char shorts[3 * OPTIONS_MAX] = "", *s = shorts;
    int found, index = -1;

    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_rows[i];

        longs[i] = (struct option){row->name, row->argument != NULL, NULL, 1000 + (int)i};
        if (row->letter != 0) {
            s += sprintf(s, "%c%s", row->letter, row->argument != NULL ? ":" : "");
        }
    }
    while ((found = getopt_long(argc, argv, shorts, longs, &index)) != -1) {
        const struct option_row *row = found >= 1000 ? &option_rows[found - 1000] : row_of_letter(found);

        if (row == NULL) {
            fprintf(stderr, "`keelctl --help` lists the options.\n");
            return false;
        }
        p->given[row - option_rows] = true;
        if (!store(row, o, p, optarg)) {
            return false;
        }
    }
    return true;
}
