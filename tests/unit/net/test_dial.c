/* SPDX-License-Identifier: Apache-2.0 */
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/base/outside.h"
#include "consuld/net.h"

#define DIALS 16

/* Name servers that do not answer until the gate opens. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool is_open;
static int lookups;

int getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)node;
    (void)service;
    (void)hints;
    *out = NULL;
    pthread_mutex_lock(&gate);
    lookups++;
    while (!is_open)
        pthread_cond_wait(&opened, &gate);
    pthread_mutex_unlock(&gate);
    return EAI_NONAME;
}

static void set_open(bool open)
{
    pthread_mutex_lock(&gate);
    is_open = open;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
}

static int setup(void **state)
{
    *state = net_world_create();
    lookups = 0;
    set_open(false);
    return 0;
}

static int teardown(void **state)
{
    set_open(true);
    net_world_destroy(*state);
    return 0;
}

static int ended;

static void dial_ended(struct dial *d, struct stream *s)
{
    (void)d;
    assert_null(s);
    ended++;
}

static void start(struct dial *d, struct world *w, const char *host)
{
    *d = (struct dial){ .world = w, .host = str_of(host), .port = 1, .done = dial_ended };
    dial_start(d);
}

static struct world *world;
static bool job_ran, guard_fired;

static void job_run(struct job *j)
{
    (void)j;
}

static void job_done(struct job *j)
{
    (void)j;
    job_ran = true;
    net_world_stop(world);
}

static void guard(struct timer *t)
{
    (void)t;
    guard_fired = true;
    net_world_stop(world);
}

static void lookups_that_hang_leave_workers_to_others(void **state)
{
    struct dial dials[DIALS];
    struct job job = { .run = job_run, .done = job_done };
    struct timer limit;
    world = *state;
    job_ran = guard_fired = false;
    for (int i = 0; i < DIALS; i++)
        start(&dials[i], world, "name.invalid");
    timer_init(&limit, world, guard);
    timer_start(&limit, 5000);
    job_submit(world, &job);
    net_world_run(world);
    assert_true(job_ran);
    assert_false(guard_fired);
    timer_stop(&limit);
    for (int i = 0; i < DIALS; i++)
        dial_cancel(&dials[i]);
}

static void lookups_nobody_waits_for_are_not_made(void **state)
{
    struct dial d;
    for (int i = 0; i < 1000; i++) {
        start(&d, *state, "name.invalid");
        dial_cancel(&d);
    }
    set_open(true);
    net_world_run(*state);
    assert_true(lookups <= 4);
}

static void name_that_cannot_be_is_told_after_the_start(void **state)
{
    struct dial d;
    ended = 0;
    set_open(true);
    start(&d, *state, "\xff\xfe");
    assert_int_equal(ended, 0);
    net_world_run(*state);
    assert_int_equal(ended, 1);
    assert_string_equal(d.err.text, "dial tcp: lookup \xff\xfe: no such host");
}

#define DIAL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIAL_TEST(lookups_that_hang_leave_workers_to_others),
        DIAL_TEST(lookups_nobody_waits_for_are_not_made),
        DIAL_TEST(name_that_cannot_be_is_told_after_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
