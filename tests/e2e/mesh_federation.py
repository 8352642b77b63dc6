# SPDX-License-Identifier: Apache-2.0
"""Two datacenters that reach each other through mesh gateways alone: joining, asking, what is on the
gateways, and what happens when gateways and servers go and come back. Nothing may ever arrive at
the addresses that the servers advertise to the WAN."""
import http.client
import sys
import threading
import time

import agent
from agent import eventually
from gateway import Gateway
from mesh import Mesh

PACKET, STREAM = 'consul/wan-gossip/packet', 'consul/wan-gossip/stream'
RPC = 'consul/rpc-multi'


def ask(m, here, there):
    s = m.servers[here]
    s.must(s.put('/v1/kv/%s-%s?dc=%s' % (here, there, there), here))
    assert m.servers[there].get('/v1/kv/%s-%s?raw' % (here, there)).text() == here
    node = m.servers[there].config['node_name']
    assert [n['Node'] for n in s.get('/v1/catalog/nodes?dc=' + there).json()] == [node]


def asks(m, here, there):
    try:
        ask(m, here, there)
        return True
    except (AssertionError, ValueError):
        return False


def both_ways(m):
    ask(m, 'dc1', 'dc2')
    ask(m, 'dc2', 'dc1')


def federated(m):
    m.start()
    m.wait_joined()
    m.wait_states()
    both_ways(m)


def bring_up(opts, encrypt):
    with Mesh(opts, encrypt=encrypt) as m:
        federated(m)
        seen = m.gateways['dc1'].pairs() | m.gateways['dc2'].pairs()
        assert ('server.dc1.consul', STREAM) in seen, seen
        for name in ('s1.server.dc1.consul', 's2.server.dc2.consul'):
            assert (name, PACKET) in seen and (name, RPC) in seen, seen
        refused = m.s1.put('/v1/agent/join/127.0.0.1?wan=1')
        assert (refused.status, refused.text()) == (
            500, 'WAN join is disabled when wan federation via mesh gateways is enabled')
        m.nothing_direct()


def test_joined_through_gateways_alone(opts):
    bring_up(opts, True)


def test_joined_without_gossip_keys(opts):
    bring_up(opts, False)


def test_connections_are_used_again(opts):
    with Mesh(opts) as m:
        federated(m)
        before = len(m.gateways['dc1'].seen) + len(m.gateways['dc2'].seen)
        for _ in range(20):
            both_ways(m)
        after = len(m.gateways['dc1'].seen) + len(m.gateways['dc2'].seen)
        assert after - before <= 4, m.gateways['dc1'].seen[before:]


def test_W6_what_goes_past_the_gateways_is_counted(opts):
    """A check of ours stands for code that dials where it must not."""
    with Mesh(opts) as m:
        federated(m)
        m.nothing_direct()
        for port in ('server', 'serf_wan'):
            before = m.trespasses('dc1')
            m.s1.must(m.s1.put('/v1/agent/check/register', {
                'Name': port, 'Interval': '200ms', 'Timeout': '1s',
                'TCP': '%s:%d' % (m.decoys['dc2'].address, m.s1.config['ports'][port])}))
            eventually(lambda: m.trespasses('dc1') > before, 'it is counted')
            m.s1.must(m.s1.put('/v1/agent/check/deregister/' + port))
        eventually(lambda: m.decoys['dc2'].arrived, 'the decoy to see it')
        assert m.trespasses('dc2') == 0
        m.s1.wait_log('sent to an address that only mesh gateways lead to')


def test_gateways_restart(opts):
    with Mesh(opts) as m:
        federated(m)
        for g in m.gateways.values():
            g.stop()
        gone = m.s1.get('/v1/kv/x?dc=dc2')
        assert gone.status == 500 and 'rpc error' in gone.text(), gone.text()
        m.s1.must(m.s1.put('/v1/kv/own', 'still'))
        time.sleep(3)
        for g in m.gateways.values():
            g.start()
        eventually(lambda: asks(m, 'dc1', 'dc2') and asks(m, 'dc2', 'dc1'), 'answers again')
        m.wait_joined()
        m.nothing_direct()


def test_W5_a_gateway_is_replaced_by_one_with_another_address(opts):
    with Mesh(opts) as m:
        federated(m)
        old = m.gateways['dc2']
        fresh = Gateway(m.at(14), routes=old.routes)
        with fresh:
            m.gateways['dc1'].routes = {
                k: ((m.at(14), 8443) if 'dc2' in k else v)
                for k, v in m.gateways['dc1'].routes.items()}
            m.register('dc2', fresh)
            old.stop()
            eventually(lambda: asks(m, 'dc2', 'dc1') and asks(m, 'dc1', 'dc2'), 'both ways')
            assert fresh.pairs(), 'nobody came by the new gateway'
            eventually(lambda: m.states('dc1')['dc2']['MeshGateways'][0]['Service']['Address'] ==
                       m.at(14), 'the primary knows the new address')
            m.wait_states()
            m.nothing_direct()


