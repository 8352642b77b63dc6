/* SPDX-License-Identifier: Apache-2.0 */
/* The socket side of the HTTP client: connect, send, read one answer, close. */
#pragma once
#include "client.h"

struct client_place {
    struct str host;              /* "H", "H:P", "[v6]:P"; of a unix socket its path */
    struct str path;              /* of a unix socket, else nil */
    const struct client_tls *tls; /* NULL: clear text */
};

/* What flags and environment say about TLS. */
struct client_tls {
    struct str ca_file, ca_path, cert_file, key_file;
    struct str server_name; /* nil: the host's */
    bool unverified;
};

/* Sends head and body and fills *out, whose body is the arena's. Error texts are Go's without the
 * URL: dial tcp 127.0.0.1:1: connect: connection refused. ERR_CANCELLED when r->chunk said so. */
int client_exchange(struct cli *c, const struct client_place *place, const struct client_request *r,
    struct str head, struct client_response *out, struct error *err) must_check;
