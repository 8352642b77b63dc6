/* SPDX-License-Identifier: Apache-2.0 */
/* Commands against prepared answers: what they ask, print and return. */
#include "cli_world.h"

/* Rows leave out what is empty. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define WORDS_MAX 12
#define OK(body) ANSWER("200 OK", body)
#define HELLO OK("{\"Config\":{\"NodeName\":\"n\"}}")
#define GREETING "GET /v1/agent/self HTTP/1.1\r\n"
#define NOT_FOUND ANSWER("404 Not Found", "")

struct conversation {
    const char *words[WORDS_MAX];
    const char *input;
    const char *answers[6]; /* ended by NULL */
    int status;
    const char *out, *err;
    const char *asked[6]; /* how each request begins */
};

static void converse(const struct conversation *v)
{
    char *words[WORDS_MAX + 1] = { 0 };
    struct play p;
    for (int i = 0; i < WORDS_MAX && v->words[i]; i++)
        words[i] = (char *)(uintptr_t)v->words[i];
    play(&p, v->answers);
    struct spoken *s = speak_words(v->input, words);
    play_end(&p);
    assert_string_equal(s->err, v->err ? v->err : "");
    assert_string_equal(s->out, v->out ? v->out : "");
    assert_int_equal(s->status, v->status);
    for (size_t i = 0; i < 6 && v->asked[i]; i++)
        assert_begins(p.requests[i], v->asked[i]);
}

static void converse_all(const struct conversation *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        converse(&v[i]);
}
#define CONVERSE(table) converse_all(table, sizeof(table) / sizeof(table)[0])

/* --- kv -------------------------------------------------------------------------------------- */

#define PAIR(key, value, more) \
    "{\"LockIndex\":0,\"Key\":\"" key "\",\"Flags\":42,\"Value\":" value more \
    ",\"CreateIndex\":5,\"ModifyIndex\":18446744073709551615}"

static void kv_get_prints_value_pairs_or_keys(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "kv", "get", "/a" }, NULL, { OK("[" PAIR("a", "\"b25l\"", "") "]") }, 0, "one\n", NULL,
            { "GET /v1/kv/a HTTP/1.1\r\n" } },
        { { "kv", "get", "-base64", "a" }, NULL, { OK("[" PAIR("a", "\"AAEC\"", "") "]") }, 0,
            "AAEC\n" },
        { { "kv", "get", "-detailed", "a" }, NULL,
            { OK("[" PAIR("a", "null", ",\"Session\":\"s\"") "]") }, 0,
            "CreateIndex      5\nFlags            42\nKey              a\nLockIndex        0\n"
            "ModifyIndex      18446744073709551615\nSession          s\nValue\n" },
        { { "kv", "get", "a" }, NULL, { NOT_FOUND }, 1, NULL, "Error! No key exists at: a\n" },
        { { "kv", "get", "a" }, NULL, { ANSWER("500 Error", "text") }, 1, NULL,
            "Error querying Consul agent: Unexpected response code: 500\n" },
        { { "kv", "get", "-recurse", "a" }, NULL,
            { OK("[" PAIR("a/b", "\"b25l\"", "") "," PAIR("a/c", "null", "") "]") }, 0,
            "a/b:one\na/c:\n", NULL, { "GET /v1/kv/a?recurse= HTTP/1.1\r\n" } },
        { { "kv", "get", "-recurse", "a" }, NULL, { NOT_FOUND }, 0 },
        { { "kv", "get", "-keys", "" }, NULL, { OK("[\"a/\",\"b\"]") }, 0, "a/\nb\n", NULL,
            { "GET /v1/kv/?keys=&separator=%2F HTTP/1.1\r\n" } },
        { { "kv", "get", "-keys", "-separator=", "a" }, NULL, { NOT_FOUND }, 0, NULL, NULL,
            { "GET /v1/kv/a?keys= HTTP/1.1\r\n" } },
        { { "kv", "get" }, NULL, { NULL }, 1, NULL, "Error! Missing KEY argument\n" },
        { { "kv", "get", "a", "b" }, NULL, { NULL }, 1, NULL,
            "Too many arguments (expected 1, got 2)\n" },
    };
    CONVERSE(v);
}

