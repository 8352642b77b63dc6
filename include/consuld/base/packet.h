/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to datagrams: one UDP socket, bound. `net` implements it on libuv, a simulator on its
 * own network. Addresses are IP bytes (4 or 16 of them) and a port.
 *
 * The one invariant: sending never blocks and never queues; what the system does not take now is
 * lost, as any datagram may be. */
#pragma once
#include "consuld/base/error.h"

struct packet_socket;
struct world;

struct packet_options {
    const char *ip; /* numeric address, v4 or v6 */
    uint16_t port;  /* 0: the system chooses */
    size_t
        receive_buffer; /* bytes the system should hold; halved until it agrees. 0: its default */
    /* A datagram of at least one byte, valid until return. It arrived at `at_us` of
     * world_now_us. IPv4 senders have 4 bytes. */
    void (*receive)(void *ctx, struct str ip, uint16_t port, struct str bytes, uint64_t at_us);
    void *ctx;
};

/* Errors in Go's words: listen udp 127.0.0.1:8301: bind: address already in use. */
int packet_socket_open(struct world *w, const struct packet_options *opts,
    struct packet_socket **out, struct error *err) must_check;
uint16_t packet_socket_port(const struct packet_socket *s);
/* ERR_FULL: lost, the system's buffer is full. ERR_TOO_LARGE: longer than a datagram can be.
 * ERR_IO: it cannot go there. */
int packet_socket_send(struct packet_socket *s, struct str ip, uint16_t port, struct str bytes);
/* No receive after this; frees itself. */
void packet_socket_close(struct packet_socket *s);

struct packet_counters {
    uint64_t received, received_bytes;
    uint64_t sent, sent_bytes;
    uint64_t lost; /* not taken by the system */
};
struct packet_counters packet_socket_counters(const struct packet_socket *s);
