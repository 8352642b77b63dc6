/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

static void up(void)
{
    must(sim_until(sim_healed, 60000));
}

static void cut_from_primary(int dc, bool on)
{
    sim.cut[dc][0] = on;
}

/* All gateways of a datacenter are others now. */
static void replace_gateways(int dc)
{
    for (size_t i = 0; i < sim.n; i++)
        if (sim.gateways[i].dc == dc) sim.gateways[i].listed = sim.gateways[i].up = false;
    for (size_t i = 0; i < sim.n; i++)
        if (sim.gateways[i].dc == dc) sim.gateways[i].gone = true;
    for (int i = 0; i < GATEWAYS; i++)
        (void)sim_add_gateway(dc);
}

static void restart(int dc)
{
    for (int i = 0; i < SERVERS; i++) {
        sim_server_stop(dc, i);
        sim_server_start(dc, i);
    }
}

static uint64_t writes(void)
{
    uint64_t n = 0;
    for (int dc = 0; dc < DCS; dc++)
        n += sim.dcs[dc].writes;
    return n;
}

static uint64_t failures(void)
{
    uint64_t n = 0;
    for (int dc = 0; dc < DCS; dc++)
        for (int i = 0; i < SERVERS; i++)
            n += sim.dcs[dc].servers[i].failures;
    return n;
}

static void bring_up(void)
{
    up();
    uint64_t before = writes(), failed = failures();
    sim_run(3600000);
    must(writes() == before); /* W11: a quiet hour writes nothing */
    must(failures() == failed);
}

static void W1_followers_keep_to_their_gateways(void)
{
    up();
    sim.past_local = 0;
    for (int i = 0; i < 30; i++) {
        struct sim_gateway *g = &sim.gateways[2 + sim_random(2)]; /* one of dc2's at a time */
        g->up = false;
        sim_run(5000);
        g->up = true;
        sim_run(5000);
    }
    must(sim.past_local == 0);
    up();
}

static void W2_W21_a_secondary_restarts_while_the_direct_way_is_cut(void)
{
    up();
    cut_from_primary(1, true);
    restart(1);
    sim.past_local = 0;
    up();
    must(sim.past_local == 0);
}

static void W5_gateways_of_secondaries_move(void)
{
    up();
    for (int dc = 1; dc < DCS; dc++) {
        replace_gateways(dc);
        must(sim_until(sim_healed, 45000));
    }
}

static void W18_primary_servers_restart_one_by_one_and_all_at_once(void)
{
    up();
    for (int i = 0; i < SERVERS; i++) {
        sim_server_stop(0, i);
        sim_run(10000);
        sim_server_start(0, i);
        sim_run(2000);
    }
    must(sim_until(sim_healed, 30000));
    for (int i = 0; i < SERVERS; i++)
        sim_server_stop(0, i);
    sim_run(60000);
    for (int i = 0; i < SERVERS; i++)
        sim_server_start(0, i);
    must(sim_until(sim_healed, 60000));
}

static void W20_the_direct_way_is_cut_for_ever(void)
{
    up();
    for (int dc = 1; dc < DCS; dc++)
        cut_from_primary(dc, true);
    for (int i = 0; i < 10; i++) {
        struct sim_gateway *g = &sim.gateways[2 + sim_random(8)];
        g->up = false;
        sim_run(30000);
        g->up = true;
        sim_run(10000);
    }
    must(sim_until(sim_healed, 60000));
}

static void W21_all_gateways_of_the_primary_move_and_the_name_follows(void)
{
    up();
    replace_gateways(0);
    snprintf(sim.configured, sizeof sim.configured, "%s", sim.gateways[sim.n - 1].address);
    must(sim_until(sim_healed, 60000 + 20000)); /* a minute, and "lately" */
}

static bool secondaries_reach_each_other(void)
{
    for (int dc = 1; dc < DCS; dc++)
        for (int i = 0; i < SERVERS; i++)
            for (int target = 1; target < DCS; target++)
                if (target != dc && sim.dcs[dc].servers[i].reached_ms[target] + 5000 < sim.now)
                    return false;
    return true;
}