static void kv_put_writes_checks_and_locks(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "kv", "put", "a", "-base64" }, NULL, { OK("true\n") }, 0,
            "Success! Data written to: a\n", NULL, { "PUT /v1/kv/a HTTP/1.1\r\n" } },
        { { "kv", "put", "-flags=7", "a", "-" }, "in", { OK("true") }, 0,
            "Success! Data written to: a\n", NULL, { "PUT /v1/kv/a?flags=7 HTTP/1.1\r\n" } },
        { { "kv", "put", "-base64", "a", "!!" }, NULL, { OK("true") }, 0,
            "Success! Data written to: a\n",
            "Error! Cannot base 64 decode data: illegal base64 data at input byte 0\n" },
        { { "kv", "put", "-cas", "-modify-index=3", "a" }, NULL, { OK("false") }, 1, NULL,
            "Error! Did not write to a: CAS failed\n", { "PUT /v1/kv/a?cas=3 HTTP/1.1\r\n" } },
        { { "kv", "put", "-acquire", "-session=s", "a" }, NULL, { OK("true") }, 0,
            "Success! Lock acquired on: a\n", NULL, { "PUT /v1/kv/a?acquire=s HTTP/1.1\r\n" } },
        { { "kv", "put", "-acquire", "-session=s", "a" }, NULL, { OK("false") }, 1, NULL,
            "Error! Did not acquire lock\n" },
        { { "kv", "put", "-release", "-session=s", "a" }, NULL, { OK("true") }, 0,
            "Success! Lock released on: a\n", NULL, { "PUT /v1/kv/a?release=s HTTP/1.1\r\n" } },
        { { "kv", "put", "-acquire", "a" }, NULL, { NULL }, 1, NULL,
            "Error! Missing -session (required with -acquire and -release)\n" },
        { { "kv", "put", "/a", "v" }, NULL, { NULL }, 1, NULL,
            "Error! Failed writing data: Invalid key. Key must not begin with a '/': /a\n" },
        { { "kv", "put", "a" }, NULL, { ANSWER("403 Forbidden", "Permission denied") }, 1, NULL,
            "Error! Failed writing data: Unexpected response code: 403 (Permission denied)\n" },
    };
    CONVERSE(v);
}

static void kv_delete_takes_a_key_a_tree_or_checks(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "kv", "delete", "/a" }, NULL, { OK("true") }, 0, "Success! Deleted key: a\n", NULL,
            { "DELETE /v1/kv/a HTTP/1.1\r\n" } },
        { { "kv", "delete", "-recurse", "a/" }, NULL, { OK("true") }, 0,
            "Success! Deleted keys with prefix: a/\n", NULL,
            { "DELETE /v1/kv/a/?recurse= HTTP/1.1\r\n" } },
        { { "kv", "delete", "-cas", "-modify-index=1", "a" }, NULL, { OK("false") }, 1, NULL,
            "Error! Did not delete key a: CAS failed\n" },
        { { "kv", "delete", "-modify-index=1", "a" }, NULL, { NULL }, 1, NULL,
            "Cannot specify -modify-index without -cas!\n" },
    };
    CONVERSE(v);
}

static void kv_trees_go_out_and_in_as_json(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "kv", "export" }, NULL, { OK("[" PAIR("a", "\"b25l\"", "") "]") }, 0,
            "[\n\t{\n\t\t\"key\": \"a\",\n\t\t\"flags\": 42,\n\t\t\"value\": \"b25l\"\n\t}\n]\n" },
        { { "kv", "export", "x" }, NULL, { NOT_FOUND }, 0, "[]\n" },
        { { "kv", "import", "-" },
            "[{\"key\":\"a\",\"flags\":7,\"value\":\"b25l\"},{\"key\":\"b\",\"value\":\"\"}]",
            { OK("true"), OK("true") }, 0, "Imported: a\nImported: b\n", NULL,
            { "PUT /v1/kv/a?flags=7 HTTP/1.1\r\n", "PUT /v1/kv/b HTTP/1.1\r\n" } },
        { { "kv", "import", "[{" }, NULL, { NULL }, 1, NULL,
            "Cannot unmarshal data: unexpected end of JSON input\n" },
        { { "kv", "import", "{}" }, NULL, { NULL }, 1, NULL,
            "Cannot unmarshal data: json: a list of entries is needed\n" },
    };
    CONVERSE(v);
}

