/* SPDX-License-Identifier: Apache-2.0 */
/* What is found after a crash. A killed process leaves all that it wrote. A machine that goes down
 * leaves what was synced, and of the rest what chance kept: names of files up to some moment, some
 * bytes of them, some pages of a commit. The state is synced at its end only: until then it may be
 * anything. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../world/scratch.h"
#include "sim.h"

#define PAGE 4096
#define META_PAGES 2

bool image_read(const char *path, struct arena *a, struct str *out)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) {
        if (f) fclose(f);
        return false;
    }
    char *bytes = arena_alloc(a, (size_t)st.st_size);
    out->n = fread(bytes, 1, (size_t)st.st_size, f);
    out->p = bytes;
    fclose(f);
    return true;
}

void image_write(const char *path, struct str bytes)
{
    FILE *f = fopen(path, "wb");
    ensure(f && (!bytes.n || fwrite(bytes.p, 1, bytes.n, f) == bytes.n));
    fclose(f);
}

static bool page_differs(struct str a, struct str b, size_t at)
{
    size_t n = a.n > at ? a.n - at : 0, m = b.n > at ? b.n - at : 0;
    if (n > PAGE) n = PAGE;
    if (m > PAGE) m = PAGE;
    return n != m || (n && memcmp(a.p + at, b.p + at, n) != 0);
}

/* LMDB writes the pages of the data, syncs them, then writes one of the two first pages. A killed
 * process has written some first pages of them; a machine that went down has any of them. */
struct str image_torn(
    struct sim *s, enum crash crash, struct str before, struct str after, struct arena *a)
{
    size_t size = after.n > before.n ? after.n : before.n, changed = 0, k = 0;
    for (size_t at = META_PAGES * PAGE; at < after.n; at += PAGE)
        changed += page_differs(before, after, at);
    bool synced = prng_chance(&s->prng, 1, 4);
    size_t stop = synced ? changed : (size_t)prng_below(&s->prng, changed + 1);
    char *bytes = arena_alloc(a, size);
    size_t end = before.n;
    if (before.n) memcpy(bytes, before.p, before.n);
    for (size_t at = META_PAGES * PAGE; at < after.n; at += PAGE) {
        if (!page_differs(before, after, at)) continue;
        bool kept = synced || (crash == CRASH_MACHINE ? prng_chance(&s->prng, 1, 2) : k < stop);
        k++;
        if (!kept) continue;
        size_t n = after.n - at < PAGE ? after.n - at : PAGE;
        memcpy(bytes + at, after.p + at, n);
        if (at + n > end) end = at + n;
    }
    bool meta = synced && after.n >= META_PAGES * PAGE && prng_chance(&s->prng, 1, 2);
    if (meta) memcpy(bytes, after.p, META_PAGES * PAGE);
    if (meta && end < META_PAGES * PAGE) end = META_PAGES * PAGE;
    return (struct str){ bytes, end };
}

/* --- names and bytes that were not synced ------------------------------------------------------
 */

static void in_image(const struct sim_node *n, const char *path, const char *to, char *out)
{
    snprintf(out, PATH_SIZE, "%.2000s%.2000s", to, path + strlen(n->data));
}

static void lose_bytes(struct sim_node *n, const struct note *note, const char *to)
{
    struct sim *s = n->sim;
    struct arena a = ARENA_INIT;
    struct str bytes;
    char path[PATH_SIZE];
    in_image(n, note->path, to, path);
    if (image_read(path, &a, &bytes)) {
        bytes.n = (size_t)prng_below(&s->prng, bytes.n + 1);
        size_t good = (size_t)prng_below(&s->prng, bytes.n + 1);
        if (prng_chance(&s->prng, 1, 2))
            memset((char *)(uintptr_t)bytes.p + good, 0, bytes.n - good);
        image_write(path, bytes);
    }
    arena_free(&a);
}

static void undo(struct sim_node *n, const struct note *note, const char *to)
{
    char path[PATH_SIZE], from[PATH_SIZE];
    in_image(n, note->path, to, path);
    switch (note->kind) {
    case NOTE_CREATED:
        unlink(path);
        break;
    case NOTE_DIR:
        scratch_remove_tree(path);
        break;
    case NOTE_RENAMED:
        in_image(n, note->from, to, from);
        (void)rename(path, from);
        break;
    case NOTE_UNLINKED:
        if (access(note->from, F_OK) != 0) {
            mkdir(path, 0700);
            break;
        }
        snprintf(from, sizeof from, "%s", path);
        *strrchr(from, '/') = '\0';
        if (access(from, F_OK) == 0) scratch_copy_file(note->from, path); /* else its folder went */
        break;
    case NOTE_WRITTEN:
        break;
    }
}

static void spoil_state(struct sim_node *n, const char *to)
{
    struct sim *s = n->sim;
    struct arena a = ARENA_INIT;
    struct str bytes;
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.4000s/state/data.mdb", to);
    if (image_read(path, &a, &bytes)) {
        char *p = (char *)(uintptr_t)bytes.p;
        for (size_t at = 0; at < bytes.n; at += PAGE)
            if (prng_chance(&s->prng, 1, 3))
                memset(p + at, 0, bytes.n - at < PAGE ? bytes.n - at : PAGE);
        image_write(path, bytes);
    }
    arena_free(&a);
}

void image_take(struct sim_node *n, enum crash crash, const char *to)
{
    struct sim *s = n->sim;
    struct node_disk *d = &n->disk;
    scratch_copy_tree(n->data, to);
    if (crash != CRASH_MACHINE) return;
    for (size_t i = 0; i < d->notes_n; i++)
        if (d->notes[i].kind == NOTE_WRITTEN) lose_bytes(n, &d->notes[i], to);
    size_t kept = (size_t)prng_below(&s->prng, d->notes_n + 1);
    for (size_t i = d->notes_n; i-- > kept;)
        undo(n, &d->notes[i], to);
    if (n->store) spoil_state(n, to);
    char held[PATH_SIZE], path[PATH_SIZE];
    snprintf(held, sizeof held, "%.4000s/held", n->folder);
    if (!d->held_of[0]) return;
    in_image(n, d->held_of, to, path);
    if (access(path, F_OK) == 0) scratch_copy_file(held, path);
}
