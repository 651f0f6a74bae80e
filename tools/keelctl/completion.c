// SPDX-License-Identifier: Apache-2.0
// Shell completion, generated from the command and option tables.
#include <stdio.h>
#include <string.h>

#include "tools/keelctl/option.h"

static const char *const head =
    "# bash completion for keelctl; made by `keelctl completion bash`.\n"
    "_keelctl_names() { keelctl -q -o name \"$@\" 2>/dev/null </dev/null; }\n"
    "_keelctl() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=() word skip= list=\n"
    "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
    "        if [ -n \"$skip\" ]; then skip=; continue; fi\n"
    "        case $word in\n";

static const char *const middle =
    "        -*) ;;\n"
    "        *) words+=(\"$word\") ;;\n"
    "        esac\n"
    "    done\n"
    "    case $prev in\n"
    "    --secret|-s|--cacert|--file|-f) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
    "    --output|-o) COMPREPLY=($(compgen -W 'human json name' -- \"$cur\")); return ;;\n"
    "    --types) COMPREPLY=($(compgen -W 'Memory Statistics TerminateOnLastHandleClosed' -- \"$cur\")); return ;;\n"
    "    --disk|-d|--snapshot) COMPREPLY=($(compgen -W \"$(_keelctl_names disk list)\" -- \"$cur\")); return ;;\n"
    "    --kernel|-k|--initrd|-i|--image) COMPREPLY=($(compgen -W \"$(_keelctl_names image list)\" -- \"$cur\")); return ;;\n"
    "    esac\n";

static const char *const tail = "    COMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n"
                                "}\n"
                                "complete -F _keelctl keelctl\n";

// Options with an argument: the word after them is no noun, verb or name.
static void print_skips(void)
{
    const char *bar = "";

    printf("        ");
    for (const struct option_row *row = option_rows; row->name != NULL; row++) {
        if (row->argument != NULL) {
            printf("%s--%s", bar, row->name);
            bar = "|";
            if (row->letter != 0) {
                printf("|-%c", row->letter);
            }
        }
    }
    printf(") skip=1 ;;\n");
}

static void print_options(void)
{
    printf("    if [[ $cur == -* ]]; then\n        case \"${words[0]} ${words[1]}\" in\n");
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (cmd->accepts[0] == '\0') {
            continue;
        }
        printf("        '%s %s') list='", cmd->noun, cmd->verb);
        for (const struct option_row *row = option_rows; row->name != NULL; row++) {
            if (option_accepted(cmd, row->name)) {
                printf("--%s ", row->name);
            }
        }
        printf("' ;;\n");
    }
    printf("        esac\n        list=\"$list");
    for (const struct option_row *row = option_rows; row->name != NULL; row++) {
        if (row->common) {
            printf(" --%s", row->name);
        }
    }
    printf("\"\n");
}

static bool first_of_noun(const struct command *cmd)
{
    return cmd == commands || strcmp(cmd[-1].noun, cmd->noun) != 0;
}

static void print_nouns(void)
{
    printf("    elif [ ${#words[@]} = 0 ]; then\n        list='help");
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (first_of_noun(cmd)) {
            printf(" %s", cmd->noun);
        }
    }
    printf("'\n");
}

static void print_verbs(void)
{
    printf("    elif [ ${#words[@]} = 1 ]; then\n        case ${words[0]} in\n");
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (first_of_noun(cmd)) {
            printf("        %s) list='", cmd->noun);
        }
        printf("%s ", cmd->verb);
        if (cmd[1].noun == NULL || first_of_noun(cmd + 1)) {
            printf("' ;;\n");
        }
    }
    printf("        esac\n");
}

// Names that exist on the node.
static void print_names(void)
{
    printf("    elif [ ${#words[@]} = 2 ]; then\n"
           "        case \"${words[0]} ${words[1]}\" in\n"
           "        'system create'|*' list') ;;\n"
           "        'system '*) list=$(_keelctl_names system list) ;;\n"
           "        'disk create') ;;\n"
           "        'disk '*) list=$(_keelctl_names disk list) ;;\n"
           "        'image '*) list=$(_keelctl_names image list) ;;\n"
           "        'switch create'|'endpoint create') ;;\n"
           "        'switch '*) list=$(_keelctl_names switch list) ;;\n"
           "        'endpoint '*) list=$(_keelctl_names endpoint list) ;;\n"
           "        'operation '*) list=$(_keelctl_names operation list) ;;\n"
           "        esac\n"
           "    elif [ \"${words[0]} ${words[1]}\" = 'image put' ]; then\n"
           "        COMPREPLY=($(compgen -f -- \"$cur\")); return\n"
           "    fi\n");
}

enum status completion_bash(struct client *c, const struct options *o, char **arguments)
{
    (void)c, (void)o, (void)arguments;
    fputs(head, stdout);
    print_skips();
    fputs(middle, stdout);
    print_options();
    print_nouns();
    print_verbs();
    print_names();
    fputs(tail, stdout);
    return STATUS_OK;
}
