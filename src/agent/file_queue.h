/* SPDX-License-Identifier: Apache-2.0 */
/* Small files written one after another on a worker: to a temporary name, synced, renamed. */
#pragma once
#include "consuld/agent/local.h"

struct file_queue;

struct file_queue *file_queue_create(struct world *w);
/* Waits for nothing: a running job frees the queue when it ends, after all queued work. */
void file_queue_destroy(struct file_queue *q);
/* Replaces `path` (mode 0600, its folder is made 0700). Both are copied. */
void file_queue_write(struct file_queue *q, const char *path, struct str content);
void file_queue_remove(struct file_queue *q, const char *path);

/* Nothing queued from now on is carried out before file_queue_release; file_queue_drop forgets all
 * that was queued since and releases. */
void file_queue_hold(struct file_queue *q);
void file_queue_release(struct file_queue *q);
void file_queue_drop(struct file_queue *q);

/* How much was queued ever: the place of what comes next. */
uint64_t file_queue_place(const struct file_queue *q);
/* w->done is called when everything queued so far was carried out, with w->err the first failure of
 * what was queued from place `from` on. False if nothing is pending (done is not called). */
bool file_queue_wait(struct file_queue *q, struct file_wait *w, uint64_t from);
void file_wait_cancel(struct file_wait *w);
