/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives a restart and a reload. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "local_world.h"

static size_t fired, pushed;

static void count_fire(struct local_watch *w)
{
    (void)w;
    fired++;
}

/* --- files ------------------------------------------------------------------------------------ */

static size_t files_in(const char *folder)
{
    DIR *d = opendir(folder);
    size_t n = 0;
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void files_remove(const char *folder)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    }
    closedir(d);
}

static struct error push_error;
static void note_push(struct local_push *p)
{
    push_error = p->files.err;
    pushed++;
}

static void what_cannot_be_written_is_told_and_tried_again(void **state)
{
    struct bench *b = *state;
    char *dir = scratch_create();
    struct arena a = ARENA_INIT;
    const char *in_the_way = str_printf(&a, "%s/services", dir).p;
    local_destroy(b->local);
    local_open(b, dir);
    local_start(b->local);
    FILE *f = fopen(in_the_way, "w");
    fclose(f);
    struct local_push p = { .done = note_push }, q = { .done = note_push };
    pushed = 0;
    given_at_once(b, "{\"Name\":\"web\"}");
    local_push(b->local, &p);
    fake_world_turn(&b->world);
    assert_int_equal(pushed, 0);
    fake_world_run_jobs(&b->world);
    assert_int_equal(pushed, 1);
    assert_int_equal(push_error.code, ERR_IO);
    local_service_unkept(b->local, STR("web"), false);
    unlink(in_the_way);
    given_at_once(b, "{\"Name\":\"web\"}");
    local_push(b->local, &q);
    fake_world_turn(&b->world);
    fake_world_run_jobs(&b->world);
    assert_int_equal(pushed, 2);
    assert_int_equal(push_error.code, 0);
    assert_int_equal(files_in(in_the_way), 1);
    local_service_unkept(b->local, STR("web"), true);
    assert_null(local_service_get(b->local, STR("web")));
    fake_world_run_jobs(&b->world);
    assert_int_equal(files_in(in_the_way), 0);
    arena_free(&a);
    scratch_destroy(dir);
}

static void identical_registration_writes_no_file(void **state)
{
    struct bench *b = *state;
    char *dir = scratch_create();
    struct arena a = ARENA_INIT;
    const char *folder = str_printf(&a, "%s/services", dir).p;
    local_destroy(b->local);
    local_open(b, dir);
    local_start(b->local);
    given(b, "{\"Name\":\"web\",\"Check\":{\"TTL\":\"1h\"}}");
    fake_world_run_jobs(&b->world);
    assert_int_equal(files_in(folder), 1);
    files_remove(folder);
    given(b, "{\"Name\":\"web\",\"Check\":{\"TTL\":\"1h\"}}");
    fake_world_run_jobs(&b->world);
    assert_int_equal(files_in(folder), 0);
    given(b, "{\"Name\":\"web\",\"Port\":1,\"Check\":{\"TTL\":\"1h\"}}");
    fake_world_run_jobs(&b->world);
    assert_int_equal(files_in(folder), 1);
    arena_free(&a);
    scratch_destroy(dir);
}

/* --- reload ------------------------------------------------------------------------------------
 */

static void reload_of_the_same_costs_nothing_and_resets_nothing(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list services = { 0 }, checks = { 0 };
    struct service_definition *web = LIST_PUSH(&a, &services, struct service_definition);
    *web = (struct service_definition){ .name = STR("web"), .port = 1 };
    web->connect = arena_new(&a, struct service_connect);
    web->connect->sidecar_service = arena_new(&a, struct service_definition);
    *LIST_PUSH(&a, &checks, struct check_definition) =
        (struct check_definition){ .id = STR("c"), .name = STR("c"), .ttl = INT64_C(10000000000) };
    struct local_configured all = { &services, &checks, { 0 } };
    assert_int_equal(local_load(b->local, &services, &checks, &err), 0);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("passing"), STR("up"), &err), 0);
    fake_world_turn(&b->world);
    fake_world_advance(&b->world, 6000);
    size_t calls = b->catalog.registers + b->catalog.deregisters;
    assert_int_equal(local_reload(b->local, &all, &all, &err), 0);
    fake_world_turn(&b->world);
    assert_int_equal(b->catalog.registers + b->catalog.deregisters, calls);
    assert_int_equal(local_service_get(b->local, STR("web-sidecar-proxy"))->port, 21000);
    check_is(b, "c", "passing", "up");
    fake_world_advance(&b->world, 5000);
    check_is(b, "c", "critical", "TTL expired (last output before timeout follows): up");
    arena_free(&a);
}

static void reload_gives_ports_of_sidecars_in_the_order_of_configuration(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list one = { 0 }, two = { 0 }, checks = { 0 };
    struct service_definition web = { .name = STR("web"), .port = 1 }, db = web;
    web.connect = arena_new(&a, struct service_connect);
    web.connect->sidecar_service = arena_new(&a, struct service_definition);
    db.name = STR("db");
    db.connect = web.connect;
    *LIST_PUSH(&a, &one, struct service_definition) = web;
    *LIST_PUSH(&a, &two, struct service_definition) = db;
    *LIST_PUSH(&a, &two, struct service_definition) = web;
    struct local_configured present = { &one, &checks, DICT_EMPTY };
    struct local_configured fresh = { &two, &checks, DICT_EMPTY };
    assert_int_equal(local_load(b->local, &one, &checks, &err), 0);
    assert_int_equal(local_reload(b->local, &present, &fresh, &err), 0);
    assert_int_equal(local_service_get(b->local, STR("db-sidecar-proxy"))->port, 21000);
    assert_int_equal(local_service_get(b->local, STR("web-sidecar-proxy"))->port, 21001);
    arena_free(&a);
}

