/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "directory.h"

#define KEY_MAX 1024

static struct str key_of(struct buf *key, struct str peer, struct str address)
{
    buf_clear(key);
    buf_put_str(key, peer);
    buf_put_char(key, '\0');
    buf_put_str(key, address);
    return buf_str(key);
}

void fed_paths_deinit(struct fed_paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i]);
    free(p->v);
    map_deinit(&p->by_name);
    buf_deinit(&p->key);
}

const struct fed_path *fed_paths_find(
    const struct fed_paths *p, struct str peer, struct str address)
{
    struct buf key = BUF_INIT(KEY_MAX);
    const struct fed_path *found = map_get(&p->by_name, key_of(&key, peer, address));
    buf_deinit(&key);
    return found;
}

static uint64_t touched_ms(const struct fed_path *p)
{
    return p->failed_ms > p->worked_ms ? p->failed_ms : p->worked_ms;
}

static void drop_oldest(struct fed_paths *p)
{
    size_t oldest = 0;
    for (size_t i = 1; i < p->n; i++)
        if (touched_ms(p->v[i]) < touched_ms(p->v[oldest])) oldest = i;
    struct fed_path *gone = p->v[oldest];
    map_remove(&p->by_name, key_of(&p->key, gone->peer, gone->address));
    p->v[oldest] = p->v[--p->n];
    free(gone);
}

struct fed_path *fed_paths_touch(struct fed_paths *p, struct str peer, struct str address)
{
    if (p->key.max == 0) p->key = (struct buf)BUF_INIT(KEY_MAX);
    struct str key = key_of(&p->key, peer, address);
    struct fed_path *path = map_get(&p->by_name, key);
    if (path) return path;
    if (p->n == FED_PATHS_MAX) drop_oldest(p);
    key = key_of(&p->key, peer, address);
    path = xcalloc(1, sizeof *path + peer.n + address.n);
    char *text = (char *)(path + 1);
    if (peer.n) memcpy(text, peer.p, peer.n);
    if (address.n) memcpy(text + peer.n, address.p, address.n);
    path->peer = (struct str){ text, peer.n };
    path->address = (struct str){ text + peer.n, address.n };
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 16;
        p->v = xrealloc(p->v, p->cap * sizeof *p->v);
    }
    p->v[p->n++] = path;
    map_put(&p->by_name, key, path);
    return path;
}

uint64_t fed_path_spared_ms(const struct fed_path *p)
{
    if (!p || p->failures == 0) return 0;
    uint32_t doublings = p->failures - 1 < 8 ? p->failures - 1 : 8;
    uint64_t wait = (uint64_t)FED_BACKOFF_MIN_MS << doublings;
    return p->failed_ms + (wait < FED_BACKOFF_MAX_MS ? wait : FED_BACKOFF_MAX_MS);
}
