/* SPDX-License-Identifier: Apache-2.0 */
#include "config_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/lang/hcl.h"

/* --- text to tree ---------------------------------------------------------------------------- */

struct text {
    struct str name; /* path, or name of a fragment */
    struct str data;
    bool json;
};

static int parse_text(struct config_load *load, const struct text *t, struct value *out)
{
    struct error err = { 0 };
    int rc = t->json ? json_parse_whole(t->data, load->arena, out, &err)
                     : hcl_parse(t->data, load->arena, out, &err);
    const char *why = err.text;
    if (rc && t->json && (strcmp(why, "EOF") == 0 || strcmp(why, "unexpected EOF") == 0))
        why = "unexpected end of JSON input";
    if (rc == 0 && out->kind == V_NIL) *out = (struct value){ .kind = V_MAP };
    if (rc == 0 && out->kind != V_MAP) {
        const char *kind = out->kind == V_LIST   ? "array"
                           : out->kind == V_STR  ? "string"
                           : out->kind == V_BOOL ? "bool"
                                                 : "number";
        return config_refuse(load,
            "failed to parse %.*s: json: cannot unmarshal %s into Go value of type "
            "map[string]interface {}",
            STR_ARG(t->name), kind);
    }
    return rc ? config_refuse(load, "failed to parse %.*s: %s", STR_ARG(t->name), why) : 0;
}

/* Drops what is accepted with a warning alone. */
static void forgive(struct config_load *load, struct list *unknown)
{
    size_t kept = 0;
    for (size_t i = 0; i < unknown->n; i++) {
        struct str key = LIST_AT(unknown, struct str, i);
        if (str_is(key, "acl_enforce_version_8"))
            config_warn(
                load, "config key \"acl_enforce_version_8\" is deprecated and should be removed");
        else
            LIST_AT(unknown, struct str, kept++) = key;
    }
    unknown->n = kept;
}

static bool given(const struct value *v)
{
    if (!v || v->kind == V_NIL) return false;
    if (v->kind == V_BOOL) return v->b;
    if (v->kind == V_STR) return v->s.n > 0;
    if (v->kind == V_LIST) return v->list.n > 0;
    return true;
}

/* Keys of the enterprise edition have no effect; a source that uses one is told so. */
static void warn_enterprise(struct config_load *load, const struct value *tree)
{
    static const char *const keys[] = { "non_voting_server", "segment", "segments",
        "autopilot.redundancy_zone_tag", "autopilot.upgrade_version_tag",
        "autopilot.disable_upgrade_migration", "dns_config.prefer_namespace",
        "acl.msp_disable_bootstrap", "acl.tokens.managed_service_provider", "audit" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (given(config_at(tree, keys[i])))
            config_warn(load, "\"%s\" is a Consul Enterprise configuration and will have no effect",
                keys[i]);
}

/* The single blocks join the lists, behind what the same source lists. */
static void gather(struct config_load *load, struct value *tree, const char *one, const char *many)
{
    struct value *block = value_get(tree, str_of(one));
    if (!block || block->kind == V_NIL) return;
    struct value *list = config_make(load->arena, tree, many);
    if (list->kind == V_NIL) *list = (struct value){ .kind = V_LIST };
    block = value_get(tree, str_of(one));
    *value_list_add(load->arena, list) = *block;
    block->kind = V_NIL;
}

static void merge(struct config_load *load, struct value *tree)
{
    gather(load, tree, "check", "checks");
    gather(load, tree, "service", "services");
    config_merge(load->schema, load->arena, &load->merged, tree);
}

static int merge_text(struct config_load *load, const struct text *t)
{
    struct value in, tree;
    struct list unknown;
    struct buf why = BUF_INIT(CONFIG_MESSAGE_MAX);
    int rc = parse_text(load, t, &in);
    if (rc) return rc;
    rc = config_decode(load->schema, &in, load->arena, &tree, &unknown, &why);
    if (rc == 0) {
        forgive(load, &unknown);
        for (size_t i = 0; i < unknown.n; i++)
            LIST_AT(&unknown, struct str, i) = str_printf(
                load->arena, "invalid config key %.*s", STR_ARG(LIST_AT(&unknown, struct str, i)));
        if (unknown.n) config_put_errors(&why, &unknown);
    }
    if (rc || unknown.n)
        rc = config_refuse(
            load, "failed to parse %.*s: %.*s", STR_ARG(t->name), STR_ARG(buf_str(&why)));
    buf_deinit(&why);
    if (rc) return rc;
    warn_enterprise(load, &tree);
    merge(load, &tree);
    return 0;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Go words errno texts without capitals. */
static const char *reason(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or directory";
    case EACCES:
        return "permission denied";
    case ENOTDIR:
        return "not a directory";
    case ELOOP:
        return "too many levels of symbolic links";
    default:
        return strerror(code);
    }
}

static int read_file(struct config_load *load, const char *path, struct str *out)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return config_refuse(
            load, "config: failed to read %s: open %s: %s", path, path, reason(errno));
    struct buf b = BUF_INIT(CONFIG_FILE_SIZE_MAX);
    for (;;) {
        uint8_t *room = buf_reserve(&b, 65536);
        if (!room) break;
        size_t n = fread(room, 1, 65536, f);
        if (n == 0) break;
        b.n += n;
    }
    bool failed = ferror(f) || b.overflow;
    fclose(f);
    *out = str_dup(load->arena, buf_str(&b));
    buf_deinit(&b);
    return failed ? config_refuse(load, "config: failed to read %s", path) : 0;
}

