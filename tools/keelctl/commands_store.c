// SPDX-License-Identifier: Apache-2.0
// keelctl store ...: the node's state partition.
#include <stdio.h>

#include "tools/keelctl/json.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"

static void show(const cJSON *s)
{
    const char *problem = json_text(s, "Problem");

    field("partition", "%s", json_shown(s, "Place"));
    field("space", "%s free of %s", bytes_text(json_number(s, "FreeBytes")),
          bytes_text(json_number(s, "TotalBytes")));
    field("database", "%s of %s", bytes_text(json_number(s, "DatabaseBytes")),
          bytes_text(json_number(s, "DatabaseLimit")));
    field("commits", "%.0f for %.0f transactions", json_number(s, "Commits"), json_number(s, "Transactions"));
    field("state", "%s", problem != NULL && problem[0] != '\0' ? problem : "ok");
}

enum status store_show(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = client_request(c, "GET", "/v1/store", NULL, &a);

    (void)arguments;
    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        show(a.json);
    }
    answer_free(&a);
    return status;
}

// Fails if there are problems, so that scripts notice.
static enum status check(struct client *c, const struct options *o, const char *path)
{
    struct answer a;
    enum status status = client_request(c, "POST", path, NULL, &a);
    double problems = json_number(a.json, "Problems");

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK && problems > 0) {
        fputs(json_text(a.json, "Text"), stdout);
    } else if (status == STATUS_OK && !o->quiet) {
        puts("no problems");
    }
    answer_free(&a);
    return status == STATUS_OK && problems > 0 ? STATUS_FAILED : status;
}

enum status store_check(struct client *c, const struct options *o, char **arguments)
{
    (void)arguments;
    return check(c, o, "/v1/store/check");
}

enum status store_scrub(struct client *c, const struct options *o, char **arguments)
{
    (void)arguments;
    return check(c, o, "/v1/store/check?contents=1");
}