/* --- catalog and cluster --------------------------------------------------------------------- */

static void catalog_lists_nodes_and_services(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "catalog", "nodes", "-detailed", "-node-meta=k=v", "-near", "n" }, NULL,
            { OK("[{\"ID\":\"0123456789\",\"Node\":\"n\",\"Address\":\"1.1.1.1\",\"Datacenter\":"
                 "\"d\",\"TaggedAddresses\":{\"wan\":\"2\",\"lan\":\"1\"},\"Meta\":null}]") },
            0,
            "Node  ID          Address  DC  TaggedAddresses  Meta\n"
            "n     0123456789  1.1.1.1  d   lan=1, wan=2     \n",
            NULL, { "GET /v1/catalog/nodes?near=n&node-meta=k%3Av HTTP/1.1\r\n" } },
        { { "catalog", "nodes", "-service=s" }, NULL, { OK("[]") }, 0, NULL,
            "No nodes match the given query - try expanding your search.\n",
            { "GET /v1/catalog/service/s HTTP/1.1\r\n" } },
        { { "catalog", "services", "-tags" }, NULL, { OK("{\"web\":[\"v1\",\"a\"],\"db\":[]}") }, 0,
            "db       \nweb      a,v1\n" },
        { { "catalog", "services", "-node=n" }, NULL,
            { OK("{\"Node\":{},\"Services\":{\"w1\":{\"Service\":\"web\",\"Tags\":null},\"w2\":{"
                 "\"Service\":\"web\",\"Tags\":[]}}}") },
            0, "web\n", NULL, { "GET /v1/catalog/node/n HTTP/1.1\r\n" } },
        { { "catalog", "services", "-node=n" }, NULL, { OK("null") }, 0, NULL,
            "No services match the given query - try expanding your search.\n" },
    };
    CONVERSE(v);
}

#define MEMBER(name, status, tags) \
    "{\"Name\":\"" name "\",\"Addr\":\"1.1.1.1\",\"Port\":8301,\"Status\":" status \
    ",\"Tags\":{" tags "}}"
#define SERVER "\"role\":\"consul\",\"build\":\"1.8.6:abc\",\"dc\":\"d\",\"vsn\":\"2\""
#define CLIENT "\"role\":\"node\",\"build\":\"1.8.6:\",\"dc\":\"d\",\"vsn\":\"2\""

static void members_are_sorted_by_segment_and_name(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "members" }, NULL,
            { OK("[" MEMBER("c", "4", CLIENT) "," MEMBER("b", "1", SERVER) "," MEMBER(
                "a", "3", CLIENT) "," MEMBER("x", "9", "") "]") },
            0,
            "Node  Address       Status   Type     Build  Protocol  DC  Segment\n"
            "b     1.1.1.1:8301  alive    server   1.8.6  2         d   <all>\n"
            "a     1.1.1.1:8301  left     client   1.8.6  2         d   <default>\n"
            "c     1.1.1.1:8301  failed   client   1.8.6  2         d   <default>\n"
            "x     1.1.1.1:8301  unknown  unknown                       \n",
            NULL, { "GET /v1/agent/members?segment=_all HTTP/1.1\r\n" } },
        { { "members", "-status=^a", "-detailed", "-wan" }, NULL,
            { OK("[" MEMBER("b", "1", SERVER) "," MEMBER("a", "3", CLIENT) "]") }, 0,
            "Node  Address       Status  Tags\n"
            "b     1.1.1.1:8301  alive   build=1.8.6:abc,dc=d,role=consul,segment=<all>,vsn=2\n",
            NULL, { "GET /v1/agent/members?segment=_all&wan=1 HTTP/1.1\r\n" } },
        { { "members", "-status=failed" }, NULL, { OK("[]") }, 2 },
        { { "members", "-status=[" }, NULL, { NULL }, 1, NULL,
            "Failed to compile status regexp: error parsing regexp: missing closing ]: `[`\n" },
    };
    CONVERSE(v);
}

#define COORD(x, height, adjustment) \
    "{\"Vec\":[" x ",0],\"Height\":" height ",\"Adjustment\":" adjustment ",\"Error\":1.5}"