static bool eligible(const struct config_load *load, struct str path)
{
    return load->args->format.n > 0 || str_has_suffix(path, STR(".hcl")) ||
           str_has_suffix(path, STR(".json"));
}

static int add_file(struct config_load *load, const char *path, struct list *texts)
{
    struct str name = str_dup(load->arena, str_of(path));
    if (!eligible(load, name)) {
        config_warn(load,
            "skipping file %s, extension must be .hcl or .json, or config format must be set",
            path);
        return 0;
    }
    if (texts->n >= CONFIG_FILES_MAX)
        return config_refuse(load, "config: more than %d configuration files", CONFIG_FILES_MAX);
    struct text t = { .name = name };
    t.json = load->args->format.n ? str_is(load->args->format, "json")
                                  : str_has_suffix(name, STR(".json"));
    int rc = read_file(load, path, &t.data);
    if (rc == 0) *LIST_PUSH(load->arena, texts, struct text) = t;
    return rc;
}

/* Path of what the link at `path` leads to. */
static int resolve(struct config_load *load, const char *path, char **out)
{
    char *real = realpath(path, NULL), target[4096];
    *out = real;
    if (real) return 0;
    int code = errno;
    ssize_t n = readlink(path, target, sizeof target);
    struct str to = n > 0 ? (struct str){ target, (size_t)n } : str_of(path);
    const char *slash = strrchr(path, '/');
    struct str folder = slash ? (struct str){ path, (size_t)(slash - path) + 1 } : STR("");
    if (to.n && to.p[0] == '/') folder = STR("");
    return config_refuse(load, "lstat %.*s%.*s: %s", STR_ARG(folder), STR_ARG(to), reason(code));
}

static int add_entry(
    struct config_load *load, const char *folder, const char *name, struct list *texts)
{
    struct stat st;
    struct str base = str_of(folder);
    while (base.n > 1 && base.p[base.n - 1] == '/')
        base.n--;
    const char *path = str_printf(load->arena, "%.*s/%s", STR_ARG(base), name).p;
    if (lstat(path, &st) != 0) return config_refuse(load, "lstat %s: %s", path, reason(errno));
    if (!S_ISLNK(st.st_mode)) return S_ISDIR(st.st_mode) ? 0 : add_file(load, path, texts);
    char *real;
    int rc = resolve(load, path, &real);
    if (rc == 0 && stat(real, &st) != 0)
        rc = config_refuse(load, "stat %s: %s", real, reason(errno));
    if (rc == 0 && !S_ISDIR(st.st_mode)) rc = add_file(load, real, texts);
    free(real);
    return rc;
}

