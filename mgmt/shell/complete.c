// SPDX-License-Identifier: Apache-2.0
// Completion of commands, options and names.
#include <stdio.h>
#include <string.h>

#include "mgmt/block/disks.h"
#include "mgmt/shell/command.h"

// What fits the word so far: counted, and their common beginning.
struct fits {
    const char *prefix; // the word, unquoted
    size_t prefix_length;
    char common[SYSTEM_ID_MAX + 8];
    size_t common_length;
    size_t count;
    bool list;     // print them
    size_t column; // of the list
};

static void print_fit(struct fits *f, const char *text)
{
    size_t width = text_width(text) + 2;

    if (f->column > 0 && f->column + width > TERM_WIDTH) {
        term_print("\n");
        f->column = 0;
    }
    term_print("%s  ", text);
    f->column += width;
}

static void offer(struct fits *f, const char *text)
{
    size_t n = 0;

    if (strncmp(text, f->prefix, f->prefix_length) != 0) {
        return;
    }
    if (f->list) {
        print_fit(f, text);
        return;
    }
    if (f->count++ == 0) {
        f->common_length = (size_t)snprintf(f->common, sizeof f->common, "%s", text);
        f->common_length = MIN(f->common_length, sizeof f->common - 1);
        return;
    }
    while (n < f->common_length && f->common[n] == text[n]) {
        n++;
    }
    while (n > 0 && ((uint8_t)f->common[n] & 0xc0) == 0x80) { // not into a code point
        n--;
    }
    f->common_length = n;
}

// --- sources ---

static void offer_nouns(struct fits *f)
{
    const char *previous = "";

    for (const struct command *c = commands; c->noun != NULL; c++) {
        if (strcmp(c->noun, previous) != 0) { // those of a noun stand together
            offer(f, c->noun);
        }
        previous = c->noun;
    }
}

static void offer_verbs(struct fits *f, const char *noun)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        if (strcmp(c->noun, noun) == 0 && c->verb[0] != '\0') {
            offer(f, c->verb);
        }
    }
}

static void offer_options(struct fits *f, const struct command *c)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        char text[32];

        if (c->options & 1u << i) {
            snprintf(text, sizeof text, "--%s", option_infos[i].name);
            offer(f, text);
        }
    }
}

static void offer_systems(struct fits *f)
{
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        offer(f, s->id);
    }
}

static void offer_images(struct fits *f)
{
    for (struct image *i = image_next(NULL); i != NULL; i = image_next(i)) {
        struct image_info info;

        image_get_info(i, &info);
        offer(f, info.name);
    }
}

static void offer_partitions(struct fits *f)
{
    offer(f, "root");
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        if (s->partition.id != HV_PARTITION_ID_INVALID) {
            offer(f, s->id);
        }
    }
}

static void offer_disks(struct fits *f)
{
    const struct node_disk *disk;

    for (uint32_t i = 0; (disk = disks_get(i)) != NULL; i++) {
        offer(f, disk->dev->name);
        for (uint32_t p = 0; p < disk->partition_count; p++) {
            offer(f, disk->partitions[p].dev.name);
        }
    }
}

static void offer_switches(struct fits *f)
{
    for (const struct network_switch *s = network_next_switch(NULL); s != NULL; s = network_next_switch(s)) {
        offer(f, s->name);
    }
}

static void offer_levels(struct fits *f)
{
    static const char *const names[] = {"error", "notice", "warn", "info", "debug"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        offer(f, names[i]);
    }
}

// Names of the kind that an argument's or option's placeholder says.
static void offer_kind(struct fits *f, const char *kind, size_t length)
{
    static const struct {
        const char *kind;
        void (*offer)(struct fits *f);
    } kinds[] = {{"SYSTEM", offer_systems}, {"IMAGE", offer_images},  {"PARTITION", offer_partitions},
                 {"DISK", offer_disks},     {"COMMAND", offer_nouns}, {"LEVEL", offer_levels},
                 {"SWITCH", offer_switches}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strlen(kinds[i].kind) == length && strncmp(kinds[i].kind, kind, length) == 0) {
            kinds[i].offer(f);
        }
    }
}

// Argument number n by the command's placeholders.
static void offer_argument(struct fits *f, const struct command *c, size_t n)
{
    const char *at = c->arguments;

    for (; n > 0; n--) {
        at += strcspn(at, " ");
        at += *at == ' ';
    }
    at += *at == '[';
    offer_kind(f, at, strcspn(at, " ]"));
}

static const struct command *command_of(const struct words *w, size_t *first)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        *first = c->verb[0] != '\0' ? 2 : 1;
        if (strcmp(c->noun, w->word[0]) == 0 &&
            (c->verb[0] == '\0' || (w->count > 1 && strcmp(c->verb, w->word[1]) == 0))) {
            return c;
        }
    }
    return NULL;
}

// Walks over the complete words: does the last one want a value, and how many arguments were there?
static const char *position(const struct words *w, size_t first, size_t complete, size_t *arguments)
{
    const char *wanted = NULL;

    *arguments = 0;
    for (size_t i = first; i < complete; i++) {
        if (wanted != NULL) {
            wanted = NULL;
        } else if (strncmp(w->word[i], "--", 2) == 0) {
            for (int o = 0; o < OPTION_COUNT; o++) {
                wanted = strcmp(w->word[i] + 2, option_infos[o].name) == 0 ? option_infos[o].value : wanted;
            }
        } else {
            ++*arguments;
        }
    }
    return wanted;
}

static void offer_all(struct fits *f, const struct words *w)
{
    size_t complete = w->count - w->open, first = 0, arguments;
    const struct command *c;
    const char *wanted;

    if (complete == 0) {
        offer_nouns(f);
        return;
    }
    c = command_of(w, &first);
    if (c == NULL || complete < first) {
        if (complete == 1) {
            offer_verbs(f, w->word[0]);
        }
        return;
    }
    wanted = position(w, first, complete, &arguments);
    if (wanted != NULL) {
        offer_kind(f, wanted, strlen(wanted));
    } else if (strncmp(f->prefix, "--", 2) == 0 || (arguments >= c->maximum && c->options != 0)) {
        offer_options(f, c);
    } else if (arguments < c->maximum) {
        offer_argument(f, c, arguments);
    }
}

// --- the key ---

static void list_fits(struct fits *f, const struct words *w, struct line *line)
{
    term_print("\n");
    f->list = true;
    offer_all(f, w);
    term_print("\n");
    line_redraw(line);
}

void complete(struct line *line)
{
    static struct words w; // too large for the stack; one at a time
    char rest[2 * (SYSTEM_ID_MAX + 8) + 1];
    struct fits f = {0};
    size_t n;

    words_split(&w, line->text, line->cursor);
    if (w.problem != NULL) { // within quotes names are typed
        term_write("\a", 1);
        return;
    }
    f.prefix = w.open ? w.word[w.count - 1] : "";
    f.prefix_length = strlen(f.prefix);
    offer_all(&f, &w);
    if (f.count == 0) {
        term_write("\a", 1);
    } else if (f.common_length <= f.prefix_length && f.count > 1) {
        list_fits(&f, &w, line);
    } else {
        f.common[f.common_length] = '\0';
        n = words_quote(rest, sizeof rest - 1, f.common + f.prefix_length);
        if (f.count == 1) {
            rest[n++] = ' ';
        }
        if (!line_insert(line, rest, n)) {
            term_write("\a", 1);
        }
    }
}
