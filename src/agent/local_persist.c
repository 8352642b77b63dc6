/* SPDX-License-Identifier: Apache-2.0 */
/* Services and checks registered over HTTP, kept in the data directory in Consul's form
 * (agent.md 7), and the loading of everything at start and on reload. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/base/md5.h"
#include "consuld/model.h"
#include "local_state.h"

#define FILE_MAX ((size_t)4 << 20)

/* clang-format off */
#define PERSISTED_SERVICE_FIELDS(X, S) \
    X(S, token,      STR,               "Token") \
    X(S, service,    PTR(node_service), "Service") \
    X(S, source,     STR,               "Source") \
    X(S, as_sidecar, BOOL,              "LocallyRegisteredAsSidecar", .flags = JSON_OMIT)
DECLARE_RECORD(persisted_service, PERSISTED_SERVICE_FIELDS)
DEFINE_RECORD(persisted_service, PERSISTED_SERVICE_FIELDS, "persistedService")

#define PERSISTED_CHECK_FIELDS(X, S) \
    X(S, check,      PTR(health_check), "Check") \
    X(S, chk_type,   PTR(check_type),   "ChkType") \
    X(S, token,      STR,               "Token") \
    X(S, source,     STR,               "Source")
DECLARE_RECORD(persisted_check, PERSISTED_CHECK_FIELDS)
DEFINE_RECORD(persisted_check, PERSISTED_CHECK_FIELDS, "persistedCheck")

#define PERSISTED_TTL_FIELDS(X, S) \
    X(S, check_id,   STR, "CheckID") \
    X(S, output,     STR, "Output") \
    X(S, status,     STR, "Status") \
    X(S, expires,    INT, "Expires")
DECLARE_RECORD(persisted_ttl, PERSISTED_TTL_FIELDS)
DEFINE_RECORD(persisted_ttl, PERSISTED_TTL_FIELDS, "persistedCheckState")
#define PERSISTED_DEFAULTS_FIELDS(X, S) \
    X(S, service_id, STR,                          "ServiceID") \
    X(S, defaults,   REC(service_config_response), "Defaults")
DECLARE_RECORD(persisted_defaults, PERSISTED_DEFAULTS_FIELDS)
DEFINE_RECORD(persisted_defaults, PERSISTED_DEFAULTS_FIELDS, "persistedServiceConfig")
/* clang-format on */

static const char *source_word(enum local_source source)
{
    return source == LOCAL_FROM_API ? "remote" : "local";
}

/* DATA_DIR/folder/MD5-of-id */
static const char *path_of(struct local *l, struct arena *a, const char *folder, struct str id)
{
    return str_printf(a, "%.*s/%s/%s", STR_ARG(l->opts.data_dir), folder, md5_hex(a, id).p).p;
}

static void keep(
    struct local *l, const char *folder, struct str id, const struct type *t, const void *obj)
{
    if (!l->files) return;
    struct arena a = ARENA_INIT;
    struct buf text = BUF_INIT(FILE_MAX);
    json_encode(t, obj, false, &text);
    file_queue_write(l->files, path_of(l, &a, folder, id), buf_str(&text));
    buf_deinit(&text);
    arena_free(&a);
}

static void forget(struct local *l, const char *folder, struct str id)
{
    if (!l->files) return;
    struct arena a = ARENA_INIT;
    file_queue_remove(l->files, path_of(l, &a, folder, id));
    arena_free(&a);
}

void persist_service(struct local *l, struct local_service *s)
{
    if (s->kept) return;
    s->kept = true;
    struct node_service svc = s->own;
    struct persisted_service p = { .token = s->token,
        .service = &svc,
        .source = str_of(source_word(s->source)),
        .as_sidecar = svc.locally_registered_as_sidecar };
    keep(l, "services", svc.id, &type_persisted_service, &p);
}

void persist_check(struct local *l, struct local_check *c, const struct health_check *registered)
{
    if (c->kept) return;
    c->kept = true;
    struct health_check as_registered = *registered;
    struct persisted_check p = { .check = &as_registered,
        .chk_type = c->has_type ? &c->type : NULL,
        .token = c->token,
        .source = str_of(source_word(c->source)) };
    keep(l, "checks", c->check.check_id, &type_persisted_check, &p);
}

