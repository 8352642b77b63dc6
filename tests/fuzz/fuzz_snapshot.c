/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as state.bin: read record by record, then restored into an empty store. */
#include "consuld/store.h"
#include "consuld/store_snapshot.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *store;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error err;
    struct store_options opts = { .map_size = UINT64_C(1) << 28 };
    (void)argc;
    (void)argv;
    model_init();
    snapshot_init();
    ensure(store_open(&opts, &store, NULL, &err) == 0);
    return 0;
}

static int look_at(void *ctx, uint8_t type, const void *body, struct arena *a, struct error *err)
{
    (void)type;
    (void)body;
    (void)a;
    (void)err;
    ++*(size_t *)ctx;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct shared_body bytes = shared_body_view((struct str){ (const char *)data, size });
    size_t records = 0;
    int read = snapshot_read(&bytes, look_at, &records, NULL, &err);
    ensure(read == 0 || err.text[0] != '\0');
    int restored = snapshot_restore(store, &bytes, 7, 1, &err);
    /* What cannot be read is not restored. */
    ensure(read == 0 || restored < 0);
    return 0;
}
