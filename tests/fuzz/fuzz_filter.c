/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a filter expression over instances: refused, or matched within its limits. */
#include "consuld/lang/filter.h"
#include "consuld/model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct arena kept;
static struct check_service_node sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    model_init();
    sample.node = arena_new(&kept, struct node);
    sample.service = arena_new(&kept, struct node_service);
    sample.node->node = STR("node-aaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    dict_set_str(&kept, &sample.node->meta, STR("zone"), STR("east"));
    *LIST_PUSH(&kept, &sample.service->tags, struct str) = STR("v1");
    LIST_PUSH(&kept, &sample.checks, struct health_check)->status = STR("passing");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a = ARENA_INIT;
    struct filter *f;
    struct error err;
    bool match;
    if (filter_compile(
            (struct str){ (const char *)data, n }, &type_check_service_node, &a, &f, &err) == 0) {
        int rc = filter_match(f, &sample, &match, &err);
        ensure(rc == 0 || rc == ERR_LIMIT);
    }
    arena_free(&a);
    return 0;
}
