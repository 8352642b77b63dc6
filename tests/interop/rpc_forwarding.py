# SPDX-License-Identifier: Apache-2.0
"""The recorded conversations with a follower, with and without a leader, against two servers."""
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
import agent  # noqa: E402
import cluster  # noqa: E402
import rpc_replay  # noqa: E402
import rpcwire  # noqa: E402

# Of the servers: who they are, where, and since when.
OWN = rpc_replay.VOLATILE | {'ID', 'Address', 'Node', 'Name', 'SerfAddress', 'StableSince', 'Version'}
HOLD_S = 7


def recorded(run):
    with open(os.path.join(rpc_replay.VECTORS, 'Forwarding.json')) as f:
        return sorted((c for c in json.load(f)['calls'] if c['run'] == run),
                      key=lambda c: c['order'])


def blank(v):
    if isinstance(v, dict):
        return {k: '<own>' if k in OWN else blank(v[k]) for k in v}
    if isinstance(v, list):
        return [blank(e) for e in v]
    return v


def ask(mux, c):
    """What was recorded and what is answered, and how long that took."""
    stream = mux.open()
    began = time.monotonic()
    stream.send(bytes.fromhex(c['request']['header_hex'] + c['request']['body_hex']))
    header, body, _ = stream.reply()
    stream.finish()
    old_header, _ = rpcwire.unpack(bytes.fromhex(c['response']['header_hex']))
    old_body, _ = rpcwire.unpack(bytes.fromhex(c['response']['body_hex']))
    return [old_header, blank(old_body)], [header, blank(body)], time.monotonic() - began


def by_leader(answer):
    """The two servers in an order that does not depend on their names."""
    if isinstance(answer[1], dict) and isinstance(answer[1].get('Servers'), list):
        answer[1]['Servers'].sort(key=lambda s: not s['Leader'])
    return answer


def compare(c, want, got):
    fault = rpc_replay.first_difference(by_leader(want), by_leader(got))
    assert not fault, '%s %d %s (%s): %s' % (c['run'], c['order'], c['method'], c.get('note'), fault)


def test_asked_of_a_follower(opts):
    with cluster.Cluster(opts, 2) as both:
        leader, follower = both.leader(), both.followers()[0]
        agent.eventually(lambda: leader.get('/v1/operator/autopilot/health').status == 200,
                         'two healthy servers')
        mux = rpcwire.Mux(follower.address, follower.config['ports']['server'])
        for c in recorded('follower'):
            if 'stale' in (c.get('note') or ''):
                agent.eventually(lambda: len(set(map(repr, ask(mux, c)[:2]))) == 1,
                                 'the entry at the follower')
            want, got, _ = ask(mux, c)
            if c['method'] == 'Status.Leader':
                assert got[1].decode() == leader.raft_address, got
                continue
            if c['method'] == 'Status.RaftStats':
                assert got[1]['LastContact'] == '<own>' and got[0]['Error'] == b''
                continue
            compare(c, want, got)
        mux.close()


def test_without_a_leader(opts):
    with cluster.Cluster(opts, 2) as both:
        leader, follower = both.leader(), both.followers()[0]
        follower.must(follower.put('/v1/kv/f', 'via follower'))
        agent.eventually(lambda: follower.keys() == ['f'], 'the entry at the follower')
        leader.kill()
        agent.eventually(lambda: follower.get('/v1/status/leader').body == b'""', 'no leader')
        mux = rpcwire.Mux(follower.address, follower.config['ports']['server'])
        for c in recorded('no-leader'):
            want, got, seconds = ask(mux, c)
            held = want[0]['Error'] == b'No cluster leader'
            for _ in range(3):  # a busy machine may be slow once
                if not held and seconds >= HOLD_S - 1:
                    want, got, seconds = ask(mux, c)
            if c['method'] == 'Catalog.ListDatacenters':
                want[1] = want[1][:1]  # one datacenter here
            compare(c, want, got)
            assert (seconds >= HOLD_S - 1) == held, (c['method'], seconds)
        mux.close()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