static void rtt_is_computed_from_coordinates(void **state)
{
    (void)state;
#define NODES \
    "[{\"Node\":\"a\",\"Coord\":" COORD("0.003", "0.001", \
        "0") "},{\"Node\":\"b\",\"Coord\":" COORD("-0.001", "1e-3", "-0.0005") "}]"
    static const struct conversation v[] = {
        { { "rtt", "a", "b" }, NULL, { OK(NODES) }, 0,
            "Estimated a <-> b rtt: 5.500 ms (using LAN coordinates)\n", NULL,
            { "GET /v1/coordinate/nodes HTTP/1.1\r\n" } },
        { { "rtt", "a" }, NULL,
            { OK("{\"Config\":{\"NodeName\":\"b\",\"Datacenter\":\"d\"}}"), OK(NODES) }, 0,
            "Estimated a <-> b rtt: 5.500 ms (using LAN coordinates)\n" },
        { { "rtt", "-wan", "a.d1", "b.d2" }, NULL,
            { OK("[{\"Datacenter\":\"d1\",\"Coordinates\":[{\"Node\":\"a\",\"Coord\":" COORD(
                "0", "0", "0") "}]},{\"Datacenter\":\"d2\",\"Coordinates\":[{\"Node\":\"b\","
                               "\"Coord\":" COORD("0.01", "0", "0") "}]}]") },
            0, "Estimated a.d1 <-> b.d2 rtt: 10.000 ms (using WAN coordinates)\n" },
        { { "rtt", "a", "z" }, NULL, { OK(NODES) }, 1, NULL,
            "Could not find a coordinate for node \"a\"\n" },
        { { "rtt", "-wan", "a.x.d1", "b.d2" }, NULL, { NULL }, 1, NULL,
            "Node names must be specified as <node name>.<datacenter> with -wan\n" },
        { { "rtt", "-wan", "a" }, NULL, { NULL }, 1, NULL,
            "Node names must be specified as <node name>.<datacenter> with -wan\n" },
    };
    CONVERSE(v);
}

static void cluster_commands_say_what_they_did(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "join", "-wan", "a", "b" }, NULL, { OK(""), ANSWER("500 Error", "no") }, 0,
            "Successfully joined cluster by contacting 1 nodes.\n",
            "Error joining address 'b': Unexpected response code: 500 (no)\n",
            { "PUT /v1/agent/join/a?wan=1 HTTP/1.1\r\n" } },
        { { "force-leave", "-prune", "n" }, NULL, { OK("") }, 0, NULL, NULL,
            { "PUT /v1/agent/force-leave/n?prune=1 HTTP/1.1\r\n" } },
        { { "reload", "x" }, NULL, { OK("") }, 0, "Configuration reload triggered\n", NULL,
            { "PUT /v1/agent/reload HTTP/1.1\r\n" } },
        { { "leave" }, NULL, { OK("") }, 0, "Graceful leave complete\n", NULL,
            { "PUT /v1/agent/leave HTTP/1.1\r\n" } },
        { { "info" }, NULL, { OK("{\"Stats\":{\"raft\":{\"b\":\"2\",\"a\":\"1\"},\"agent\":{}}}") },
            0, "agent:\nraft:\n\ta = 1\n\tb = 2\n" },
        { { "event", "-name=e", "-service=s", "-tag=t", "load" }, NULL,
            { HELLO, OK("{\"ID\":\"u\",\"Name\":\"e\"}") }, 0, "Event ID: u\n", NULL,
            { GREETING, "PUT /v1/event/fire/e?service=s&tag=t HTTP/1.1\r\n" } },
        { { "event", "-name=e", "-tag=t" }, NULL, { NULL }, 1, NULL,
            "Cannot provide tag filter without service filter.\n" },
        { { "monitor", "-log-json", "-log-level=warn" }, NULL, { OK("line 1\nline 2\n") }, 0,
            "line 1\nline 2\n", NULL,
            { "GET /v1/agent/monitor?logjson=true&loglevel=warn HTTP/1.1\r\n" } },
        { { "monitor", "-log-level=x" }, NULL, { ANSWER("400 Bad", "Unknown log level: x") }, 1,
            NULL,
            "Error starting monitor: Unexpected response code: 400 (Unknown log level: x)\n" },
    };
    CONVERSE(v);
}

