/* SPDX-License-Identifier: Apache-2.0 */
/* Remote execution, for an agent that allows it: an event names a job among the keys, the agent
 * reads it, says so at PREFIX/SESSION/NODE/ack, runs it, and writes its output to out/00000,
 * out/00001 ... and its status to exit next to that (agent.md 13). All that is written is held by
 * the session of the one who asked, so that its end ends the writing; the command goes on. */
#pragma once
#include "consuld/base.h"

#define REMOTE_EXEC_MAX 16                       /* jobs at a time; more are refused */
#define REMOTE_EXEC_CHUNK ((size_t)4096)         /* of output, in one key */
#define REMOTE_EXEC_IDLE_MS 500                  /* before less than a chunk is written */
#define REMOTE_EXEC_UNSENT_MAX ((size_t)1 << 16) /* then the command waits */

struct rpc_client;
struct world;
struct remote_exec;

struct remote_exec_options {
    struct world *world;
    struct rpc_client *rpc;
    struct str datacenter, node_name, token; /* copied */
};

struct remote_exec *remote_exec_create(const struct remote_exec_options *opts);
/* Kills what runs. NULL is fine. */
void remote_exec_destroy(struct remote_exec *x);
/* An event _rexec for us: {"Prefix":"_rexec","Session":"..."}. */
void remote_exec_take(struct remote_exec *x, struct str payload);
