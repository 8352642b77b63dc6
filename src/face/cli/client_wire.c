/* SPDX-License-Identifier: Apache-2.0 */
#include "client_wire.h"

#include <errno.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "consuld/net/tls.h"

/* --- connecting ------------------------------------------------------------------------------ */

static int connect_unix(struct str path, int *out, struct error *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    char why[128];
    if (path.n == 0 || path.n >= sizeof to.sun_path)
        return error_set(err, ERR_IO, "dial unix %.*s: connect: invalid argument", STR_ARG(path));
    memcpy(to.sun_path, path.p, path.n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        error_set(err, ERR_IO, "dial unix %.*s: connect: %s", STR_ARG(path),
            cli_reason(errno, why, sizeof why));
        if (fd >= 0) close(fd);
        return ERR_IO;
    }
    *out = fd;
    return 0;
}

/* Host and port of "H", "H:P", "[v6]:P". */
static void split(
    struct cli *c, const struct client_place *place, const char **host, const char **port)
{
    struct str address = place->host, h = address, p = place->tls ? STR("443") : STR("80");
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < address.n; i++)
        if (address.p[i] == ':') colon = (ptrdiff_t)i;
    bool bracket = address.n && address.p[0] == '[';
    if (colon >= 0 && (!bracket || address.p[colon - 1] == ']')) {
        h = str_slice(address, 0, (size_t)colon);
        p = str_slice(address, (size_t)colon + 1, address.n);
    }
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']') h = str_slice(h, 1, h.n - 1);
    *host = str_c(&c->arena, h.n ? h : STR("127.0.0.1"));
    *port = str_c(&c->arena, p);
}

static int connect_one(const struct addrinfo *to, int *out, struct error *err)
{
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?", why[128];
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        *out = fd;
        return 0;
    }
    int code = errno;
    if (fd >= 0) close(fd);
    getnameinfo(to->ai_addr, to->ai_addrlen, host, sizeof host, port, sizeof port,
        NI_NUMERICHOST | NI_NUMERICSERV);
    return error_set(err, ERR_IO,
        to->ai_family == AF_INET6 ? "dial tcp [%s]:%s: connect: %s" : "dial tcp %s:%s: connect: %s",
        host, port, cli_reason(code, why, sizeof why));
}

static int connect_tcp(struct cli *c, const struct client_place *place, int *out, struct error *err)
{
    const char *host, *port;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    split(c, place, &host, &port);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc == EAI_SERVICE)
        return error_set(err, ERR_IO, "dial tcp: address %s: invalid port", port);
    if (rc != 0) return error_set(err, ERR_IO, "dial tcp: lookup %s: no such host", host);
    rc = ERR_IO;
    for (struct addrinfo *at = found; at && rc != 0; at = at->ai_next)
        rc = connect_one(at, out, err);
    freeaddrinfo(found);
    return rc;
}

/* --- the connection -------------------------------------------------------------------------- */

struct connection {
    int fd;
    struct tls_fd *tls; /* NULL: clear text */
};

static int begin_tls(
    struct cli *c, const struct client_place *place, struct connection *conn, struct error *err)
{
    const struct client_tls *how = place->tls;
    const char *host, *port;
    split(c, place, &host, &port);
    struct tls_config config = { .ca_file = how->ca_file,
        .ca_path = how->ca_path,
        .system_cas = true,
        .cert_file = how->cert_file,
        .key_file = how->key_file };
    struct tls_fd_options o = { .config = &config,
        .fd = conn->fd,
        .server_name = how->server_name.n ? how->server_name : str_of(host),
        .unverified = how->unverified };
    return tls_fd_open(&o, &conn->tls, err);
}

static int connection_open(
    struct cli *c, const struct client_place *place, struct connection *conn, struct error *err)
{
    int rc = place->path.n ? connect_unix(place->path, &conn->fd, err)
                           : connect_tcp(c, place, &conn->fd, err);
    if (rc == 0 && place->tls) {
        rc = begin_tls(c, place, conn, err);
        if (rc) close(conn->fd);
    }
    return rc;
}

static void connection_close(struct connection *conn)
{
    if (conn->tls) tls_fd_close(conn->tls);
    close(conn->fd);
}