static void maintenance_is_listed_begun_and_ended(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "maint" }, NULL,
            { OK("{\"Config\":{\"NodeName\":\"n1\"}}"),
                OK("{\"x\":{},\"_service_maintenance:db\":{\"ServiceID\":\"db\",\"Notes\":\"s\"},"
                   "\"_node_maintenance\":{\"Notes\":\"n\"}}") },
            0, "Node:\n  Name:   n1\n  Reason: n\n\nService:\n  ID:     db\n  Reason: s\n\n" },
        { { "maint", "-enable", "-reason=a b" }, NULL, { OK("") }, 0,
            "Node maintenance is now enabled\n", NULL,
            { "PUT /v1/agent/maintenance?enable=true&reason=a+b HTTP/1.1\r\n" } },
        { { "maint", "-disable", "-service=db" }, NULL, { OK("") }, 0,
            "Service maintenance is now disabled for \"db\"\n", NULL,
            { "PUT /v1/agent/service/maintenance/db?enable=false HTTP/1.1\r\n" } },
        { { "maint", "-enable", "-disable" }, NULL, { NULL }, 1, NULL,
            "Only one of -enable or -disable may be provided\n" },
    };
    CONVERSE(v);
}

/* --- services, operator ---------------------------------------------------------------------- */

static void services_are_registered_from_flags_and_files(void **state)
{
    (void)state;
    static char file[] = "/tmp/consuld-cli-XXXXXX.hcl";
    static const char text[] = "services { name = \"t1\" check { ttl = \"20m\" } } "
                               "services { name = \"t2\" id = \"i2\" }";
    int fd = mkstemps(file, 4);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    const struct conversation v[] = {
        { { "services", "register", "-name=s", "-tag=a", "-meta=k=v" }, NULL, { OK("") }, 0,
            "Registered service: s\n", NULL, { "PUT /v1/agent/service/register HTTP/1.1\r\n" } },
        { { "services", "register", file }, NULL, { OK(""), OK("") }, 0,
            "Registered service: t1\nRegistered service: t2\n" },
        { { "services", "deregister", file }, NULL, { OK(""), OK("") }, 0,
            "Deregistered service: t1\nDeregistered service: i2\n", NULL,
            { "PUT /v1/agent/service/deregister/t1 HTTP/1.1\r\n",
                "PUT /v1/agent/service/deregister/i2 HTTP/1.1\r\n" } },
        { { "services", "register", "-name=x", file }, NULL, { NULL }, 1, NULL,
            "Service registration requires arguments or -id, not both.\n" },
    };
    CONVERSE(v);
    unlink(file);
}

static void autopilot_is_changed_with_check_and_set(void **state)
{
    (void)state;
#define AUTOPILOT \
    "{\"CleanupDeadServers\":true,\"LastContactThreshold\":\"200ms\",\"MaxTrailingLogs\":250," \
    "\"MinQuorum\":0,\"ServerStabilizationTime\":\"10s\",\"RedundancyZoneTag\":\"\"," \
    "\"DisableUpgradeMigration\":false,\"UpgradeVersionTag\":\"\",\"CreateIndex\":4," \
    "\"ModifyIndex\":9}"
    static const struct conversation v[] = {
        { { "operator", "autopilot", "get-config" }, NULL, { OK(AUTOPILOT) }, 0,
            "CleanupDeadServers = true\nLastContactThreshold = 200ms\nMaxTrailingLogs = 250\n"
            "MinQuorum = 0\nServerStabilizationTime = 10s\nRedundancyZoneTag = \"\"\n"
            "DisableUpgradeMigration = false\nUpgradeVersionTag = \"\"\n" },
        { { "operator", "autopilot", "set-config", "-min-quorum=3" }, NULL,
            { OK(AUTOPILOT), OK("true") }, 0, "Configuration updated!\n", NULL,
            { "GET ", "PUT /v1/operator/autopilot/configuration?cas=9 HTTP/1.1\r\n" } },
        { { "operator", "autopilot", "set-config" }, NULL, { OK(AUTOPILOT), OK("false") }, 1, NULL,
            "Configuration could not be atomically updated, please try again\n" },
        { { "operator", "raft", "list-peers" }, NULL,
            { OK("{\"Servers\":[{\"ID\":\"i\",\"Node\":\"n\",\"Address\":\"a:1\",\"Leader\":false,"
                 "\"ProtocolVersion\":\"3\",\"Voter\":true}],\"Index\":1}") },
            0,
            "Node  ID  Address  State     Voter  RaftProtocol\n"
            "n     i   a:1      follower  true   3\n" },
        { { "operator", "raft", "remove-peer", "-id=i" }, NULL, { OK("") }, 0,
            "Removed peer with id \"i\"\n", NULL,
            { "DELETE /v1/operator/raft/peer?id=i HTTP/1.1\r\n" } },
    };
    CONVERSE(v);
}

