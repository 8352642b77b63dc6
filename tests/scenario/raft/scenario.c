/* SPDX-License-Identifier: Apache-2.0 */
/* scenario_raft [--record] FILE...
 * Plays a text of commands to a simulated cluster. What happens is written below each command,
 * indented: changes of role or term as they come, then the state of every running node. The result
 * must equal the file; --record writes it instead.
 *   nodes N             N voters and two spare servers; must come first
 *   run MS              virtual time passes
 *   propose NODE COUNT  verify NODE       transfer NODE
 *   add NODE SERVER     remove NODE SERVER
 *   cut FROM TO         isolate NODE      heal
 *   crash NODE          restart NODE      snapshot NODE TRAILING
 * NODE may be "leader". Lines that are empty or begin with # are kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../sim/raft/sim.h"

#define ARGS_MAX 3

static struct buf out;

static const char *role_name(enum raft_role role)
{
    return role == RAFT_LEADER ? "leader" : role == RAFT_CANDIDATE ? "candidate" : "follower";
}

static void on_state(struct sim *s, int node, const struct raft_state *st)
{
    (void)s;
    buf_printf(&out, "  node %d: %s in term %llu\n", node, role_name(st->role),
        (unsigned long long)st->term);
}

static int leader_of(const struct sim *s)
{
    int leader = -1;
    uint64_t term = 0;
    for (int i = 0; i < s->nodes_n; i++) {
        const struct node *n = &s->nodes[i];
        if (!n->alive || n->role_seen != RAFT_LEADER || n->term_seen < term) continue;
        leader = i;
        term = n->term_seen;
    }
    return leader;
}

static int node_of(const struct sim *s, const char *word)
{
    if (!strcmp(word, "leader")) return leader_of(s);
    int n = (int)strtol(word, NULL, 10);
    return n >= 0 && n < s->nodes_n ? n : -1;
}

static void summary(const struct sim *s)
{
    for (int i = 0; i < s->nodes_n; i++) {
        const struct node *n = &s->nodes[i];
        struct raft_state st;
        if (!n->alive) continue;
        raft_get_state(n->raft, &st);
        if (!st.term) continue;
        buf_printf(&out, "  = node %d %s, term %llu, log %llu..%llu, applied %llu, of", i,
            role_name(st.role), (unsigned long long)st.term, (unsigned long long)st.first_index,
            (unsigned long long)st.last_index, (unsigned long long)n->applied);
        for (size_t k = 0; k < st.latest->n; k++)
            buf_printf(&out, " %s", st.latest->servers[k].id + 5);
        buf_printf(&out, ", led by %s\n", st.leader_id[0] ? st.leader_id + 5 : "nobody");
    }
}

static void answers(const struct sim *s, size_t from)
{
    for (size_t i = from; i < s->clients_n; i++) {
        const struct client *c = &s->clients[i];
        static const char *const kinds[] = { "proposal", "change", "read", "transfer" };
        if (c->acked)
            buf_printf(
                &out, "  + %s applied at %llu\n", kinds[c->kind], (unsigned long long)c->index);
        else
            buf_printf(&out, "  + %s %s\n", kinds[c->kind], c->answers ? "answered" : "waits");
    }
}

static void change(struct sim *s, int node, enum raft_change_type type, const struct node *server)
{
    struct raft_event ev = { .type = RAFT_CHANGE,
        .change = { type, str_of(server->id), str_of(server->address),
            client_add(s, CLIENT_CHANGE, node) } };
    node_step(s, node, &ev);
}

static bool links(struct sim *s, const char *name, int a, int b)
{
    if (!strcmp(name, "heal")) {
        memset(s->cut, 0, sizeof s->cut);
        return true;
    }
    if (!strcmp(name, "cut") && a >= 0 && b >= 0) return s->cut[a][b] = true;
    if (strcmp(name, "isolate") || a < 0) return false;
    for (int i = 0; i < s->nodes_n; i++)
        s->cut[a][i] = s->cut[i][a] = i != a;
    return true;
}

static bool act(struct sim *s, const char *name, char *const *args)
{
    int a = node_of(s, args[0]), b = node_of(s, args[1]);
    if (links(s, name, a, b)) return true;
    if (a < 0) return false;
    bool alive = s->nodes[a].alive;
    if (!strcmp(name, "crash") && alive)
        node_crash(s, a);
    else if (!strcmp(name, "restart"))
        alive ? (void)0 : node_start(s, a);
    else if (!strcmp(name, "propose") && alive)
        client_propose(s, a, (size_t)strtoul(args[1], NULL, 10));
    else if (!strcmp(name, "snapshot") && alive)
        node_snapshot(s, a, strtoull(args[1], NULL, 10));
    else if (!strcmp(name, "add") && alive && b >= 0)
        change(s, a, RAFT_ADD_VOTER, &s->nodes[b]);
    else if (!strcmp(name, "remove") && alive && b >= 0)
        change(s, a, RAFT_REMOVE, &s->nodes[b]);
    else if (!strcmp(name, "verify") && alive)
        node_step(s, a,
            &(struct raft_event){
                .type = RAFT_VERIFY, .verify = { client_add(s, CLIENT_VERIFY, a) } });
    else if (!strcmp(name, "transfer") && alive)
        node_step(s, a,
            &(struct raft_event){ .type = RAFT_TRANSFER,
                .transfer = { STR_NIL, client_add(s, CLIENT_TRANSFER, a) } });
    else
        return false;
    return true;
}

/* One line of the script; false: not understood. */
static bool play(struct sim **s, char *line, size_t *answered)
{
    char *words[ARGS_MAX + 1] = { "", "", "", "" };
    char *rest = line;
    for (size_t n = 0; n <= ARGS_MAX && rest; n++)
        words[n] = strsep(&rest, " ");
    if (!strcmp(words[0], "nodes") && !*s) {
        struct sim_options o = { .seed = 1, .nodes = (int)strtol(words[1], NULL, 10) };
        if (o.nodes != 1 && o.nodes != 3 && o.nodes != 5) return false;
        *s = sim_open(&o);
        (*s)->on_state = on_state;
        return true;
    }
    if (!*s) return false;
    if (strcmp(words[0], "run")) return act(*s, words[0], words + 1);
    sim_until(*s, (*s)->now + strtoull(words[1], NULL, 10));
    answers(*s, *answered);
    *answered = (*s)->clients_n;
    summary(*s);
    return true;
}

