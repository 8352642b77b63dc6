/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/host: the machine the agent runs on, in the names of Consul's answer. */
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "consuld/agent/config.h"

#include "agent_form.h"
#include "agent_routes.h"

/* Keys in the order of the answer; a key without a name in /proc/meminfo is always 0 here. */
static const struct {
    const char *key, *meminfo;
} memory_rows[] = {
    { "active", "Active" },
    { "inactive", "Inactive" },
    { "wired", NULL },
    { "laundry", NULL },
    { "buffers", "Buffers" },
    { "cached", "Cached" },
    { "writeback", "Writeback" },
    { "dirty", "Dirty" },
    { "writebacktmp", "WritebackTmp" },
    { "shared", "Shmem" },
    { "slab", "Slab" },
    { "sreclaimable", "SReclaimable" },
    { "sunreclaim", "SUnreclaim" },
    { "pagetables", "PageTables" },
    { "swapcached", "SwapCached" },
    { "commitlimit", "CommitLimit" },
    { "committedas", "Committed_AS" },
    { "hightotal", "HighTotal" },
    { "highfree", "HighFree" },
    { "lowtotal", "LowTotal" },
    { "lowfree", "LowFree" },
    { "swaptotal", "SwapTotal" },
    { "swapfree", "SwapFree" },
    { "mapped", "Mapped" },
    { "vmalloctotal", "VmallocTotal" },
    { "vmallocused", "VmallocUsed" },
    { "vmallocchunk", "VmallocChunk" },
    { "hugepagestotal", "HugePages_Total" },
    { "hugepagesfree", "HugePages_Free" },
    { "hugepagesize", "Hugepagesize" },
};

#define PROC_MAX ((size_t)1 << 20)

static void read_proc(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    if (!f) return;
    for (;;) {
        uint8_t *to = buf_reserve(out, 4096);
        size_t n = to ? fread(to, 1, 4096, f) : 0;
        out->n += n;
        if (n == 0) break;
    }
    fclose(f);
}

/* Value of "Name: 123 kB" in bytes, of a bare number as it is; 0 if absent. */
static uint64_t meminfo(struct str text, const char *name)
{
    struct str line, key, value;
    while (text.n) {
        str_cut(text, '\n', &line, &text);
        if (!str_cut(line, ':', &key, &value) || !str_is(key, name)) continue;
        uint64_t v = 0;
        struct str number, unit;
        bool kilo = str_cut(str_trim(value), ' ', &number, &unit) && str_is(unit, "kB");
        return str_to_u64(number, &v) ? (kilo ? v * 1024 : v) : 0;
    }
    return 0;
}

static void number(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_u64(w, v);
}

static void text(struct json_writer *w, const char *key, const char *v)
{
    json_key(w, key);
    json_c(w, v);
}

static void memory(struct json_writer *w)
{
    struct buf proc = BUF_INIT(PROC_MAX);
    read_proc("/proc/meminfo", &proc);
    struct str all = buf_str(&proc);
    uint64_t total = meminfo(all, "MemTotal"), available = meminfo(all, "MemAvailable");
    uint64_t used = total > available ? total - available : 0;
    json_object(w);
    number(w, "total", total);
    number(w, "available", available);
    number(w, "used", used);
    json_key(w, "usedPercent");
    json_f64(w, total ? 100.0 * (double)used / (double)total : 0);
    number(w, "free", meminfo(all, "MemFree"));
    for (size_t i = 0; i < sizeof memory_rows / sizeof memory_rows[0]; i++) {
        const char *name = memory_rows[i].meminfo;
        number(w, memory_rows[i].key, name ? meminfo(all, name) : 0);
    }
    json_object_end(w);
    buf_deinit(&proc);
}

static void processors(struct json_writer *w)
{
    struct buf proc = BUF_INIT(PROC_MAX);
    read_proc("/proc/cpuinfo", &proc);
    struct str rest = buf_str(&proc), line, key, value, model = STR("");
    while (rest.n) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_is(str_trim(key), "model name")) {
            model = str_trim(value);
            break;
        }
    }
    json_array(w);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < n; i++) {
        json_object(w);
        number(w, "cpu", (uint64_t)i);
        number(w, "cores", 1);
        json_key(w, "modelName");
        json_str(w, model);
        json_object_end(w);
    }
    json_array_end(w);
    buf_deinit(&proc);
}

static void host_part(const struct face_context *ctx, struct json_writer *w)
{
    struct utsname os;
    struct sysinfo info;
    char name[256] = "";
    uname(&os);
    sysinfo(&info);
    gethostname(name, sizeof name - 1);
    json_object(w);
    text(w, "hostname", name);
    number(w, "uptime", (uint64_t)info.uptime);
    number(
        w, "bootTime", (uint64_t)(world_wall_ns(ctx->world) / 1000000000) - (uint64_t)info.uptime);
    number(w, "procs", info.procs);
    text(w, "os", "linux");
    text(w, "platform", "linux");
    text(w, "platformFamily", "linux");
    text(w, "platformVersion", os.release);
    text(w, "kernelVersion", os.release);
    text(w, "kernelArch", os.machine);
    text(w, "virtualizationSystem", "");
    text(w, "virtualizationRole", "");
    text(w, "hostid", "");
    json_object_end(w);
}

static void disk(const struct face_context *ctx, struct json_writer *w)
{
    struct statvfs fs;
    struct arena a = ARENA_INIT;
    struct str dir = ctx->config->data_dir.n ? ctx->config->data_dir : STR("/");
    const char *path = str_c(&a, dir);
    json_object(w);
    text(w, "path", path);
    text(w, "fstype", "");
    if (statvfs(path, &fs) == 0) {
        uint64_t total = fs.f_blocks * fs.f_frsize, unused = fs.f_bavail * fs.f_frsize;
        uint64_t used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
        number(w, "total", total);
        number(w, "free", unused);
        number(w, "used", used);
        json_key(w, "usedPercent");
        json_f64(w, used + unused ? 100.0 * (double)used / (double)(used + unused) : 0);
        number(w, "inodesTotal", fs.f_files);
        number(w, "inodesUsed", fs.f_files - fs.f_ffree);
        number(w, "inodesFree", fs.f_ffree);
    }
    json_object_end(w);
    arena_free(&a);
}

static void host(struct api_request *req)
{
    const struct face_context *ctx = req->ctx;
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    json_key(w, "Memory");
    memory(w);
    json_key(w, "CPU");
    processors(w);
    json_key(w, "Host");
    host_part(ctx, w);
    json_key(w, "Disk");
    disk(ctx, w);
    json_key(w, "CollectionTime");
    json_i64(w, world_wall_ns(ctx->world));
    json_key(w, "Errors");
    json_null(w);
    json_object_end(w);
    api_json_end(req, 200);
}

const struct api_route api_agent_host_routes[] = {
    { "/v1/agent/host", API_GET, 0, 0, host },
    { 0 },
};