/* --- configuration entries, intentions, keyring ---------------------------------------------- */

static void config_entries_are_written_and_read(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "config", "write", "-" },
            "Kind = \"service-defaults\" name = \"w\" Protocol = \"http\"", { OK("true") }, 0,
            "Config entry written: service-defaults/w\n", NULL, { "PUT /v1/config HTTP/1.1\r\n" } },
        { { "config", "write", "-cas", "-" }, "{\"kind\":\"service-defaults\",\"name\":\"w\"}",
            { OK("false") }, 1, NULL, "Config entry not updated: service-defaults/w\n",
            { "PUT /v1/config?cas=0 HTTP/1.1\r\n" } },
        { { "config", "write", "-" }, "kind = \"odd\"", { NULL }, 1, NULL,
            "Failed to decode config entry input: invalid config entry kind: odd\n" },
        { { "config", "read", "-kind=service-defaults", "-name=n" }, NULL,
            { OK("{\"Kind\":\"k\",\"E\":{}}") }, 0, "{\n    \"Kind\": \"k\",\n    \"E\": {}\n}\n",
            NULL, { "GET /v1/config/service-defaults/n HTTP/1.1" } },
        { { "config", "list", "-kind=k" }, NULL, { OK("[{\"Name\":\"b\"},{\"Name\":\"a\"}]") }, 0,
            "b\na\n" },
        { { "config", "delete", "-kind=k", "-name=n" }, NULL, { OK("{}") }, 0,
            "Config entry deleted: k/n\n", NULL, { "DELETE /v1/config/k/n HTTP/1.1" } },
    };
    CONVERSE(v);
}

#define INTENTION \
    "{\"ID\":\"i1\",\"SourceNS\":\"default\",\"SourceName\":\"web\",\"DestinationNS\":" \
    "\"default\"," \
    "\"DestinationName\":\"db\",\"SourceType\":\"consul\",\"Action\":\"deny\",\"Meta\":{\"b\":" \
    "\"2\",\"a\":\"1\"},\"Precedence\":9,\"CreatedAt\":\"2026-11-22T18:52:01Z\"}"

static void intentions_are_found_by_their_ends(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    static const struct conversation v[] = {
        { { "intention", "create", "-deny", "web", "db" }, NULL, { OK("{\"ID\":\"i\"}") }, 0,
            "Created: web => db (deny)\n", NULL, { "POST /v1/connect/intentions HTTP/1.1\r\n" } },
        { { "intention", "create", "-replace", "web", "db" }, NULL,
            { OK("[" INTENTION "]"), OK("{}") }, 0, NULL, NULL,
            { "GET /v1/connect/intentions HTTP", "PUT /v1/connect/intentions/i1 HTTP" } },
        { { "intention", "get", "web", "db" }, NULL, { OK("[" INTENTION "]") }, 0,
            "Source:       web\nDestination:  db\nAction:       deny\nID:           i1\n"
            "Meta[a]:      1\nMeta[b]:      2\nCreated At:   Sunday, 22-Nov-26 18:52:01 UTC\n" },
        { { "intention", "get", "x", "db" }, NULL, { OK("[" INTENTION "]") }, 1, NULL,
            "Error: Intention with source \"x\" and destination \"db\" not found.\n" },
        { { "intention", "delete", "web", "db" }, NULL, { OK("[" INTENTION "]"), OK("true") }, 0,
            "Intention deleted.\n", NULL,
            { "GET /v1/connect/intentions HTTP", "DELETE /v1/connect/intentions/i1 HTTP" } },
        { { "intention", "check", "a", "b" }, NULL, { OK("{\"Allowed\":false}") }, 1, "Denied\n",
            NULL,
            { "GET /v1/connect/intentions/check?destination=b&source=a&source-type=consul HTTP" } },
        { { "intention", "check", "a", "b" }, NULL, { ANSWER("500 Error", "x") }, 2, NULL,
            "Error checking the connection: Unexpected response code: 500 (x)\n" },
        { { "intention", "match", "db" }, NULL, { OK("{\"db\":[" INTENTION "]}") }, 0,
            "web => db (deny)\n", NULL,
            { "GET /v1/connect/intentions/match?by=destination&name=db HTTP" } },
    };
    CONVERSE(v);
}

