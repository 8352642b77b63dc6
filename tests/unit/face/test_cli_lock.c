/* SPDX-License-Identifier: Apache-2.0 */
/* lock against a store of keys that the test plays: one process, requests one after the other. */
#include <poll.h>

#include "cli_world.h"

/* --- an agent with sessions and keys --------------------------------------------------------- */

#define KEYS_MAX 16

struct entry {
    char key[128], session[64], value[512];
    unsigned long long flags;
    unsigned index;
};

struct agent {
    struct entry entries[KEYS_MAX];
    unsigned index;
    bool refuse_first; /* the first acquisition fails, as under a lock-delay */
    bool steal;        /* a read that waits finds the lock gone */
    bool times;        /* a read that waits is answered when its time is over */
};

static struct entry *entry_of(struct agent *s, const char *key, bool make)
{
    struct entry *free_one = NULL;
    for (size_t i = 0; i < KEYS_MAX; i++) {
        if (strcmp(s->entries[i].key, key) == 0) return &s->entries[i];
        if (!s->entries[i].key[0] && !free_one) free_one = &s->entries[i];
    }
    if (make && free_one) snprintf(free_one->key, sizeof free_one->key, "%s", key);
    return make ? free_one : NULL;
}

static bool parameter(const char *query, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *at = query; at && *at; at = strchr(at, '&'), at += at ? 1 : 0) {
        if (strncmp(at, name, n) != 0 || at[n] != '=') continue;
        snprintf(out, size, "%.*s", (int)strcspn(at + n + 1, "& "), at + n + 1);
        return true;
    }
    return false;
}

static bool put_key(struct agent *s, const char *key, const char *query, const char *body)
{
    char text[64];
    struct entry *e = entry_of(s, key, false);
    if (parameter(query, "cas", text, sizeof text) && strtoul(text, NULL, 10) != (e ? e->index : 0))
        return false;
    if (parameter(query, "acquire", text, sizeof text)) {
        if (s->refuse_first || (e && e->session[0] && strcmp(e->session, text) != 0)) {
            s->refuse_first = false;
            return false;
        }
        e = entry_of(s, key, true);
        snprintf(e->session, sizeof e->session, "%s", text);
    }
    e = entry_of(s, key, true);
    if (parameter(query, "release", text, sizeof text)) e->session[0] = '\0';
    if (parameter(query, "flags", text, sizeof text)) e->flags = strtoull(text, NULL, 10);
    snprintf(e->value, sizeof e->value, "%s", body);
    e->index = ++s->index;
    return true;
}

static size_t get_keys(struct agent *s, const char *key, const char *query, char *out, size_t size)
{
    size_t n = 0, found = 0;
    bool recurse = strstr(query, "recurse") != NULL;
    struct buf value = BUF_INIT(4096);
    for (size_t i = 0; i < KEYS_MAX; i++) {
        struct entry *e = &s->entries[i];
        bool match = recurse ? strncmp(e->key, key, strlen(key)) == 0 : strcmp(e->key, key) == 0;
        if (!e->key[0] || !match) continue;
        buf_clear(&value);
        base64_encode(str_of(e->value), &value);
        n += (size_t)snprintf(out + n, size - n,
            "%s{\"Key\":\"%s\",\"Session\":\"%s\",\"Flags\":%llu,\"ModifyIndex\":%u,\"Value\":"
            "\"%.*s\"}",
            found++ ? "," : "[", e->key, e->session, e->flags, e->index, (int)value.n,
            (const char *)value.p);
    }
    buf_deinit(&value);
    if (found) snprintf(out + n, size - n, "]");
    return found;
}

static void serve(struct agent *s, const char *request, char *out, size_t size)
{
    if (strncmp(request, "GET /v1/agent/self", 18) == 0) {
        snprintf(out, size, ANSWER("200 OK", "{}"));
        return;
    }
    char method[16], path[256], body[4096] = "";
    sscanf(request, "%15s %255s", method, path);
    const char *end = strstr(request, "\r\n\r\n");
    char *query = strchr(path, '?');
    if (query) *query++ = '\0';
    const char *key = strncmp(path, "/v1/kv/", 7) == 0 ? path + 7 : NULL;
    const char *status = "200 OK";
    if (!key) {
        snprintf(body, sizeof body, "{\"ID\":\"mine\"}");
    } else if (!strcmp(method, "PUT")) {
        bool done = put_key(s, key, query ? query : "", end ? end + 4 : "");
        snprintf(body, sizeof body, done ? "true" : "false");
    } else if (!strcmp(method, "DELETE")) {
        struct entry *e = entry_of(s, key, false);
        if (e) memset(e, 0, sizeof *e);
        snprintf(body, sizeof body, "true");
    } else {
        if (s->steal && query && strstr(query, "index=") && entry_of(s, key, false))
            snprintf(entry_of(s, key, false)->session, 64, "thief");
        if (!get_keys(s, key, query ? query : "", body, sizeof body)) status = "404 Not Found";
    }
    snprintf(out, size, "HTTP/1.1 %s\r\nX-Consul-Index: %u\r\nConnection: close\r\n\r\n%s", status,
        s->index + 1, body);
}

