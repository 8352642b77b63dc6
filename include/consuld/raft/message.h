/* SPDX-License-Identifier: Apache-2.0 */
/* Raft RPCs on the wire (raft.md 1.3, 3): a request is a type byte and one msgpack map, a response
 * an error text and one msgpack value. An InstallSnapshot request is followed by `size` raw bytes,
 * which are not part of the message here. */
#pragma once
#include "consuld/raft.h"
#include "consuld/wire/msgpack.h"

/* Error texts a peer sends or gets. */
#define RAFT_TEXT_VERSION "operation not supported with current protocol version"
#define RAFT_TEXT_SNAPSHOT_VERSION "unsupported snapshot version %lld"
#define RAFT_TEXT_SHORT_READ "short read"

/* Once per process, before any encoding or decoding and before any thread exists (raft_create does
 * it too). */
void raft_message_init(void);

/* AppendEntries: `entries` must hold all n entries. InstallSnapshot: `size` must be set. */
void raft_request_encode(const struct raft_message *m, struct buf *out);

/* Reads one request. Strings point into the input, entries and the configuration are the arena's.
 *   0                  complete; rpc and peer_id are left for the driver
 *   ERR_EOF            more bytes are needed
 *   ERR_DECODE         unknown type or broken body: close the connection
 *   ERR_BAD_REQUEST    understood, but to be answered by raft_error_encode with err's text (for
 *                      InstallSnapshot after its stream is consumed: m->type and `size` are set) */
int raft_request_decode(
    struct cursor *c, struct arena *a, struct raft_message *out, struct error *err) must_check;

void raft_response_encode(const struct raft_message *m, struct buf *out);
/* The text with a nil body; for an InstallSnapshot request with a refusing body of `term`. */
void raft_error_encode(
    enum raft_message_type request, struct str text, uint64_t term, struct buf *out);

/* Reads the response to a request of type `request`. ERR_EOF, ERR_DECODE as above; ERR_INTERNAL:
 * the peer answered with an error, whose text is in err: the request failed, the connection is
 * good. */
int raft_response_decode(struct cursor *c, struct arena *a, enum raft_message_type request,
    struct raft_message *out, struct error *err) must_check;
