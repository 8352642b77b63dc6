/* SPDX-License-Identifier: Apache-2.0 */
#include "raft_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void driver_requests_init(struct raft_driver *d)
{
    link_init(&d->queue);
    link_init(&d->reads);
    link_init(&d->snapshot_requests);
    link_init(&d->saves);
    link_init(&d->answers);
}

void driver_command_free(struct raft_driver_work *w)
{
    if (!w->command) return;
    free(w->command);
    w->command = NULL;
    w->driver->request_bytes -= w->command_n;
}

static void work_destroy(struct raft_driver_work *w)
{
    if (w->request) w->request->work = NULL;
    driver_command_free(w);
    w->driver->requests--;
    shared_body_unref(w->archive);
    free(w);
}

static void list_destroy(struct link *head)
{
    struct link *l;
    while ((l = link_pop(head)))
        work_destroy(container_of(l, struct raft_driver_work, link));
}

void driver_requests_deinit(struct raft_driver *d)
{
    list_destroy(&d->queue);
    list_destroy(&d->reads);
    list_destroy(&d->snapshot_requests);
    list_destroy(&d->saves);
    list_destroy(&d->answers);
    for (size_t i = 0; i < d->works_n; i++)
        if (d->works[i]) work_destroy(d->works[i]);
    free(d->works);
    free(d->generations);
    free(d->free_slots);
}

/* --- handles: slot + 1 and how often the slot was used ---------------------------------------- */

uint64_t driver_work_put(struct raft_driver *d, struct raft_driver_work *w)
{
    if (d->free_n == 0) {
        ensure(d->works_n <= DRIVER_WORKS_MAX);
        if (d->works_n == d->works_cap) {
            d->works_cap = d->works_cap ? d->works_cap * 2 : 64;
            d->works = xrealloc(d->works, d->works_cap * sizeof *d->works);
            d->generations = xrealloc(d->generations, d->works_cap * sizeof *d->generations);
            d->free_slots = xrealloc(d->free_slots, d->works_cap * sizeof *d->free_slots);
        }
        d->works[d->works_n] = NULL;
        d->generations[d->works_n] = 0;
        d->free_slots[d->free_n++] = d->works_n++;
    }
    size_t slot = d->free_slots[--d->free_n];
    d->works[slot] = w;
    w->handle = (uint64_t)d->generations[slot] << 32 | (slot + 1);
    return w->handle;
}

struct raft_driver_work *driver_work_take(struct raft_driver *d, uint64_t handle)
{
    size_t slot = (size_t)(handle & UINT32_MAX);
    if (slot == 0 || slot > d->works_n) return NULL;
    struct raft_driver_work *w = d->works[slot - 1];
    if (!w || w->handle != handle) return NULL;
    d->works[slot - 1] = NULL;
    d->generations[slot - 1]++;
    d->free_slots[d->free_n++] = slot - 1;
    w->handle = 0;
    return w;
}

static size_t works_in_hand(const struct raft_driver *d)
{
    return d->works_n - d->free_n;
}

/* --- submitting ----------------------------------------------------------------------------- */

static struct raft_driver_work *submit(
    struct raft_driver *d, struct raft_driver_request *r, enum work_kind kind)
{
    struct raft_driver_work *w = xcalloc(1, sizeof *w);
    ensure(r->work == NULL && r->done != NULL);
    w->driver = d;
    w->request = r;
    w->kind = kind;
    w->since_ms = world_now_ms(d->world);
    r->work = w;
    r->driver = d;
    r->code = 0;
    r->err.code = 0;
    r->err.text[0] = '\0';
    r->index = 0;
    r->result = NULL;
    r->archive = NULL;
    link_init(&w->link);
    d->requests++;
    if (d->stopping)
        driver_finish(d, w, ERR_INTERNAL, RAFT_ERR_SHUTDOWN);
    else if (d->requests > DRIVER_REQUESTS_MAX)
        driver_finish(d, w, ERR_LIMIT, RAFT_ERR_OVERLOADED);
    else
        link_push(&d->queue, &w->link);
    tick_mark(&d->tick);
    return w;
}

static void keep_command(struct raft_driver *d, struct raft_driver_work *w, struct str command)
{
    if (d->request_bytes + command.n > DRIVER_REQUEST_BYTES_MAX) {
        link_remove(&w->link);
        driver_finish(d, w, ERR_LIMIT, RAFT_ERR_OVERLOADED);
        return;
    }
    w->command = xmalloc(command.n + 1);
    w->command_n = command.n;
    d->request_bytes += command.n;
    if (command.n) memcpy(w->command, command.p, command.n);
}

