/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive; what it accepts goes on to the reader of state.bin. */
#include <stdlib.h>

#include "consuld/model.h"
#include "consuld/store_snapshot.h"
#include "world/openssl_digest.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    model_init();
    snapshot_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct snapshot_meta meta;
    struct shared_body *state;
    struct shared_body bytes = shared_body_view((struct str){ (const char *)data, size });
    int code = archive_read(&bytes, NULL, &digest_openssl, &a, &meta, &state, &err);
    ensure(code <= 0 && (code == 0 || err.text[0] != '\0'));
    shared_body_unref(state);
    arena_free(&a);
    return 0;
}