void persist_ttl(struct local *l, const struct local_check *c, int64_t expires_unix)
{
    struct persisted_ttl p = { .check_id = c->check.check_id,
        .output = c->check.output,
        .status = c->check.status,
        .expires = expires_unix };
    keep(l, "checks/state", c->check.check_id, &type_persisted_ttl, &p);
}

void persist_defaults(
    struct local *l, struct str id, const struct service_config_response *defaults)
{
    struct persisted_defaults p = { .service_id = id, .defaults = *defaults };
    keep(l, "services/configs", id, &type_persisted_defaults, &p);
}

void persist_forget_registration(struct local *l, struct str id)
{
    forget(l, "services", id);
}

void persist_forget_service(struct local *l, struct str id)
{
    forget(l, "services", id);
    forget(l, "services/configs", id);
}

void persist_forget_check(struct local *l, struct str id)
{
    forget(l, "checks", id);
    forget(l, "checks/state", id);
}

/* --- reading back ------------------------------------------------------------------------------
 */

static int read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    if (!f) return -errno;
    int failed = 0;
    for (;;) {
        uint8_t *to = buf_reserve(out, 4096);
        if (!to) {
            failed = -EFBIG;
            break;
        }
        size_t n = fread(to, 1, 4096, f);
        out->n += n;
        if (n < 4096) {
            if (ferror(f)) failed = -EIO;
            break;
        }
    }
    fclose(f);
    return failed;
}

bool persist_ttl_state(
    struct local *l, struct str check_id, struct arena *a, struct str *status, struct str *output)
{
    if (!l->opts.data_dir.n) return false;
    struct buf text = BUF_INIT(FILE_MAX);
    struct persisted_ttl p = { 0 };
    struct error err;
    const char *path = path_of(l, a, "checks/state", check_id);
    bool found = read_file(path, &text) == 0 &&
                 json_decode(str_dup(a, buf_str(&text)), a, &type_persisted_ttl, &p,
                     JSON_UNKNOWN_IGNORED, &err) == 0;
    buf_deinit(&text);
    if (!found) return false;
    if (p.expires <= world_wall_ns(l->opts.world) / 1000000000) {
        if (l->files) file_queue_remove(l->files, path);
        return false;
    }
    *status = p.status;
    *output = p.output;
    return true;
}