struct lockd {
    pid_t pid;
    int stop, seen;
    char log[16384]; /* request lines, filled at the end */
};

static void lockd_answer(struct agent *s, int listener, int seen)
{
    static char request[8192], answer[8192];
    size_t n = 0;
    int fd = accept(listener, NULL, NULL);
    for (;;) {
        char *end = strstr(request, "\r\n\r\n");
        if (n && end && n >= (size_t)(end + 4 - request) + play_length(request)) break;
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
        request[n] = '\0';
    }
    dprintf(seen, "%.*s\n", (int)strcspn(request, "\r"), request);
    /* A read that waits is held back: nothing changes while the child of the test runs. */
    bool waits = strncmp(request, "GET", 3) == 0 && strstr(request, "index=") && !s->steal;
    char wait[32];
    if (waits && s->times && parameter(strchr(request, '?') + 1, "wait", wait, sizeof wait)) {
        poll(NULL, 0, (int)strtol(wait, NULL, 10));
        waits = false;
    }
    if (n && !waits) {
        serve(s, request, answer, sizeof answer);
        send(fd, answer, strlen(answer), MSG_NOSIGNAL);
        close(fd);
    }
    request[0] = '\0';
}

static void lockd_start(struct lockd *d, struct agent state)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0), stop[2], seen[2];
    char address[64];
    inet_pton(AF_INET, "127.0.38.9", &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&at, &n);
    snprintf(address, sizeof address, "127.0.38.9:%d", ntohs(at.sin_port));
    setenv("CONSUL_HTTP_ADDR", address, 1);
    assert_int_equal(pipe(stop) | pipe(seen), 0);
    fflush(NULL);
    d->pid = fork();
    if (d->pid == 0) {
        close(stop[1]);
        for (;;) {
            struct pollfd fds[] = { { fd, POLLIN, 0 }, { stop[0], POLLIN, 0 } };
            poll(fds, 2, -1);
            if (fds[0].revents) {
                lockd_answer(&state, fd, seen[1]);
                continue;
            }
            for (size_t i = 0; i < KEYS_MAX; i++)
                if (state.entries[i].key[0]) dprintf(seen[1], "LEFT %s\n", state.entries[i].key);
            _exit(0);
        }
    }
    close(fd);
    close(stop[0]);
    close(seen[1]);
    d->stop = stop[1];
    d->seen = seen[0];
}

static void lockd_end(struct lockd *d)
{
    size_t n = 0;
    ssize_t got;
    close(d->stop);
    while ((got = read(d->seen, d->log + n, sizeof d->log - 1 - n)) > 0)
        n += (size_t)got;
    d->log[n] = '\0';
    close(d->seen);
    waitpid(d->pid, NULL, 0);
    unsetenv("CONSUL_HTTP_ADDR");
}

/* --- tests ----------------------------------------------------------------------------------- */

static void lock_is_taken_for_the_child_and_given_back(void **state)
{
    (void)state;
    struct lockd d;
    lockd_start(&d, (struct agent){ 0 });
    struct spoken *s = speak("lock", "-verbose", "a/b/", "exit 3");
    lockd_end(&d);
    assert_int_equal(s->status, 0);
    assert_string_equal(s->out,
        "Setting up lock at path: a/b/.lock\nAttempting lock acquisition\nStarting handler\n"
        "Child terminated, releasing lock\nCleanup succeeded\n");
    assert_string_equal(s->err, "Error running handler: exit status 3\n");
    assert_begins(d.log, "GET /v1/agent/self HTTP/1.1\nPUT /v1/session/create HTTP/1.1\nGET "
                         "/v1/kv/a/b/.lock?consistent=");
    assert_non_null(
        strstr(d.log, "PUT /v1/kv/a/b/.lock?acquire=mine&flags=3304740253564472344 HTTP/1.1\n"));
    assert_non_null(strstr(d.log, "PUT /v1/kv/a/b/.lock?flags=3304740253564472344&release=mine "));
    assert_non_null(strstr(d.log, "PUT /v1/session/destroy/mine HTTP/1.1\n"));
    assert_null(strstr(d.log, "LEFT"));
}

