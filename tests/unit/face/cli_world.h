/* SPDX-License-Identifier: Apache-2.0 */
/* Runs commands on streams of the test, and plays an agent that gives prepared answers. */
#pragma once
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "consuld/model.h"

#define CLI_WORDS_MAX 32
#define CLI_TEXT_MAX 65536

struct spoken {
    int status;
    char out[CLI_TEXT_MAX], err[CLI_TEXT_MAX];
};

static void cli_copy(char *to, const char *from, size_t n)
{
    assert_true(n < CLI_TEXT_MAX);
    memcpy(to, from, n);
    to[n] = '\0';
}

/* `input` is standard input; words as in argv behind the program's name, ended by NULL. */
static struct spoken *speak_words(const char *input, char **words)
{
    static struct spoken s;
    char *out, *err;
    size_t out_n, err_n;
    int argc = 0;
    while (words[argc])
        argc++;
    struct cli_streams io = { input && *input
                                  ? fmemopen((void *)(uintptr_t)input, strlen(input), "r")
                                  : fopen("/dev/null", "r"),
        open_memstream(&out, &out_n), open_memstream(&err, &err_n) };
    s.status = cli_run(&io, argc, words);
    fclose(io.in);
    fclose(io.out);
    fclose(io.err);
    cli_copy(s.out, out, out_n);
    cli_copy(s.err, err, err_n);
    free(out);
    free(err);
    return &s;
}

static inline struct spoken *speak_with(const char *input, const char *word, ...)
{
    char *words[CLI_WORDS_MAX] = { 0 };
    int n = 0;
    va_list ap;
    va_start(ap, word);
    for (const char *w = word; w; w = va_arg(ap, const char *)) {
        assert_true(n < CLI_WORDS_MAX - 1);
        words[n++] = (char *)(uintptr_t)w;
    }
    va_end(ap);
    return speak_words(input, words);
}
#define speak(...) speak_with("", __VA_ARGS__, NULL)

static inline void assert_begins(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0) fail_msg("\"%s\" begins not \"%s\"", text, start);
}

/* --- the agent that is played ---------------------------------------------------------------- */

#define PLAY_ANSWERS_MAX 16

/* One connection per answer, in order: a whole HTTP answer each. */
struct play {
    pid_t pid;
    int seen; /* pipe with the requests as they came, each followed by a NUL */
    char address[128];
    char requests[PLAY_ANSWERS_MAX][4096];
};

static size_t play_length(const char *head)
{
    const char *at = strstr(head, "Content-Length: ");
    return at ? (size_t)strtoul(at + strlen("Content-Length: "), NULL, 10) : 0;
}

static void play_one(int fd, const char *answer, int seen)
{
    char text[4096] = "";
    size_t n = 0;
    for (;;) {
        char *end = strstr(text, "\r\n\r\n");
        if (end && n >= (size_t)(end + 4 - text) + play_length(text)) break;
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
        text[n] = '\0';
    }
    ssize_t done = write(seen, text, n + 1);
    done = send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    (void)done;
    close(fd);
}

static void play_start(struct play *p, int listener, const char *const *answers)
{
    int ends[2];
    assert_int_equal(listen(listener, PLAY_ANSWERS_MAX), 0);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        for (; *answers; answers++)
            play_one(accept(listener, NULL, NULL), *answers, ends[1]);
        _exit(0);
    }
    close(listener);
    close(ends[1]);
    p->seen = ends[0];
    setenv("CONSUL_HTTP_ADDR", p->address, 1);
}

static inline void play(struct play *p, const char *const *answers)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.38.9", &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    getsockname(fd, (struct sockaddr *)&at, &n);
    snprintf(p->address, sizeof p->address, "127.0.38.9:%d", ntohs(at.sin_port));
    play_start(p, fd, answers);
}

static inline void play_unix(struct play *p, const char *path, const char *const *answers)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    snprintf(p->address, sizeof p->address, "unix://%.100s", path);
    play_start(p, fd, answers);
}

/* After as many calls as there are answers: p->requests is filled. */
static inline void play_end(struct play *p)
{
    static char all[PLAY_ANSWERS_MAX * 4096];
    size_t n = 0, from = 0;
    ssize_t got;
    int status;
    memset(p->requests, 0, sizeof p->requests);
    while ((got = read(p->seen, all + n, sizeof all - n)) > 0)
        n += (size_t)got;
    for (size_t i = 0; i < PLAY_ANSWERS_MAX && from < n; i++) {
        snprintf(p->requests[i], sizeof p->requests[i], "%s", all + from);
        from += strlen(all + from) + 1;
    }
    close(p->seen);
    waitpid(p->pid, &status, 0);
    unsetenv("CONSUL_HTTP_ADDR");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define ANSWER(status, body) \
    "HTTP/1.1 " status "\r\nX-Consul-Index: 7\r\nConnection: close\r\n\r\n" body
#define PLAY(p, ...) play(p, (const char *const[]){ __VA_ARGS__, NULL })
