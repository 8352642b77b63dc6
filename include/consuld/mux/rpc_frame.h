/* SPDX-License-Identifier: Apache-2.0 */
/* net/rpc messages with the msgpack codec (rpc.md 4): a message is a header value and a body value,
 * with no length in front. Finding the end of a value resumes where the bytes ended, so that a
 * message in many pieces is looked at once. No memory is taken here; what a peer claims is bounded
 * by what it sent. */
#pragma once
#include "consuld/base.h"
#include "consuld/model/rpc.h"

#define RPC_HEADER_MAX ((size_t)64 << 10)

/* Looks for the end of a sequence of msgpack values. */
struct rpc_scan {
    uint64_t values;   /* still to begin */
    uint64_t raw;      /* bytes of the present one to pass over */
    uint64_t elements; /* seen in all lists and maps */
    size_t size;       /* bytes taken */
    size_t size_max;
    uint8_t head[5]; /* a head that is not whole yet */
    uint8_t head_n;
};

enum rpc_scan_result {
    RPC_SCAN_MORE, /* all input was taken, the end is not there yet */
    RPC_SCAN_DONE,
    RPC_SCAN_BAD, /* no msgpack, or over a bound */
};

void rpc_scan_init(struct rpc_scan *s, uint32_t values, size_t size_max);
/* Takes bytes from the front of *in, up to the end of the last value. */
enum rpc_scan_result rpc_scan_take(struct rpc_scan *s, struct str *in) must_check;

/* A header alone; extra keys are passed over. ERR_DECODE: the conversation is over. Texts point
 * into `bytes`. */
int rpc_read_request(struct str bytes, struct request_header *out) must_check;
int rpc_read_response(struct str bytes, struct response_header *out) must_check;

/* Append a header; a body follows. */
void rpc_write_request(struct buf *out, uint64_t seq, struct str method);
/* error: empty for success. An error's body is RPC_EMPTY_BODY. */
void rpc_write_response(struct buf *out, struct str error, uint64_t seq, struct str method);
#define RPC_EMPTY_BODY "\x80"

/* "Catalog" of "Catalog.Register": what stands before the last dot. False: there is none. */
bool rpc_method_service(struct str method, struct str *service);