static void W29_secondaries_without_a_primary(void)
{
    up();
    for (int i = 0; i < SERVERS; i++)
        sim_server_stop(0, i);
    for (int i = 0; i < GATEWAYS; i++)
        sim.gateways[i].up = false;
    for (int i = 0; i < 60; i++) {
        sim_run(10000);
        must(secondaries_reach_each_other());
    }
    restart(2); /* one that knows the others from its store alone */
    sim_run(10000);
    must(secondaries_reach_each_other());
    for (int i = 0; i < SERVERS; i++)
        sim_server_start(0, i);
    for (int i = 0; i < GATEWAYS; i++)
        sim.gateways[i].up = true;
    must(sim_until(sim_healed, 60000));
}

static void W23_B30_a_gateway_that_swallows(void)
{
    up();
    for (int i = 0; i < 8; i++) {
        struct sim_gateway *g = &sim.gateways[sim_random(10)];
        uint64_t failed = failures();
        g->swallows = true;
        sim_run(30000);
        /* each of its datacenter's servers finds out once for each peer, and for any */
        must(failures() - failed <= SERVERS * (DCS - 1) * SERVERS + SERVERS);
        must(sim_all_reach_all()); /* the other one of each datacenter does it */
        g->swallows = false;
    }
    must(sim_until(sim_healed, 30000));
}

static bool dc5_forgotten(void)
{
    for (int dc = 0; dc < DCS - 1; dc++)
        for (size_t i = 0; i < sim.dcs[dc].states.n; i++)
            if (str_is(LIST_AT(&sim.dcs[dc].states, struct federation_state, i).datacenter, "dc5"))
                return false;
    return true;
}

static void W28_a_datacenter_is_given_up(void)
{
    up();
    sim.dcs[4].left = true;
    for (int i = 0; i < SERVERS; i++)
        sim.dcs[4].servers[i].up = false;
    must(sim_until(dc5_forgotten, 3600000 + 60000));
    must(sim.pruned == 1);
    for (int i = 0; i < SERVERS; i++)
        fed_destroy(sim.dcs[4].servers[i].d), sim.dcs[4].servers[i].d = NULL;
}

/* Safety under any faults, then all is mended and must converge. */
static void faults(void)
{
    for (int i = 0; i < 200; i++) {
        int dc = (int)sim_random(DCS), s = (int)sim_random(SERVERS);
        struct sim_gateway *g = &sim.gateways[sim_random(sim.n)];
        switch (sim_random(8)) {
        case 0:
            if (sim.dcs[dc].servers[s].up) sim_server_stop(dc, s);
            break;
        case 1:
            if (!sim.dcs[dc].servers[s].up) sim_server_start(dc, s);
            break;
        case 2:
            g->up = false;
            break;
        case 3:
            g->up = !g->gone;
            break;
        case 4:
            g->swallows = !g->swallows;
            break;
        case 5:
            sim.cut[dc][sim_random(DCS)] = sim_random(2);
            break;
        case 6:
            if (sim.n < 400 && dc > 0) replace_gateways(dc);
            break;
        case 7:
            cut_from_primary(dc, sim_random(2));
            break;
        }
        sim_run(sim_random(10000));
    }
    memset(sim.cut, 0, sizeof sim.cut);
    for (size_t i = 0; i < sim.n; i++) {
        sim.gateways[i].up = !sim.gateways[i].gone;
        sim.gateways[i].swallows = false;
    }
    for (int dc = 0; dc < DCS; dc++)
        for (int i = 0; i < SERVERS; i++)
            if (!sim.dcs[dc].servers[i].up) sim_server_start(dc, i);
    must(sim_until(sim_healed, 120000));
}

const struct scenario scenarios[] = {
    { "bring_up", bring_up },
    { "W1_followers", W1_followers_keep_to_their_gateways },
    { "W2_restart", W2_W21_a_secondary_restarts_while_the_direct_way_is_cut },
    { "W5_moved", W5_gateways_of_secondaries_move },
    { "W18_primary_restarts", W18_primary_servers_restart_one_by_one_and_all_at_once },
    { "W20_direct_cut", W20_the_direct_way_is_cut_for_ever },
    { "W21_primary_moved", W21_all_gateways_of_the_primary_move_and_the_name_follows },
    { "W23_swallows", W23_B30_a_gateway_that_swallows },
    { "W28_given_up", W28_a_datacenter_is_given_up },
    { "W29_no_primary", W29_secondaries_without_a_primary },
    { "faults", faults },
};
const size_t scenarios_n = sizeof scenarios / sizeof scenarios[0];