/* A server may answer and close before it has read all: what was not sent is no error then. */
static void send_all(struct connection *conn, struct str bytes)
{
    struct error ignored;
    if (conn->tls) {
        if (tls_fd_write(conn->tls, bytes, &ignored) != 0) return;
        bytes.n = 0;
    }
    while (bytes.n) {
        ssize_t n = send(conn->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        bytes = str_slice(bytes, (size_t)n, bytes.n);
    }
}

/* *got == 0: the end. */
static int receive(struct connection *conn, char *to, size_t size, size_t *got, struct error *err)
{
    char why[128];
    ssize_t n;
    if (conn->tls) return tls_fd_read(conn->tls, to, size, got, err);
    do {
        n = recv(conn->fd, to, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return error_set(err, ERR_IO, "read: %s", cli_reason(errno, why, sizeof why));
    *got = (size_t)n;
    return 0;
}

/* --- the answer ------------------------------------------------------------------------------ */

struct reading {
    llhttp_t parser;
    const struct client_request *request;
    struct buf body;
    char name[32]; /* the field being read, cut */
    size_t name_n;
    char value[32];
    size_t value_n;
    uint64_t index;
    size_t head_n;
    bool done;
    bool cancelled;
};

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct reading *r = p->data;
    r->head_n += n;
    for (size_t i = 0; i < n; i++)
        if (r->name_n < sizeof r->name) r->name[r->name_n++] = at[i];
    return r->head_n > CLIENT_HEAD_MAX ? HPE_USER : 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct reading *r = p->data;
    r->head_n += n;
    for (size_t i = 0; i < n; i++)
        if (r->value_n < sizeof r->value) r->value[r->value_n++] = at[i];
    return r->head_n > CLIENT_HEAD_MAX ? HPE_USER : 0;
}

static int on_value_complete(llhttp_t *p)
{
    struct reading *r = p->data;
    struct str name = { r->name, r->name_n }, value = { r->value, r->value_n };
    uint64_t index;
    if (str_eq_nocase(name, STR("X-Consul-Index")) && str_to_u64(str_trim(value), &index))
        r->index = index;
    r->name_n = r->value_n = 0;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct reading *r = p->data;
    struct str bytes = { at, n };
    if (r->request->chunk && p->status_code == 200) {
        r->cancelled = r->request->chunk(r->request->ctx, bytes) != 0;
        return r->cancelled ? HPE_USER : 0;
    }
    buf_put_str(&r->body, bytes);
    return r->body.overflow ? HPE_USER : 0;
}

static int on_complete(llhttp_t *p)
{
    struct reading *r = p->data;
    if (p->status_code < 200) return 0;
    r->done = true;
    return HPE_PAUSED;
}

static int read_error(const struct reading *r, struct error *err)
{
    if (r->cancelled) return error_set(err, ERR_CANCELLED, "cancelled");
    if (r->body.overflow)
        return error_set(err, ERR_TOO_LARGE, "answer of more than %zu bytes", CLIENT_BODY_MAX);
    return error_set(err, ERR_DECODE, "net/http: HTTP/1.x transport connection broken: %s",
        llhttp_get_error_reason(&r->parser) ? llhttp_get_error_reason(&r->parser) : "malformed");
}

static int read_answer(struct connection *conn, struct reading *r, struct error *err)
{
    char bytes[65536];
    while (!r->done) {
        size_t n;
        int failed = receive(conn, bytes, sizeof bytes, &n, err);
        if (failed) return failed;
        llhttp_errno_t rc =
            n == 0 ? llhttp_finish(&r->parser) : llhttp_execute(&r->parser, bytes, n);
        if (r->done) break;
        if (n == 0)
            return error_set(err, ERR_EOF, r->parser.status_code ? "unexpected EOF" : "EOF");
        if (rc != HPE_OK) return read_error(r, err);
    }
    return 0;
}

int client_exchange(struct cli *c, const struct client_place *place,
    const struct client_request *request, struct str head, struct client_response *out,
    struct error *err)
{
    static const llhttp_settings_t settings = {
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_header_value_complete = on_value_complete,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };
    struct connection conn = { 0 };
    int rc = connection_open(c, place, &conn, err);
    if (rc) return rc;
    struct reading r = { .request = request, .body = BUF_INIT(CLIENT_BODY_MAX) };
    llhttp_init(&r.parser, HTTP_RESPONSE, &settings);
    r.parser.data = &r;
    send_all(&conn, head);
    if (request->body.n) send_all(&conn, request->body);
    rc = read_answer(&conn, &r, err);
    connection_close(&conn);
    out->status = r.parser.status_code;
    out->index = r.index;
    out->body = str_dup(&c->arena, r.body.n ? buf_str(&r.body) : STR(""));
    buf_deinit(&r.body);
    return rc;
}
