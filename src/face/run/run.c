/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/face/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"
#include "consuld/store_log.h"
#include "consuld/net/tls.h"
#include "run.h"

static void on_reload(struct api_request *req)
{
    struct face_context *ctx = req->ctx;
    run_reload(ctx->run, req);
}

static void on_leave(struct api_request *req)
{
    struct face_context *ctx = req->ctx;
    run_leave_for(ctx->run, req);
}

static int refuse(const struct buf *text)
{
    fprintf(stderr, "==> %.*s\n", STR_ARG(buf_str(text)));
    return 1;
}

static int parse(struct run *r, int argc, char **argv)
{
    struct error err;
    int failed = config_parse_flags(argc, argv, &r->arena, r->args, &err);
    if (failed) {
        struct buf usage = BUF_INIT(CONFIG_MESSAGE_MAX);
        FILE *to = failed == ERR_NOT_FOUND ? stdout : stderr;
        config_flags_usage(&usage);
        if (failed != ERR_NOT_FOUND) fprintf(to, "%s\n", err.text);
        fprintf(to, "Usage: consul agent [options]\n\n%.*s", STR_ARG(buf_str(&usage)));
        buf_deinit(&usage);
        return failed == ERR_NOT_FOUND ? 0 : 1;
    }
    if (r->args->rest.n) {
        fprintf(stderr, "==> Unexpected extra arguments: [");
        for (size_t i = 0; i < r->args->rest.n; i++)
            fprintf(
                stderr, "%s%.*s", i ? " " : "", STR_ARG(LIST_AT(&r->args->rest, struct str, i)));
        fprintf(stderr, "]\n");
        return 1;
    }
    return -1;
}

static void log_begin(const struct agent_config *c)
{
    struct arena a = ARENA_INIT;
    enum log_level level = LOG_INFO;
    (void)log_level_parse(str_c(&a, c->logging.log_level), &level);
    log_setup(&(struct log_options){
        .level = level, .json = c->logging.log_json, .hold = !c->logging.log_json });
    arena_free(&a);
}

static void log_warnings(const struct buf *warnings)
{
    struct arena a = ARENA_INIT;
    struct str rest = buf_str(warnings), line;
    while (rest.n) {
        str_cut(rest, '\n', &line, &rest);
        if (line.n) log_warn("agent", str_c(&a, line));
    }
    arena_free(&a);
}

static int configure(struct run *r)
{
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), text = BUF_INIT(CONFIG_MESSAGE_MAX);
    struct error err;
    int status = -1;
    config_host_read(&r->arena, &r->args->host);
    if (config_load(r->args, &r->arena, &r->config, &warnings, &text) != 0 ||
        config_check_start(r->config, &text) != 0) {
        status = refuse(&text);
    } else {
        log_begin(r->config);
        bool opened = run_log_open(r, &err) == 0;
        log_warnings(&warnings);
        if (!opened ||
            (r->config->data_dir.n &&
                run_prepare_folder(disk_system(), r->config->data_dir, &err) != 0) ||
            run_node_id(r, &err) != 0 || run_tls_create(r, &err) != 0) {
            fprintf(stderr, "==> %s\n", err.text);
            status = 1;
        }
    }
    buf_deinit(&warnings);
    buf_deinit(&text);
    return status;
}

static void run_free(struct run *r)
{
    net_tls_destroy(r->tls);
    arena_free(&r->given_arena);
    arena_free(&r->reload_arena);
    arena_free(&r->arena);
    free(r->args);
    free(r);
}

void run_running(struct run *r)
{
    if (r->config->logging.log_json) return;
    printf("==> Consul agent running!\n");
    fflush(stdout);
}

int run_agent(int argc, char **argv)
{
    struct run *r = xcalloc(1, sizeof *r);
    struct error err;
    r->syslog_slot = -1;
    r->args = xcalloc(1, sizeof *r->args);
    model_init();
    r->world = net_world_create();
    int status = parse(r, argc, argv);
    if (status < 0) status = configure(r);
    if (status >= 0) {
        net_world_destroy(r->world);
        run_free(r);
        return status;
    }
    r->context.reload = on_reload;
    r->context.leave = on_leave;
    run_banner(r);
    log_release();
    if (run_start(r, &err) != 0) {
        log_error("agent", "Error starting agent", "error", err.text);
        run_shutdown(r, 1);
    }
    net_world_run(r->world);
    status = r->exit_code;
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    log_info("agent", "Exit code", "code", code);
    run_log_close(r);
    net_world_destroy(r->world);
    run_free(r);
    return status;
}