static void keyrings_are_listed_by_pool(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "keyring", "-list" }, NULL,
            { OK("[{\"WAN\":true,\"Datacenter\":\"d\",\"Keys\":{\"k2\":1,\"k1\":2},\"NumNodes\":2},"
                 "{\"WAN\":false,\"Datacenter\":\"d\",\"Keys\":{\"k1\":1},\"NumNodes\":1}]") },
            0,
            "==> Gathering installed encryption keys...\n\nWAN:\n  k1 [2/2]\n  k2 [1/2]\n\n"
            "d (LAN):\n  k1 [1/1]\n",
            NULL, { "GET /v1/operator/keyring HTTP/1.1\r\n" } },
        { { "keyring", "-install=k", "-relay-factor=2" }, NULL, { ANSWER("500 Error", "no") }, 1,
            "==> Installing new gossip encryption key...\n",
            "error: Unexpected response code: 500 (no)\n",
            { "POST /v1/operator/keyring?relay-factor=2 HTTP/1.1\r\n" } },
        { { "keyring", "-list", "-use=k" }, NULL, { NULL }, 1, NULL,
            "Only a single action is allowed\n" },
    };
    CONVERSE(v);
}

#define ARCHIVE TESTS_DIR "/vectors/fsm/catalog/snapshot.tgz"

static void snapshots_are_inspected_and_sent_whole(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "snapshot", "inspect", ARCHIVE }, NULL, { NULL }, 0,
            "ID           2-223-1795372625599\nSize         42591\nIndex        223\n"
            "Term         2\nVersion      1\n\n" },
        { { "snapshot", "inspect", TESTS_DIR "/vectors/fsm/catalog/state.bin" }, NULL, { NULL }, 1,
            NULL,
            "Error verifying snapshot: failed to decompress snapshot: gzip: invalid header\n" },
        { { "snapshot", "inspect", "/no/such" }, NULL, { NULL }, 1, NULL,
            "Error opening snapshot file: open /no/such: no such file or directory\n" },
        { { "snapshot", "restore", "/dev/null" }, NULL, { ANSWER("500 Error", "no archive") }, 1,
            NULL, "Error restoring snapshot: Unexpected response code: 500 (no archive)\n",
            { "PUT /v1/snapshot HTTP/1.1\r\n" } },
        { { "snapshot", "save" }, NULL, { NULL }, 1, NULL, "Missing FILE argument\n" },
    };
    CONVERSE(v);
}

static void snapshot_that_is_none_leaves_no_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/consuld-cli-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    const struct conversation v[] = {
        { { "snapshot", "save", path }, NULL, { OK("not an archive") }, 1, NULL,
            "Error verifying snapshot file: failed to decompress snapshot: gzip: invalid "
            "header\n",
            { "GET /v1/snapshot HTTP/1.1\r\n" } },
        { { "snapshot", "save", "-stale", path }, NULL, { ANSWER("500 Error", "no") }, 1, NULL,
            "Error saving snapshot: Unexpected response code: 500 (no)\n",
            { "GET /v1/snapshot?stale= HTTP/1.1\r\n" } },
    };
    CONVERSE(v);
    assert_int_equal(rmdir(folder), 0);
}