void raft_driver_propose(struct raft_driver *d, struct raft_driver_request *r, struct str command)
{
    struct raft_driver_work *w = submit(d, r, WORK_PROPOSE);
    d->counters.proposals++;
    keep_command(d, w, command);
}

void raft_driver_barrier(struct raft_driver *d, struct raft_driver_request *r)
{
    submit(d, r, WORK_BARRIER);
}

void raft_driver_verify_leader(struct raft_driver *d, struct raft_driver_request *r)
{
    submit(d, r, WORK_VERIFY);
}

void raft_driver_snapshot(struct raft_driver *d, struct raft_driver_request *r)
{
    submit(d, r, WORK_SNAPSHOT);
}

void raft_driver_save(struct raft_driver *d, struct raft_driver_request *r)
{
    submit(d, r, WORK_SAVE);
}

void raft_driver_restore(
    struct raft_driver *d, struct raft_driver_request *r, struct shared_body *archive)
{
    submit(d, r, WORK_RESTORE)->archive = shared_body_ref(archive);
}

void raft_driver_change(struct raft_driver *d, struct raft_driver_request *r,
    enum raft_driver_change_op op, struct str id, struct str address)
{
    struct raft_driver_work *w = submit(d, r, WORK_CHANGE);
    w->change = op;
    /* Too long a text is refused by the core as an empty one. */
    if (id.n < sizeof w->id) memcpy(w->id, id.p, id.n);
    if (address.n < sizeof w->address) memcpy(w->address, address.p, address.n);
}

void raft_driver_transfer(struct raft_driver *d, struct raft_driver_request *r, struct str id)
{
    struct raft_driver_work *w = submit(d, r, WORK_TRANSFER);
    if (id.n < sizeof w->id && id.n) memcpy(w->id, id.p, id.n);
    if (id.n < sizeof w->id) return;
    link_remove(&w->link);
    driver_finish(d, w, ERR_BAD_REQUEST, "there is no such server");
}

void raft_driver_forget(struct raft_driver_request *r)
{
    if (!r->work) return;
    r->work->request = NULL;
    r->work = NULL;
}

/* --- answering ------------------------------------------------------------------------------ */

void driver_finish(struct raft_driver *d, struct raft_driver_work *w, int code, const char *text)
{
    w->code = code;
    if (text) {
        size_t n = strnlen(text, sizeof w->text - 1); /* longer ones are cut */
        memcpy(w->text, text, n);
        w->text[n] = '\0';
    }
    link_push(&d->answers, &w->link);
}

void driver_answer(struct raft_driver *d)
{
    struct link *l;
    while ((l = link_pop(&d->answers))) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        struct raft_driver_request *r = w->request;
        if (r) {
            r->work = NULL;
            w->request = NULL;
            r->code = w->code;
            r->index = w->index;
            if (w->code) error_set(&r->err, w->code, "%s", w->text);
            r->result = w->has_result ? &w->result : NULL;
            if (w->kind == WORK_SAVE) {
                r->archive = w->archive;
                w->archive = NULL;
            }
            r->done(r); /* may free the request */
        }
        work_destroy(w);
    }
}

void driver_reads_answer(struct raft_driver *d)
{
    uint64_t applied = driver_applied(d);
    link_each (l, &d->reads) {
        struct raft_driver_work *w = container_of(l, struct raft_driver_work, link);
        if (w->read_from > applied) continue;
        link_remove(l);
        driver_finish(d, w, 0, NULL);
    }
}

void driver_fail_all(struct raft_driver *d, bool queued_too, int code, const char *text)
{
    struct link *l;
    for (size_t i = 0; i < d->works_n; i++) {
        struct raft_driver_work *w = d->works[i];
        if (!w || (w->kind == WORK_VERIFY && !queued_too)) continue;
        driver_finish(d, driver_work_take(d, w->handle), code, text);
    }
    if (!queued_too) return;
    while ((l = link_pop(&d->queue)) || (l = link_pop(&d->reads)) ||
           (l = link_pop(&d->snapshot_requests)) || (l = link_pop(&d->saves)))
        driver_finish(d, container_of(l, struct raft_driver_work, link), code, text);
}

