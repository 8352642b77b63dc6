/* SPDX-License-Identifier: Apache-2.0 */
/* Either role of yamux on any bytes, cut in pieces of a size the first byte names: all input is
 * taken, counts agree, a reason stands when the session is over, and output is whole frames. */
#include <stddef.h>
#include <stdint.h>

#include "consuld/mux/yamux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct fuzz_stream {
    struct yamux_stream st;
    size_t got;
};

static void act(struct yamux *y, struct yamux_event *ev, unsigned how)
{
    struct fuzz_stream *f = (struct fuzz_stream *)ev->stream;
    struct stream_part part = { "an answer", 9, NULL };
    if (ev->kind == YAMUX_OPENED && how % 3) yamux_accept(y, ev->stream);
    if (ev->kind == YAMUX_OPENED && how % 7 == 6) {
        yamux_reset(y, ev->stream);
        return;
    }
    if (ev->kind == YAMUX_DATA) {
        ensure(ev->bytes.n > 0 && ev->stream->held >= ev->bytes.n);
        f->got += ev->bytes.n;
        yamux_consumed(y, ev->stream, how % 2 ? ev->bytes.n : ev->bytes.n / 2);
        int rc = yamux_write(y, ev->stream, &part, 1);
        ensure(rc == 0 || rc == ERR_IO || rc == ERR_FULL);
    }
    if (ev->kind == YAMUX_EOF || ev->kind == YAMUX_RESET) yamux_close(y, ev->stream);
}

static void pull(struct yamux *y)
{
    struct yamux_chunk c;
    while (yamux_next(y, &c)) {
        size_t bytes = 0;
        for (size_t i = 0; i < c.n; i++)
            bytes += c.parts[i].n;
        ensure(bytes == c.bytes && bytes >= YAMUX_HEADER);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) return 0;
    struct yamux y;
    size_t piece = 1 + data[0] % 64;
    struct yamux_options o = { .role = data[1] & 1 ? YAMUX_CLIENT : YAMUX_SERVER,
        .stream_size = sizeof(struct fuzz_stream),
        .streams_max = 8,
        .backlog = 4 };
    yamux_init(&y, &o);
    for (int i = 0; i < 3 && (data[1] & 2); i++)
        (void)yamux_open(&y);
    for (size_t at = 2; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        struct str in = { (const char *)data + at, len };
        struct yamux_event ev;
        do {
            yamux_recv(&y, &in, &ev);
            act(&y, &ev, data[1] + (unsigned)at);
        } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
        ensure(in.n == 0 && y.n_streams <= 8);
        ensure((ev.kind == YAMUX_FAILED) == (yamux_why(&y) != NULL));
        if (data[1] & 4) pull(&y);
    }
    pull(&y);
    yamux_deinit(&y);
    return 0;
}