static int compare(const char *path, const char *had, size_t n)
{
    if (out.n == n && !memcmp(out.p, had, n)) {
        printf("%s: as expected\n", path);
        return 0;
    }
    printf("%s: differs; now it reads\n%.*s", path, (int)out.n, (const char *)out.p);
    return 1;
}

static int scenario(const char *path, bool record)
{
    static char text[1 << 18];
    FILE *f = fopen(path, "rb");
    if (!f) return perror(path), 2;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *copy = xstrdup(text);
    struct sim *s = NULL;
    size_t answered = 0;
    int code = 0;
    buf_clear(&out);
    for (char *rest = copy, *line; !code && (line = strsep(&rest, "\n")) && (rest || *line);) {
        if (line[0] == ' ') continue;
        buf_printf(&out, "%s\n", line);
        if (!line[0] || line[0] == '#') continue;
        if (!play(&s, line, &answered)) code = 2;
        if (s && s->failed) buf_printf(&out, "  FAILED: %s\n", s->failure);
    }
    if (code) printf("%s: not understood:\n%.*s", path, (int)out.n, (const char *)out.p);
    if (s && s->failed) code = 1;
    if (!code && !record) code = compare(path, text, n);
    if (!code && record && (f = fopen(path, "wb"))) {
        fwrite(out.p, 1, out.n, f);
        fclose(f);
    }
    if (s) sim_free(s);
    free(copy);
    return code;
}

int main(int argc, char **argv)
{
    bool record = argc > 1 && !strcmp(argv[1], "--record");
    int code = 0;
    out = (struct buf)BUF_INIT(1 << 20);
    for (int i = 1 + record; i < argc; i++) {
        int one = scenario(argv[i], record);
        if (one > code) code = one;
    }
    buf_deinit(&out);
    return code;
}
