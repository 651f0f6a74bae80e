// SPDX-License-Identifier: Apache-2.0
// The state partition: what there is, and whether it is sound.
#include "mgmt/core/keeper.h"
#include "mgmt/shell/command.h"

static bool have_store(void)
{
    if (keeper() == NULL) {
        say_problem("this node has no usable state partition; hv log says why");
    }
    return keeper() != NULL;
}

void cmd_store_show(const struct call *c)
{
    struct keeper_info info;

    (void)c;
    if (!have_store()) {
        return;
    }
    keeper()->get_info(&info);
    term_field("partition", "%s", info.place);
    term_field("space", "%s, %s free", bytes_text(info.total_bytes), bytes_text(info.free_bytes));
    term_field("database", "%s of %s", bytes_text(info.database_bytes), bytes_text(info.database_limit));
    term_field("commits", "%s for %s transactions", count_text(info.commits), count_text(info.transactions));
    term_field("state", "%s", info.problem[0] != '\0' ? info.problem : "ok");
}

static void checked(void *arg, const struct keeper_report *report, const struct core_error *error)
{
    (void)arg;
    if (error != NULL) {
        say_error(error);
    } else if (report->problems == 0) {
        term_print("no problems\n");
    } else {
        term_print("%s%u problems\n", report->text, report->problems);
    }
    shell_release();
}

static void check(bool contents)
{
    if (have_store()) {
        shell_hold();
        keeper()->check(contents, checked, NULL);
    }
}

void cmd_store_check(const struct call *c)
{
    (void)c;
    check(false);
}

void cmd_store_scrub(const struct call *c)
{
    (void)c;
    check(true);
}