bool persist_load_defaults(
    struct local *l, struct str id, struct arena *a, struct service_config_response *out)
{
    if (!l->opts.data_dir.n) return false;
    struct buf text = BUF_INIT(FILE_MAX);
    struct persisted_defaults p = { 0 };
    struct error err;
    bool found = read_file(path_of(l, a, "services/configs", id), &text) == 0 &&
                 json_decode(str_dup(a, buf_str(&text)), a, &type_persisted_defaults, &p,
                     JSON_UNKNOWN_IGNORED, &err) == 0;
    buf_deinit(&text);
    *out = p.defaults;
    return found;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Names of the plain files of a folder, sorted; a missing folder is empty. */
static int folder_names(struct arena *a, const char *folder, struct list *out, struct error *err)
{
    DIR *d = opendir(folder);
    if (!d) {
        if (errno == ENOENT) return 0;
        return error_set(err, ERR_IO, "open %s: %s", folder, strerror(errno));
    }
    const struct dirent *e;
    while ((e = readdir(d))) {
        if (e->d_type == DT_DIR || e->d_name[0] == '.') continue;
        *LIST_PUSH(a, out, struct str) = str_dup(a, str_of(e->d_name));
    }
    closedir(d);
    if (out->n) qsort(out->v, out->n, sizeof(struct str), by_name);
    return 0;
}

typedef int (*load_fn)(
    struct local *l, struct arena *a, const char *path, struct str text, struct error *err);

static int load_folder(struct local *l, const char *name, load_fn load, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct list names = { 0 };
    if (!l->opts.data_dir.n) return 0;
    const char *folder = str_printf(&a, "%.*s/%s", STR_ARG(l->opts.data_dir), name).p;
    int failed = folder_names(&a, folder, &names, err);
    for (size_t i = 0; i < names.n && !failed; i++) {
        struct str file = LIST_AT(&names, struct str, i);
        const char *path = str_printf(&a, "%s/%.*s", folder, STR_ARG(file)).p;
        struct buf text = BUF_INIT(FILE_MAX);
        if (str_has_suffix(file, STR("tmp"))) {
            log_warn("agent", "Ignoring temporary file", "file", path);
            unlink(path); /* of a write that a crash cut off */
        } else if (read_file(path, &text) != 0) {
            failed = error_set(err, ERR_IO, "failed reading %s", path);
        } else {
            failed = load(l, &a, path, str_dup(&a, buf_str(&text)), err);
        }
        buf_deinit(&text);
    }
    arena_free(&a);
    return failed;
}

static bool source_parse(struct str word, enum local_source *out)
{
    *out = str_is(word, "local") ? LOCAL_FROM_CONFIG : LOCAL_FROM_API;
    return str_is(word, "local") || str_is(word, "remote") || word.n == 0;
}

static int load_service(
    struct local *l, struct arena *a, const char *path, struct str text, struct error *err)
{
    struct persisted_service p = { 0 };
    struct error why;
    enum local_source source;
    (void)err;
    if (json_decode(text, a, &type_persisted_service, &p, JSON_UNKNOWN_IGNORED, &why) != 0 ||
        !p.service || p.service->id.n == 0) {
        log_error("agent", "Failed decoding service file", "file", path, "error", why.text);
        return 0;
    }
    if (!source_parse(p.source, &source) || local__service(l, p.service->id)) {
        log_debug("agent", "service exists, not restoring from file", "service",
            str_c(a, p.service->id), "file", path);
        file_queue_remove(l->files, path);
        return 0;
    }
    p.service->locally_registered_as_sidecar = p.as_sidecar;
    if (!p.service->weights) {
        p.service->weights = arena_new(a, struct weights);
        *p.service->weights = (struct weights){ 1, 1 };
    }
    if (service_fill_addresses(a, p.service, &why) != 0)
        log_warn("agent", "restored service has a bad address", "file", path, "error", why.text);
    local__service_put(l, p.service, p.token, source)->kept = true;
    log_debug("agent", "restored service definition from file", "service", str_c(a, p.service->id),
        "file", path);
    return 0;
}

static int load_check(
    struct local *l, struct arena *a, const char *path, struct str text, struct error *err)
{
    struct persisted_check p = { 0 };
    struct error why = { 0 };
    enum local_source source;
    (void)err;
    if (json_decode(text, a, &type_persisted_check, &p, JSON_UNKNOWN_IGNORED, &why) != 0 ||
        !p.check || p.check->check_id.n == 0) {
        log_error("agent", "Failed decoding check file", "file", path, "error", why.text);
        return 0;
    }
    const char *id = str_c(a, p.check->check_id);
    if (!source_parse(p.source, &source) || local__check(l, p.check->check_id)) {
        file_queue_remove(l->files, path);
        return 0;
    }
    bool lost = p.check->service_id.n && !local__service(l, p.check->service_id);
    if (lost || (p.chk_type && check_scripts_allowed(l, p.chk_type, source, &why) != 0)) {
        log_warn("agent", "Failed to restore check", "check", id, "error",
            lost ? "its service does not exist" : why.text);
        file_queue_remove(l->files, path);
        return 0;
    }
    p.check->status = STR("critical"); /* until it is run */
    struct str status, output;
    if (p.chk_type && p.chk_type->ttl > 0 &&
        persist_ttl_state(l, p.check->check_id, a, &status, &output)) {
        p.check->status = status;
        p.check->output = output;
    }
    local__check_put(l, p.check, p.chk_type, p.token, source)->kept = true;
    log_debug("agent", "restored health check from file", "check", id, "file", path);
    return 0;
}

int persist_load_services(struct local *l, struct error *err)
{
    return load_folder(l, "services", load_service, err);
}

int persist_load_checks(struct local *l, struct error *err)
{
    return load_folder(l, "checks", load_check, err);
}