static void watch_without_a_child_prints_once(void **state)
{
    (void)state;
    static const struct conversation v[] = {
        { { "watch", "-type=key", "-key=k" }, NULL,
            { HELLO, OK("[" PAIR("k", "\"b25l\"", "") "]") }, 0,
            "{\n    \"Key\": \"k\",\n    \"CreateIndex\": 5,\n    \"ModifyIndex\": "
            "18446744073709551615,\n    \"LockIndex\": 0,\n    \"Flags\": 42,\n    \"Value\": "
            "\"b25l\",\n    \"Session\": \"\"\n}\n" },
        { { "watch", "-type=keyprefix", "-prefix=k" }, NULL, { HELLO, NOT_FOUND }, 0, "null\n",
            NULL, { GREETING, "GET /v1/kv/k?recurse= HTTP/1.1" } },
        { { "watch", "-type=service", "-service=s", "-tag=a", "-tag=b", "-passingonly=true" }, NULL,
            { HELLO, OK("[]\n") }, 0, "[]\n", NULL,
            { GREETING, "GET /v1/health/service/s?passing=1&tag=a&tag=b HTTP/1.1" } },
        { { "watch", "-type=checks", "-state=critical" }, NULL, { HELLO, OK("[]") }, 0, "[]\n",
            NULL, { GREETING, "GET /v1/health/state/critical HTTP/1.1" } },
        { { "watch", "-type=services", "-key=k" }, NULL, { NULL }, 1, NULL,
            "Invalid parameters: [key]\n" },
        { { "watch", "-type=connect_leaf", "-service=s" }, NULL, { NULL }, 1, NULL,
            "Type connect_leaf is not supported in the CLI tool\n" },
        { { "watch", "-type=service", "-service=s", "-passingonly=x" }, NULL, { NULL }, 1, NULL,
            "Failed to parse passingonly flag: strconv.ParseBool: parsing \"x\": invalid "
            "syntax\n" },
        { { "watch", "-type=odd" }, NULL, { NULL }, 1, NULL, "Unsupported watch type: odd\n" },
    };
    CONVERSE(v);
}

static void watch_runs_its_child_for_each_change_until_it_fails(void **state)
{
    (void)state;
    static const char first[] = "HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\n\r\n{\"a\":[]}";
    static const char same[] = "HTTP/1.1 200 OK\r\nX-Consul-Index: 8\r\n\r\n{\"a\":[]}";
    static const char second[] = "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\n\r\n{\"b\":[]}";
    static char file[] = "/tmp/consuld-cli-XXXXXX";
    char command[256], text[64] = "";
    close(mkstemp(file));
    snprintf(command, sizeof command, "cat >> %s; echo $CONSUL_INDEX >> %s; test $CONSUL_INDEX = 7",
        file, file);
    const struct conversation v = { { "watch", "-type=services", command }, NULL,
        { HELLO, first, same, second }, 1, NULL, "Error executing handler: exit status 1\n",
        { GREETING, "GET /v1/catalog/services HTTP", "GET /v1/catalog/services?index=7 HTTP",
            "GET /v1/catalog/services?index=8 HTTP" } };
    converse(&v);
    FILE *f = fopen(file, "r");
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    unlink(file);
    assert_string_equal(text, "{\"a\":[]}\n7\n{\"b\":[]}\n9\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_get_prints_value_pairs_or_keys),
        cmocka_unit_test(kv_put_writes_checks_and_locks),
        cmocka_unit_test(kv_delete_takes_a_key_a_tree_or_checks),
        cmocka_unit_test(kv_trees_go_out_and_in_as_json),
        cmocka_unit_test(catalog_lists_nodes_and_services),
        cmocka_unit_test(members_are_sorted_by_segment_and_name),
        cmocka_unit_test(rtt_is_computed_from_coordinates),
        cmocka_unit_test(cluster_commands_say_what_they_did),
        cmocka_unit_test(maintenance_is_listed_begun_and_ended),
        cmocka_unit_test(services_are_registered_from_flags_and_files),
        cmocka_unit_test(autopilot_is_changed_with_check_and_set),
        cmocka_unit_test(config_entries_are_written_and_read),
        cmocka_unit_test(intentions_are_found_by_their_ends),
        cmocka_unit_test(keyrings_are_listed_by_pool),
        cmocka_unit_test(snapshots_are_inspected_and_sent_whole),
        cmocka_unit_test(snapshot_that_is_none_leaves_no_file),
        cmocka_unit_test(watch_without_a_child_prints_once),
        cmocka_unit_test(watch_runs_its_child_for_each_change_until_it_fails),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