static void exit_code_of_the_child_counts_when_asked_for(void **state)
{
    (void)state;
    struct lockd d;
    lockd_start(&d, (struct agent){ 0 });
    struct spoken *s = speak("lock", "-child-exit-code", "-shell=false", "a", "/bin/false");
    lockd_end(&d);
    assert_int_equal(s->status, 2);
    assert_null(strstr(d.log, "LEFT"));
}

static void child_that_cannot_start_gives_the_lock_back(void **state)
{
    (void)state;
    struct lockd d;
    lockd_start(&d, (struct agent){ 0 });
    struct spoken *s = speak("lock", "-shell=false", "a", "/no/such");
    lockd_end(&d);
    assert_string_equal(
        s->err, "Error starting handler: fork/exec /no/such: no such file or directory\n");
    assert_null(strstr(d.log, "LEFT"));
}

static void lost_lock_ends_the_child(void **state)
{
    (void)state;
    struct lockd d;
    lockd_start(&d, (struct agent){ .steal = true });
    struct spoken *s = speak("lock", "-verbose", "a", "exec sleep 600");
    lockd_end(&d);
    assert_non_null(strstr(s->out, "Lock lost, killing child\n"));
    assert_string_equal(s->err, "Error running handler: signal: terminated\n");
}

static void held_lock_times_out_with_try(void **state)
{
    (void)state;
    struct lockd d;
    struct agent state_of = { .index = 5, .times = true };
    state_of.entries[0] = (struct entry){
        .key = "a/.lock", .session = "other", .flags = 3304740253564472344ULL, .index = 5
    };
    lockd_start(&d, state_of);
    struct spoken *s = speak("lock", "-try=50ms", "a", "echo no");
    lockd_end(&d);
    assert_int_equal(s->status, 1);
    assert_string_equal(s->out, "");
    assert_string_equal(s->err, "Shutdown triggered or timeout during lock acquisition\n");
    assert_non_null(strstr(d.log, "PUT /v1/session/destroy/mine "));
}

static void key_of_another_use_is_left_alone(void **state)
{
    (void)state;
    struct lockd d;
    struct agent state_of = { .index = 5 };
    state_of.entries[0] = (struct entry){ .key = "a/.lock", .value = "mine", .index = 5 };
    lockd_start(&d, state_of);
    struct spoken *s = speak("lock", "a", "echo no");
    lockd_end(&d);
    assert_string_equal(s->err, "Lock acquisition failed: Existing key does not match lock use\n");
    assert_non_null(strstr(d.log, "LEFT a/.lock\n"));
}

static void semaphore_lists_its_holders(void **state)
{
    (void)state;
    struct lockd d;
    struct agent state_of = { .index = 5 };
    state_of.entries[0] = (struct entry){ .key = "s/.lock",
        .flags = 16210313421097356768ULL,
        .index = 4,
        .value = "{\"Limit\":2,\"Holders\":{\"other\":true,\"dead\":true}}" };
    state_of.entries[1] = (struct entry){ .key = "s/other", .session = "other", .index = 5 };
    lockd_start(&d, state_of);
    struct spoken *s = speak("lock", "-verbose", "-n=2", "s", "true");
    lockd_end(&d);
    assert_int_equal(s->status, 0);
    assert_string_equal(s->err, "");
    assert_begins(s->out, "Setting up semaphore (limit 2) at prefix: s\n");
    assert_non_null(strstr(s->out, "Cleanup aborted, lock in use\n"));
    assert_non_null(strstr(d.log, "PUT /v1/kv/s/mine?acquire=mine"));
    assert_non_null(strstr(d.log, "LEFT s/.lock\n"));
    assert_null(strstr(d.log, "LEFT s/mine\n"));
}

static void semaphore_of_another_limit_is_a_conflict(void **state)
{
    (void)state;
    struct lockd d;
    struct agent state_of = { .index = 5 };
    state_of.entries[0] = (struct entry){ .key = "s/.lock",
        .flags = 16210313421097356768ULL,
        .index = 4,
        .value = "{\"Limit\":3,\"Holders\":{}}" };
    lockd_start(&d, state_of);
    struct spoken *s = speak("lock", "-n=2", "s", "true");
    lockd_end(&d);
    assert_string_equal(
        s->err, "Lock acquisition failed: Semaphore limit conflict (lock: 3, local: 2)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_is_taken_for_the_child_and_given_back),
        cmocka_unit_test(exit_code_of_the_child_counts_when_asked_for),
        cmocka_unit_test(child_that_cannot_start_gives_the_lock_back),
        cmocka_unit_test(lost_lock_ends_the_child),
        cmocka_unit_test(held_lock_times_out_with_try),
        cmocka_unit_test(key_of_another_use_is_left_alone),
        cmocka_unit_test(semaphore_lists_its_holders),
        cmocka_unit_test(semaphore_of_another_limit_is_a_conflict),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
