/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "consuld/base/digest.h"
#include "consuld/store_snapshot.h"

static int one_file(struct cli *c)
{
    if (c->args.n == 0) return cli_fail(c, "Missing FILE argument");
    return cli_args_at_most(c, 1);
}

/* The bytes of a file, however large; NULL and *err if it cannot be read. */
static struct shared_body *map_file(struct str path, struct error *err)
{
    char why[128];
    struct stat st;
    struct arena a = ARENA_INIT;
    struct shared_body *file = NULL;
    int fd = open(str_c(&a, path), O_RDONLY | O_CLOEXEC);
    arena_free(&a);
    if (fd >= 0 && fstat(fd, &st) == 0)
        file = shared_body_map(fd, (size_t)st.st_size, err);
    else
        error_set(err, ERR_IO, "open %.*s: %s", STR_ARG(path), cli_reason(errno, why, sizeof why));
    if (fd >= 0) close(fd);
    return file;
}

static int verify(
    struct cli *c, struct shared_body *archive, struct snapshot_meta *meta, struct error *err)
{
    snapshot_init();
    int rc = archive_read(archive, NULL, &digest_openssl, &c->arena, meta, NULL, err);
    shared_body_unref(archive);
    return rc;
}

/* --- save ------------------------------------------------------------------------------------ */

struct sink {
    FILE *file;
    int code; /* errno of the first write that failed */
};

static int write_chunk(void *ctx, struct str bytes)
{
    struct sink *s = ctx;
    if (fwrite(bytes.p, 1, bytes.n, s->file) == bytes.n) return 0;
    s->code = errno;
    return 1;
}

/* Fills FILE.unverified from the server. */
static int download(struct cli *c, const char *path, struct client_response *response)
{
    struct error err;
    char why[128];
    struct sink sink = { .file = fopen(path, "wb") };
    struct client_request r = {
        .method = "GET", .path = STR("/v1/snapshot"), .chunk = write_chunk, .ctx = &sink
    };
    if (!sink.file)
        return cli_fail(c, "Error writing unverified snapshot file: open %s: %s", path,
            cli_reason(errno, why, sizeof why));
    int rc = client_call(c, &r, response, &err);
    if (rc == 0 && (fflush(sink.file) != 0 || fsync(fileno(sink.file)) != 0)) sink.code = errno;
    fclose(sink.file);
    if (sink.code)
        return cli_fail(c, "Error writing snapshot file: write %s: %s", path,
            cli_reason(sink.code, why, sizeof why));
    return rc ? cli_fail(c, "Error saving snapshot: %s", err.text) : 0;
}

static int save(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct snapshot_meta meta = { 0 };
    char why[128];
    if (one_file(c)) return 1;
    const char *path = str_c(&c->arena, cli_arg(c, 0));
    const char *unverified = str_printf(&c->arena, "%s.unverified", path).p;
    if (download(c, unverified, &response) != 0) {
        unlink(unverified);
        return 1;
    }
    struct shared_body *archive = map_file(str_of(unverified), &err);
    if (!archive || verify(c, archive, &meta, &err) != 0) {
        unlink(unverified);
        return cli_fail(c, "Error verifying snapshot file: %s", err.text);
    }
    if (rename(unverified, path) != 0)
        return cli_fail(c, "Error renaming \"%s\" to \"%s\": %s", unverified, path,
            cli_reason(errno, why, sizeof why));
    cli_say(c, "Saved and verified snapshot to index %llu",
        (unsigned long long)(response.index ? response.index : meta.index));
    return 0;
}

/* --- restore, inspect ------------------------------------------------------------------------ */

static int restore(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "PUT", .path = STR("/v1/snapshot") };
    if (one_file(c)) return 1;
    struct shared_body *archive = map_file(cli_arg(c, 0), &err);
    if (!archive) return cli_fail(c, "Error opening snapshot file: %s", err.text);
    r.body = shared_body_str(archive);
    int rc = client_call(c, &r, &response, &err);
    shared_body_unref(archive);
    if (rc != 0) return cli_fail(c, "Error restoring snapshot: %s", err.text);
    cli_say(c, "Restored snapshot");
    return 0;
}

static int inspect(struct cli *c)
{
    struct error err;
    struct snapshot_meta meta = { 0 };
    struct columns t = { .width = 2 };
    if (one_file(c)) return 1;
    struct shared_body *archive = map_file(cli_arg(c, 0), &err);
    if (!archive) return cli_fail(c, "Error opening snapshot file: %s", err.text);
    if (verify(c, archive, &meta, &err) != 0)
        return cli_fail(c, "Error verifying snapshot: %s", err.text);
    const struct {
        struct str name;
        uint64_t number;
    } rows[] = { { STR("Size"), (uint64_t)meta.size }, { STR("Index"), meta.index },
        { STR("Term"), meta.term }, { STR("Version"), (uint64_t)meta.version } };
    columns_add(c, &t, (const struct str[]){ STR("ID"), meta.id });
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        columns_add(c, &t,
            (const struct str[]){
                rows[i].name, str_printf(&c->arena, "%llu", (unsigned long long)rows[i].number) });
    columns_print(c, &t, 6);
    cli_put(c, STR("\n"));
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

const struct cli_command cli_snapshot_commands[] = {
    CLI_GROUP("snapshot", "Saves, restores and inspects snapshots of Consul server state",
        "<subcommand> [options] [args]"),
    { "snapshot inspect", "Displays information about a Consul snapshot file", "[options] FILE",
        .run = inspect },
    { "snapshot restore", "Restores snapshot of Consul server state", "[options] FILE",
        CLI_CLIENT | CLI_SERVER, NULL, .run = restore },
    { "snapshot save", "Saves snapshot of Consul server state", "[options] FILE",
        CLI_CLIENT | CLI_SERVER, NULL, .run = save },
    { 0 },
};
