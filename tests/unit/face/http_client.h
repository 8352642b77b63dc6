/* SPDX-License-Identifier: Apache-2.0 */
/* A raw HTTP client for tests that run on the same thread as the server: every wait turns the
 * server's loop. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "consuld/net.h"

#define DEADLINE_S 20

struct client {
    struct world *world;
    int fd;
    bool ended;    /* the server closed */
    struct buf in; /* received, not yet looked at */
};

struct answer {
    int status;
    char head[8192];
    char *body; /* NUL-terminated */
    size_t body_n;
};

static inline struct client client_connect(struct world *w, const char *ip, uint16_t port)
{
    struct client c = { .world = w, .in = BUF_INIT((size_t)64 << 20) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, ip, &to.sin_addr);
    c.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    return c;
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    buf_deinit(&c->in);
}

static inline void client_receive(struct client *c)
{
    static char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n > 0) buf_put(&c->in, bytes, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN)) c->ended = true;
}

/* Turns the loop until `cond` holds; the test fails at the deadline. */
#define WAIT_FOR(w, cond) \
    do { \
        time_t deadline = time(NULL) + DEADLINE_S; \
        while (!(cond)) { \
            net_world_poll(w); \
            if (time(NULL) > deadline) fail_msg("never: %s", #cond); \
        } \
    } while (0)

static inline void client_send_n(struct client *c, const void *text, size_t n)
{
    const char *p = text;
    time_t deadline = time(NULL) + DEADLINE_S;
    while (n > 0) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN) return;
        net_world_poll(c->world);
        client_receive(c);
        assert_true(time(NULL) <= deadline);
    }
}

static inline void client_send(struct client *c, const char *text)
{
    client_send_n(c, text, strlen(text));
}

/* The value of a header in `head`, or NULL. */
static inline const char *head_value(const char *head, const char *name, char *out, size_t size)
{
    char key[128];
    snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = strcasestr(head, key);
    if (!at) return NULL;
    at += strlen(key);
    size_t n = strcspn(at, "\r");
    snprintf(out, size, "%.*s", (int)n, at);
    return out;
}

static inline bool chunked_take(struct str in, struct buf *body, size_t *used)
{
    size_t at = 0;
    for (;;) {
        ptrdiff_t end = str_find(str_slice(in, at, in.n), STR("\r\n"));
        if (end < 0) return false;
        unsigned long n = strtoul(in.p + at, NULL, 16);
        at += (size_t)end + 2;
        if (at + n + 2 > in.n) return false;
        buf_put(body, in.p + at, n);
        at += n + 2;
        if (n == 0) {
            *used = at;
            return true;
        }
    }
}

/* Takes one whole answer out of what was received; false if it is not there yet. */
static inline bool client_take(struct client *c, bool no_body, struct answer *a)
{
    struct str in = buf_str(&c->in);
    ptrdiff_t end = in.n ? str_find(in, STR("\r\n\r\n")) : -1;
    if (end < 0) return false;
    size_t head_n = (size_t)end + 4, used = head_n;
    assert_true(head_n < sizeof a->head);
    memcpy(a->head, in.p, head_n);
    a->head[head_n] = '\0';
    a->status = (int)strtol(a->head + 9, NULL, 10);
    struct buf body = BUF_INIT((size_t)64 << 20);
    struct str rest = str_slice(in, head_n, in.n);
    char value[64];
    bool whole = true;
    if (no_body || a->status == 100) {
    } else if (head_value(a->head, "Transfer-Encoding", value, sizeof value)) {
        size_t n = 0;
        whole = chunked_take(rest, &body, &n);
        used += n;
    } else if (head_value(a->head, "Content-Length", value, sizeof value)) {
        size_t n = strtoul(value, NULL, 10);
        whole = rest.n >= n;
        if (whole) buf_put(&body, rest.p, n);
        used += n;
    } else {
        whole = c->ended;
        buf_put_str(&body, rest);
        used = in.n;
    }
    if (!whole) {
        buf_deinit(&body);
        return false;
    }
    buf_put_char(&body, '\0');
    a->body_n = body.n - 1;
    a->body = (char *)body.p;
    buf_consume(&c->in, used);
    return true;
}

/* The next answer. The caller frees its body. */
static inline struct answer client_answer_to(struct client *c, const char *method)
{
    struct answer a = { 0 };
    WAIT_FOR(
        c->world, (client_receive(c), client_take(c, strcmp(method, "HEAD") == 0, &a)) || c->ended);
    if (!a.body) client_take(c, strcmp(method, "HEAD") == 0, &a);
    return a;
}

static inline bool client_ended(struct client *c)
{
    client_receive(c);
    return c->ended;
}
