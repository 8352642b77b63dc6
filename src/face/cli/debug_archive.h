/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli.h"

/* Packs a folder into a .tar.gz; an unfinished one is never found under `path`. */
int debug_archive(
    struct arena *a, const char *folder, const char *path, struct error *err) must_check;
/* Removes a folder with all that is in it. */
void debug_remove(struct arena *a, const char *folder);