static void status_text(enum raft_status status, int *code, const char **text)
{
    *code = ERR_INTERNAL;
    switch (status) {
    case RAFT_DONE:
        *code = 0;
        *text = NULL;
        return;
    case RAFT_NOT_LEADER:
        *text = RAFT_ERR_NOT_LEADER;
        return;
    case RAFT_LEADERSHIP_LOST:
        *text = RAFT_ERR_LEADERSHIP_LOST;
        return;
    case RAFT_BUSY:
        *text = RAFT_ERR_ENQUEUE_TIMEOUT;
        return;
    case RAFT_TRANSFERRING:
        *text = RAFT_ERR_TRANSFERRING;
        return;
    case RAFT_CHANGE_IN_PROGRESS:
        *text = "another configuration change is in progress";
        return;
    case RAFT_INVALID:
        *text = "the configuration change is not possible";
        return;
    case RAFT_TIMED_OUT:
        *text = "leadership transfer timeout";
        return;
    case RAFT_RESTORED:
        *text = "snapshot restored while committing log";
        return;
    case RAFT_FAILED:
        *text = "the snapshot could not be installed";
        return;
    }
}

void driver_result(struct raft_driver *d, const struct raft_result *r)
{
    struct raft_driver_work *w = driver_work_take(d, r->handle);
    int code;
    const char *text;
    if (!w) return;
    if (r->status == RAFT_BUSY) {
        d->core_full = true;
        link_push(&d->queue, &w->link);
        return;
    }
    status_text(r->status, &code, &text);
    w->index = r->index;
    if (!code && w->kind == WORK_VERIFY) {
        w->read_from = r->index;
        link_push(&d->reads, &w->link);
        return;
    }
    driver_finish(d, w, code, text);
}

/* --- giving to the core --------------------------------------------------------------------- */

/* Extensions of a chunk: field 1 operation, 2 number, 3 count, zeros left out. */
static struct str chunk_extensions(struct arena *a, uint64_t op, uint64_t number, uint64_t count)
{
    uint64_t fields[] = { op, number, count };
    uint8_t bytes[40];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        uint64_t v = fields[i];
        if (v == 0) continue;
        bytes[n++] = (uint8_t)((i + 1) << 3);
        for (; v >= 0x80; v >>= 7)
            bytes[n++] = (uint8_t)(v | 0x80);
        bytes[n++] = (uint8_t)v;
    }
    return (struct str){ arena_copy(a, bytes, n), n };
}

/* How many proposals a work becomes. */
static size_t parts_of(const struct raft_driver_work *w)
{
    if (w->kind != WORK_PROPOSE || w->command_n <= DRIVER_CHUNK_SIZE) return 1;
    if ((w->command[0] & 0x7f) != COMMAND_KVS) return 1;
    return (w->command_n + DRIVER_CHUNK_SIZE - 1) / DRIVER_CHUNK_SIZE;
}

static void add_proposals(
    struct raft_driver *d, struct raft_driver_work *w, struct raft_proposal *out, size_t parts)
{
    uint64_t handle = driver_work_put(d, w), op = 0;
    if (w->kind == WORK_BARRIER) {
        out[0] = (struct raft_proposal){ .handle = handle, .type = RAFT_BARRIER };
        return;
    }
    while (parts > 1 && op == 0)
        world_random(d->world, &op, sizeof op);
    for (size_t i = 0; i < parts; i++) {
        size_t from = i * DRIVER_CHUNK_SIZE;
        size_t n = parts > 1 && i + 1 < parts ? DRIVER_CHUNK_SIZE : w->command_n - from;
        out[i] = (struct raft_proposal){ .handle = i + 1 == parts ? handle : 0,
            .data = { w->command + from, n },
            .type = RAFT_COMMAND };
        if (parts > 1) out[i].extensions = chunk_extensions(&d->arena, op, i, parts);
    }
}