static void registrations_survive_a_restart(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct list none = { 0 };
    char *dir = scratch_create();
    local_destroy(b->local);
    local_open(b, dir);
    local_start(b->local);
    given(b, "{\"Name\":\"web\",\"Port\":80,\"Check\":{\"CheckID\":\"wc\",\"TTL\":\"1h\"},"
             "\"Connect\":{\"SidecarService\":{}}}");
    assert_int_equal(local_check_update(b->local, STR("wc"), STR("passing"), STR("up"), &err), 0);
    fake_world_run_jobs(&b->world);
    local_destroy(b->local);
    local_open(b, dir);
    assert_int_equal(local_load(b->local, &none, &none, &err), 0);
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 80);
    check_is(b, "wc", "passing", "up");
    assert_int_equal(local_service_deregister(b->local, STR("web")), 0);
    assert_null(local_service_get(b->local, STR("web-sidecar-proxy")));
    fake_world_run_jobs(&b->world);
    scratch_destroy(dir);
}

/* A write that was cut off leaves its temporary file. */
static void what_a_crash_cut_off_is_cleared_away(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct list none = { 0 };
    char *dir = scratch_create();
    local_destroy(b->local);
    local_open(b, dir);
    local_start(b->local);
    given(b, "{\"Name\":\"web\",\"Port\":80}");
    fake_world_run_jobs(&b->world);
    struct arena a = ARENA_INIT;
    const char *path = str_printf(&a, "%s/services/0123.tmp", dir).p;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"Service\":{", f);
    fclose(f);
    local_destroy(b->local);
    local_open(b, dir);
    assert_int_equal(local_load(b->local, &none, &none, &err), 0);
    assert_non_null(local_service_get(b->local, STR("web")));
    assert_int_not_equal(access(path, F_OK), 0);
    arena_free(&a);
    scratch_destroy(dir);
}

static void reload_keeps_check_results(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list services = { 0 }, checks = { 0 };
    struct service_definition *web = LIST_PUSH(&a, &services, struct service_definition);
    *web = (struct service_definition){ .name = STR("web"), .port = 1 };
    *LIST_PUSH(&a, &checks, struct check_definition) = (struct check_definition){
        .id = STR("c"), .name = STR("c"), .ttl = INT64_C(3600000000000)
    };
    assert_int_equal(local_load(b->local, &services, &checks, &err), 0);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("passing"), STR("up"), &err), 0);
    fake_world_turn(&b->world);
    struct local_watch w = { .id = STR("web"), .fire = count_fire };
    fired = 0;
    local_watch_add(b->local, &w);
    web->port = 2;
    struct local_configured all = { &services, &checks, DICT_EMPTY };
    assert_int_equal(local_reload(b->local, &all, &all, &err), 0);
    fake_world_turn(&b->world);
    assert_int_equal(fired, 1);
    check_is(b, "c", "passing", "up");
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 2);
    services.n = 0;
    assert_int_equal(local_reload(b->local, &all, &all, &err), 0);
    fake_world_turn(&b->world);
    assert_null(local_service_get(b->local, STR("web")));
    assert_null(in_catalog(b, "web"));
    arena_free(&a);
}

static void refused_reload_changes_nothing(void **state)
{
    struct bench *b = *state;
    struct error err;
    struct arena a = ARENA_INIT;
    struct list services = { 0 }, more = { 0 }, checks = { 0 }, wrong = { 0 };
    struct service_definition web = { .name = STR("web"), .port = 1 };
    struct service_definition web_other = { .name = STR("web"), .port = 2 };
    struct check_definition ttl = {
        .id = STR("c"), .name = STR("c"), .ttl = INT64_C(3600000000000)
    };
    *LIST_PUSH(&a, &services, struct service_definition) = web;
    *LIST_PUSH(&a, &checks, struct check_definition) = ttl;
    assert_int_equal(local_load(b->local, &services, &checks, &err), 0);
    assert_int_equal(local_check_update(b->local, STR("c"), STR("passing"), STR("up"), &err), 0);
    fake_world_turn(&b->world);
    *LIST_PUSH(&a, &more, struct service_definition) = web_other;
    *LIST_PUSH(&a, &more, struct service_definition) =
        (struct service_definition){ .name = STR("new"), .port = 3 };
    *LIST_PUSH(&a, &wrong, struct check_definition) =
        (struct check_definition){ .id = STR("bad"), .name = STR("bad") };
    struct local_configured present = { &services, &checks, DICT_EMPTY };
    struct local_configured fresh = { &more, &wrong, DICT_EMPTY };
    assert_int_not_equal(local_reload(b->local, &present, &fresh, &err), 0);
    fake_world_turn(&b->world);
    assert_null(local_service_get(b->local, STR("new")));
    assert_null(in_catalog(b, "new"));
    assert_int_equal(local_service_get(b->local, STR("web"))->port, 1);
    check_is(b, "c", "passing", "up");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_cannot_be_written_is_told_and_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(identical_registration_writes_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(
            reload_of_the_same_costs_nothing_and_resets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            reload_gives_ports_of_sidecars_in_the_order_of_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(registrations_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_cut_off_is_cleared_away, setup, teardown),
        cmocka_unit_test_setup_teardown(reload_keeps_check_results, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_reload_changes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