static int bytewise(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int add_path(struct config_load *load, const char *path, struct list *texts)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return config_refuse(
            load, "config: Open failed on %s. open %s: %s", path, path, reason(errno));
    int rc = fstat(fd, &st);
    close(fd);
    if (rc != 0) return config_refuse(load, "config: Stat failed on %s.", path);
    if (!S_ISDIR(st.st_mode)) return add_file(load, path, texts);
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, no_dots, bytewise);
    if (n < 0) return config_refuse(load, "config: Readdir failed on %s.", path);
    for (int i = 0; i < n; i++) {
        if (rc == 0) rc = add_entry(load, path, entries[i]->d_name, texts);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* --- built-in values and flags --------------------------------------------------------------- */

struct setting {
    const char *path, *text;
};

static const struct setting dev_head[] = {
    { "bind_addr", "127.0.0.1" },
    { "server", "true" },
    { "ui", "true" },
    { "connect.enabled", "true" },
    { "ports.grpc", "8502" },
    { "log_level", "DEBUG" },
    { "enable_debug", "true" },
    { "disable_keyring_file", "true" },
    { "disable_anonymous_signature", "true" },
    { "performance.raft_multiplier", "1" },
    { "gossip_lan.gossip_interval", "100ms" },
    { "gossip_lan.probe_interval", "100ms" },
    { "gossip_lan.probe_timeout", "100ms" },
    { "gossip_lan.suspicion_mult", "3" },
    { "gossip_wan.gossip_interval", "100ms" },
    { "gossip_wan.probe_interval", "100ms" },
    { "gossip_wan.probe_timeout", "100ms" },
    { "gossip_wan.suspicion_mult", "3" },
};

static const struct setting dev_tail[] = {
    { "consul.coordinate.update_period", "100ms" },
    { "consul.raft.election_timeout", "52ms" },
    { "consul.raft.heartbeat_timeout", "35ms" },
    { "consul.raft.leader_lease_timeout", "20ms" },
    { "consul.server.health_interval", "10ms" },
};

static const struct config_option *option_at(const char *path)
{
    for (size_t i = 0; i < config_options_n; i++)
        if (strcmp(config_options[i].path, path) == 0) return &config_options[i];
    return NULL;
}

static void set(struct config_load *load, const struct config_option *o, struct str text)
{
    struct value *v = config_make(load->arena, &load->merged, o->path);
    bool ok = config_value_of_text(load->arena, o->type, text, v);
    ensure(ok);
}

static void set_all(struct config_load *load, const struct setting *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct config_option *o = option_at(s[i].path);
        ensure(o);
        set(load, o, str_of(s[i].text));
    }
}

static void set_defaults(struct config_load *load)
{
    for (size_t i = 0; i < config_options_n; i++)
        if (config_options[i].value && !(config_options[i].marks & CONFIG_FIXED))
            set(load, &config_options[i], str_of(config_options[i].value));
}

static void set_fixed(struct config_load *load)
{
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if (!(o->marks & CONFIG_FIXED)) continue;
        if (o->value)
            set(load, o, str_of(o->value));
        else
            config_make(load->arena, &load->merged, o->path)->kind = V_NIL;
    }
}

static void merge_flag(struct config_load *load, const struct config_flag *f)
{
    struct value tree = { .kind = V_MAP };
    struct value *v = config_make(load->arena, &tree, f->option->path);
    if (f->option->type == CONFIG_LIST) {
        *v = (struct value){ .kind = V_LIST };
        *value_list_add(load->arena, v) = value_of_str(f->text);
    } else if (f->option->type == CONFIG_MAP) {
        struct str key, text;
        if (!str_cut(f->text, ':', &key, &text)) text = STR("");
        *v = (struct value){ .kind = V_MAP };
        *value_map_add(load->arena, v, key) = value_of_str(text);
    } else {
        bool ok = config_value_of_text(load->arena, f->option->type, f->text, v);
        ensure(ok);
    }
    warn_enterprise(load, &tree);
    config_merge(load->schema, load->arena, &load->merged, &tree);
}

/* Lists come before the files because they are appended to, scalars behind because they win. */
static void merge_flags(struct config_load *load, bool lists)
{
    for (size_t i = 0; i < load->args->flags.n; i++) {
        const struct config_flag *f = &LIST_AT(&load->args->flags, struct config_flag, i);
        if ((f->option->type == CONFIG_LIST) == lists) merge_flag(load, f);
    }
}

/* --- all together ---------------------------------------------------------------------------- */

static int merge_files(struct config_load *load)
{
    struct list texts = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < load->args->files.n; i++)
        rc = add_path(load, str_c(load->arena, LIST_AT(&load->args->files, struct str, i)), &texts);
    for (size_t i = 0; rc == 0 && i < texts.n; i++)
        if (LIST_AT(&texts, struct text, i).data.n)
            rc = merge_text(load, &LIST_AT(&texts, struct text, i));
    return rc;
}

int config_sources_read(struct config_load *load)
{
    const struct config_args *args = load->args;
    load->merged = (struct value){ .kind = V_MAP };
    load->schema = config_schema(load->arena);
    if (args->format.n && !str_is(args->format, "hcl") && !str_is(args->format, "json"))
        return config_refuse(load, "config: -config-format must be either 'hcl' or 'json'");
    set_defaults(load);
    if (args->dev) set_all(load, dev_head, sizeof dev_head / sizeof dev_head[0]);
    merge_flags(load, true);
    int rc = merge_files(load);
    if (rc) return rc;
    merge_flags(load, false);
    for (size_t i = 0; rc == 0 && i < args->hcl.n; i++) {
        struct text t = { .data = LIST_AT(&args->hcl, struct str, i) };
        t.name = str_printf(load->arena, "flags-%zu.hcl", i);
        if (t.data.n) rc = merge_text(load, &t);
    }
    set_fixed(load);
    if (args->dev) set_all(load, dev_tail, sizeof dev_tail / sizeof dev_tail[0]);
    return rc;
}
