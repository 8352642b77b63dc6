/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's state, shared by the files of net. */
#pragma once
#include <uv.h>

#include "consuld/net.h"

#define NET_READ_SIZE (64u << 10)

struct world {
    uv_loop_t loop;
    uv_timer_t alarm; /* set to the earliest timer before each poll */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t awake;     /* active while ticks wait, so that the poll does not block */
    struct timer **heap; /* by due_ms */
    size_t n_timers;
    size_t cap_timers;
    uint64_t armed_ms; /* what alarm is set to; 0 when stopped */
    struct link ticks;
    size_t jobs;
    bool stop;
    struct map off_limits; /* IP and port -> itself */
    uint64_t trespasses;
    char read_buffer[NET_READ_SIZE]; /* one for all streams: data is handed on at once */
};

/* Something leaves for there: 4 or 16 bytes of IP. */
void net__leaves_for(struct world *w, const char *how, struct str ip, uint16_t port);

void net__timers_init(struct world *w);
void net__timers_deinit(struct world *w);
/* Sets the alarm to the earliest timer. */
void net__timers_arm(struct world *w);
