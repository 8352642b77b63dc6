/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration, in a file of JSON or as a fragment of HCL (the first byte picks):
 * refused with a text, or built whole. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consuld/agent/config.h"
#include "consuld/model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char path[] = "/tmp/fuzz_config-XXXXXX";
static int file;

static void remove_file(void)
{
    unlink(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    model_init();
    file = mkstemp(path);
    ensure(file >= 0);
    atexit(remove_file);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct arena a = ARENA_INIT;
    struct agent_config *config = NULL;
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), why = BUF_INIT(CONFIG_MESSAGE_MAX);
    struct config_args args = { .format = STR("json"), .host.name = STR("fuzz") };
    if (data[0] & 1) {
        ensure(ftruncate(file, 0) == 0 && pwrite(file, data + 1, n - 1, 0) == (ssize_t)(n - 1));
        *LIST_PUSH(&a, &args.files, struct str) = str_of(path);
    } else {
        *LIST_PUSH(&a, &args.hcl, struct str) = (struct str){ (const char *)data + 1, n - 1 };
    }
    int code = config_load(&args, &a, &config, &warnings, &why);
    ensure(code ? why.n > 0 : config != NULL);
    buf_deinit(&warnings);
    buf_deinit(&why);
    arena_free(&a);
    return 0;
}