static bool refuse_early(struct raft_driver *d, struct raft_driver_work *w)
{
    bool writes = w->kind == WORK_PROPOSE || w->kind == WORK_BARRIER || w->kind == WORK_CHANGE ||
                  w->kind == WORK_RESTORE;
    if (!w->request)
        driver_finish(d, w, ERR_CANCELLED, NULL);
    else if (w->kind == WORK_PROPOSE && (w->command_n == 0 || w->command_n > LOG_ENTRY_MAX / 2))
        driver_finish(d, w, ERR_TOO_LARGE, "the command is too large for the raft log");
    else if (writes && d->broken)
        driver_finish(d, w, ERR_INTERNAL, d->broken_text);
    else if (writes && d->refused)
        driver_finish(d, w, ERR_IO, d->refused_text);
    else if (world_now_ms(d->world) - w->since_ms >= DRIVER_ENQUEUE_TIMEOUT_MS)
        driver_finish(d, w, ERR_INTERNAL, RAFT_ERR_ENQUEUE_TIMEOUT);
    else
        return false;
    return true;
}

static void step_one(struct raft_driver *d, struct raft_driver_work *w)
{
    static const enum raft_change_type changes[] = {
        [DRIVER_ADD_VOTER] = RAFT_ADD_VOTER,
        [DRIVER_ADD_NONVOTER] = RAFT_ADD_NONVOTER,
        [DRIVER_DEMOTE] = RAFT_DEMOTE,
        [DRIVER_REMOVE] = RAFT_REMOVE,
    };
    struct raft_event ev;
    if (w->kind == WORK_SNAPSHOT || w->kind == WORK_SAVE) {
        link_push(&d->snapshot_requests, &w->link);
        driver_snapshot_begin(d);
        return;
    }
    if (w->kind == WORK_RESTORE) {
        driver_restore_begin(d, w);
        return;
    }
    if (w->kind == WORK_VERIFY) {
        ev = (struct raft_event){ .type = RAFT_VERIFY, .verify.handle = driver_work_put(d, w) };
    } else if (w->kind == WORK_TRANSFER) {
        ev = (struct raft_event){ .type = RAFT_TRANSFER,
            .transfer = { .id = str_of(w->id), .handle = driver_work_put(d, w) } };
    } else {
        ev = (struct raft_event){ .type = RAFT_CHANGE,
            .change = { .type = changes[w->change],
                .id = str_of(w->id),
                .address = str_of(w->address),
                .handle = driver_work_put(d, w) } };
    }
    driver_step(d, &ev);
}

/* What is due of the queue: room in the table is left for what cannot wait. */
static struct raft_driver_work *queue_pop(struct raft_driver *d)
{
    if (works_in_hand(d) >= DRIVER_WORKS_MAX) return NULL;
    struct link *l = link_pop(&d->queue);
    return l ? container_of(l, struct raft_driver_work, link) : NULL;
}

static bool refuse_queued(struct raft_driver *d)
{
    struct link todo, *l;
    bool any = false;
    link_init(&todo);
    while ((l = link_pop(&d->queue)))
        link_push(&todo, l);
    while ((l = link_pop(&todo))) {
        if (refuse_early(d, container_of(l, struct raft_driver_work, link)))
            any = true;
        else
            link_push(&d->queue, l);
    }
    return any;
}

/* The core has copied what it took. */
static void free_commands(struct raft_driver *d, const struct raft_proposal *batch, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t slot = (size_t)(batch[i].handle & UINT32_MAX);
        if (slot == 0 || !d->works[slot - 1] || d->works[slot - 1]->handle != batch[i].handle)
            continue;
        driver_command_free(d->works[slot - 1]);
    }
}

bool driver_requests_step(struct raft_driver *d)
{
    struct raft_proposal *batch = NULL;
    struct raft_driver_work *w;
    struct link todo, *l;
    size_t n = 0;
    bool any = refuse_queued(d);
    if (d->core_full) return any;
    link_init(&todo);
    while ((w = queue_pop(d))) {
        if (w->kind != WORK_PROPOSE && w->kind != WORK_BARRIER) {
            link_push(&todo, &w->link);
            continue;
        }
        size_t parts = parts_of(w);
        if (n + parts > RAFT_PROPOSALS_MAX) {
            link_insert_before(d->queue.next, &w->link);
            break;
        }
        if (!batch) batch = xcalloc(RAFT_PROPOSALS_MAX, sizeof *batch);
        add_proposals(d, w, batch + n, parts);
        n += parts;
    }
    if (n) {
        struct raft_event ev = { .type = RAFT_PROPOSE, .propose = { .v = batch, .n = n } };
        driver_step(d, &ev);
        free_commands(d, batch, n);
        any = true;
    }
    free(batch);
    while ((l = link_pop(&todo))) {
        step_one(d, container_of(l, struct raft_driver_work, link));
        any = true;
    }
    return any;
}