def test_W2_a_secondary_restarts_with_the_primary_gateways_out_of_reach(opts):
    """Its own gateway leads on by another way than the address that is configured and stored."""
    with Mesh(opts) as m:
        federated(m)
        inner = Gateway(m.at(13), routes=m.gateways['dc1'].routes)
        with inner:
            m.gateways['dc2'].routes = {
                k: ((m.at(13), 8443) if 'dc1' in k else v)
                for k, v in m.gateways['dc2'].routes.items()}
            m.s2.kill()
            seen = len(m.gateways['dc1'].seen)
            # from now on dc1's outer gateway must not be needed by dc2
            m.s2.start()
            m.wait_joined()
            eventually(lambda: asks(m, 'dc2', 'dc1'), 'an answer')
            came = [x for x in m.gateways['dc1'].seen[seen:] if 'server.dc1' in x[0]]
            assert came == [], came
            m.nothing_direct()


def test_B31_one_of_two_gateways_is_dead(opts):
    with Mesh(opts) as m:
        second = Gateway(m.at(23), routes=m.gateways['dc1'].routes)
        with second:
            m.start()
            m.register('dc1', second, 'mesh-gateway-2')
            m.wait_joined()
            m.wait_states()
            both_ways(m)
            m.s2.must(m.s2.put('/v1/kv/k', 'v'))
            for g in (second, m.gateways['dc1']):
                g.stop()
                for _ in range(10):
                    got = m.s1.get('/v1/kv/k?raw&dc=dc2')
                    assert (got.status, got.text()) == (200, 'v'), got.text()
                g.start()
                eventually(lambda: asks(m, 'dc2', 'dc1'), 'the way back')
                time.sleep(1.2)  # the gateway that failed is spared for a second
            m.nothing_direct()


def test_the_primary_goes_down_and_comes_back(opts):
    with Mesh(opts) as m:
        federated(m)
        m.s1.kill()
        m.s2.must(m.s2.put('/v1/kv/own', 'still'))
        assert m.s2.get('/v1/kv/x?dc=dc1').status == 500
        eventually(lambda: not m.alive('dc2', 's1.dc1'), 'seen as failed')
        m.s1.start()
        m.wait_joined()
        eventually(lambda: asks(m, 'dc2', 'dc1') and asks(m, 'dc1', 'dc2'), 'both ways')
        m.wait_states()
        m.nothing_direct()


def test_W26_a_server_leaves_under_load(opts):
    """Calls in both directions, packets, and a gateway that swallows what it is given."""
    with Mesh(opts) as m:
        federated(m)
        over = threading.Event()

        def load(here, there):
            while not over.is_set():
                try:
                    m.servers[here].get('/v1/kv/k?dc=' + there, timeout=5)
                    m.servers[here].put('/v1/kv/k?dc=' + there, 'x' * 1000, timeout=5)
                except (OSError, http.client.HTTPException):
                    pass
        threads = [threading.Thread(target=load, args=pair)
                   for pair in 4 * [('dc1', 'dc2'), ('dc2', 'dc1')]]
        for t in threads:
            t.start()
        m.gateways['dc1'].hold = True
        time.sleep(1)
        m.s2.put('/v1/agent/leave')
        status = m.s2.wait_end()
        m.gateways['dc1'].hold = False
        over.set()
        for t in threads:
            t.join()
        assert status == 0, status
        m.s2.check_log()


def stats(m, dc):
    return m.servers[dc].get('/v1/agent/self').json()['Stats']


def test_B29_B45_the_way_and_the_replication_are_shown(opts):
    with Mesh(opts) as m:
        federated(m)
        way = stats(m, 'dc2')['wan_federation']
        assert way['gateways_local'] == str(m.gateways['dc2']), way
        assert way['gateways_primary'] == way['gateways_configured'] == str(m.gateways['dc1']), way
        assert (way['primary_through'], way['primary_gateway_reason']) == (
            'local', 'there is no other'), way
        fine = stats(m, 'dc2')['federation_state_replication']
        assert int(fine['last_index']) > 0 and fine['last_error'] == '', fine
        assert fine['failing_since'] == 'never', fine
        m.s1.kill()
        eventually(lambda: stats(m, 'dc2')['federation_state_replication']['last_error'],
                   'the error of replication')
        eventually(lambda: int(stats(m, 'dc2')['federation_state_replication']['next_try_ms']) > 0,
                   'the next try')
        failing = stats(m, 'dc2')['federation_state_replication']
        assert failing['failing_since'] != 'never' and failing['last_index'] == '0', failing
        m.s1.start()
        eventually(lambda: stats(m, 'dc2')['federation_state_replication']['failing_since'] ==
                   'never', 'replication works again')


def test_B48_an_unreachable_datacenter_is_logged_once(opts):
    with Mesh(opts) as m:
        federated(m)
        m.gateways['dc1'].stop()
        at = len(m.s1.log())
        m.s1.wait_log('is not reached', at)
        time.sleep(5)  # of further attempts
        lines = [x for x in m.s1.log()[at:].splitlines()
                 if 'is not reached' in x and 's2.dc2' in x]
        assert len(lines) == 1, lines
        m.gateways['dc1'].start()
        m.s1.wait_log('is reached again', at)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
