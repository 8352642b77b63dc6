# SPDX-License-Identifier: Apache-2.0
"""Three servers of one raft: they bootstrap by expectation, replicate, survive the death of any one of
them, are restarted in turn, catch up by snapshot, leave and come back."""
import base64
from concurrent.futures import ThreadPoolExecutor
import http.client
import json
import os
import shutil
import signal
import time

import agent
from agent import eventually
from pool import FAST, on, lan

OTHERS = (OSError, http.client.HTTPException)


class Server(agent.Agent):
    def __init__(self, opts, number, **config):
        super().__init__(on(opts, number), dict({
            'bootstrap': False, 'node_name': 's%d' % number, 'gossip_lan': FAST,
            'retry_interval': '200ms', 'performance': {'raft_multiplier': 1,
                                                       'leave_drain_time': '200ms'}}, **config))
        del self.config['bootstrap']

    @property
    def raft_address(self):
        return '%s:%d' % (self.address, self.config['ports']['server'])

    def leader(self):
        try:
            return self.get('/v1/status/leader', timeout=2).json()
        except OTHERS:
            return None

    def stats(self):
        return self.get('/v1/agent/self').json()['Stats']['raft']

    def leave(self):
        self.must(self.put('/v1/agent/leave'))
        assert self.wait_end() == 0
        self.check_log()

    def write(self, key, value='x'):
        """True once the write was accepted."""
        try:
            return self.put('/v1/kv/' + key, value, timeout=5).body == b'true'
        except OTHERS:
            return False

    def keys(self):
        """What this server itself holds."""
        answer = self.get('/v1/kv/?keys&stale')
        return sorted(answer.json()) if answer.status == 200 else []

    def voters(self):
        return sorted(s['Address'] for s in self.get(
            '/v1/operator/raft/configuration?stale').json()['Servers'] if s['Voter'])


class Cluster:
    def __init__(self, opts, n=3, **config):
        if n > 2:  # one that is down for as long as a busy machine likes is a voter still
            config.setdefault('autopilot', {'cleanup_dead_servers': False})
        self.servers = [Server(opts, i + 1, bootstrap_expect=n, **config) for i in range(n)]
        for s in self.servers:
            s.config['retry_join'] = [lan(o) for o in self.servers if o is not s]
            s.write_config('base.json', s.config)

    def __enter__(self):
        for s in self.servers:
            s.spawn()
        for s in self.servers:
            s.wait_http()
        self.agree()
        return self

    def __exit__(self, kind, value, trace):
        for s in self.servers:
            s.__exit__(kind, value, trace)

    def alive(self):
        return [s for s in self.servers if s.alive()]

    def agree(self):
        """The one leader that all living servers know."""
        def same():
            leaders = {s.leader() for s in self.alive()}
            return len(leaders) == 1 and leaders.pop()
        address = eventually(same, 'agreement on a leader')
        return next((s for s in self.alive() if s.raft_address == address), None)

    def leader(self):
        return eventually(self.agree, 'a living leader')

    def followers(self):
        leader = self.leader()
        return [s for s in self.alive() if s is not leader]

    def accepts(self, key):
        eventually(lambda: any(s.write(key) for s in self.alive()), 'a write to be accepted')

    def equal(self):
        """All living servers hold the same."""
        def same():
            views = [s.keys() for s in self.alive()]
            return all(v == views[0] for v in views)
        eventually(same, 'equal state')


def test_three_servers_elect_a_leader_and_replicate(opts):
    with Cluster(opts) as c:
        for s in c.servers:
            eventually(lambda: s.write('from-' + s.config['node_name']), 'a write through any server')
        c.equal()
        assert len(c.servers[0].keys()) == 3
        for s in c.servers:
            assert s.voters() == sorted(o.raft_address for o in c.servers), s.voters()
        leader = c.leader()
        assert leader.stats()['state'] == 'Leader' and leader.stats()['num_peers'] == '2'
        for s in c.followers():
            answer = s.get('/v1/kv/from-s1?stale')
            assert answer.headers['X-Consul-Knownleader'] == 'true', answer.headers
            assert s.must(s.get('/v1/kv/from-s1?consistent')).json()[0]['Key'] == 'from-s1'
            assert s.stats()['state'] == 'Follower'


def test_a_killed_leader_is_replaced_and_comes_back_as_follower(opts):
    with Cluster(opts) as c:
        c.accepts('before')
        for turn in range(3):
            old = c.leader()
            acknowledged = []
            for i in range(20):
                key = 'k%d-%d' % (turn, i)
                if old.write(key):
                    acknowledged.append(key)
            old.kill()
            began = time.monotonic()
            c.accepts('after-%d' % turn)
            print('     write accepted %.2f s after the kill' % (time.monotonic() - began))
            for s in c.alive():
                eventually(lambda: set(acknowledged) <= set(s.keys()), 'what was acknowledged')
            old.spawn().wait_http()
            c.equal()


def test_calls_to_a_leader_that_stops_are_not_held_for_long(opts):
    """What was sent to it ends when another one leads, long before the connection is given up."""
    with Cluster(opts) as c:
        c.accepts('before')
        old = c.leader()
        followers = c.followers()
        with ThreadPoolExecutor() as pool:
            old.signal(signal.SIGSTOP)
            reads = [pool.submit(s.get, '/v1/kv/before?raw', timeout=25) for s in followers]
            writes = [pool.submit(s.put, '/v1/kv/doubt', 'x', timeout=25) for s in followers]
            for r in reads:
                assert r.result().body == b'x', r.result().body
            for w in writes:
                body = w.result().body
                assert body == b'true' or body.startswith(b'rpc error making call: '), body
        eventually(lambda: all(s.write('after') for s in followers), 'writes')
        old.signal(signal.SIGCONT)
        c.equal()


def test_without_a_majority_nothing_is_accepted(opts):
    with Cluster(opts) as c:
        c.accepts('before')
        c.equal()
        survivor, *others = c.servers
        for s in others:
            s.kill()
        eventually(lambda: survivor.leader() == '', 'the leader to be forgotten')
        answer = survivor.put('/v1/kv/during', 'x')
        assert answer.status == 500, answer.text()
        assert survivor.get('/v1/kv/before?stale').status == 200
        for s in others:
            s.spawn().wait_http()
        c.accepts('after')
        c.equal()
        assert 'during' not in survivor.keys()


def test_servers_are_restarted_in_turn(opts):
    with Cluster(opts) as c:
        for i, s in enumerate(c.servers):
            c.accepts('turn-%d' % i)
            s.signal(signal.SIGTERM)
            assert s.wait_end() == 1
            s.check_log()
            c.accepts('down-%d' % i)
            s.spawn().wait_http()
            c.agree()
            c.equal()
        assert len(c.servers[0].keys()) == 6


def test_a_follower_catches_up_by_snapshot(opts):
    small = {'raft_snapshot_threshold': 64, 'raft_snapshot_interval': '1s', 'raft_trailing_logs': 16}
    with Cluster(opts, **small) as c:
        follower = c.followers()[0]
        follower.kill()
        leader = c.leader()
        for i in range(300):
            eventually(lambda: leader.write('k%03d' % i, 'v' * 100), 'a write')
        eventually(lambda: int(leader.stats()['last_snapshot_index']) > 200, 'a snapshot')
        follower.spawn().wait_http()
        c.equal()
        assert int(follower.stats()['last_snapshot_index']) > 200, follower.stats()
        # It is good for a majority, also after a restart of its own.
        follower.kill()
        follower.spawn().wait_http()
        c.accepts('more')
        c.leader().kill()
        c.accepts('with-it')
        c.equal()


def test_leaving_hands_over_and_coming_back_is_a_voter_again(opts):
    with Cluster(opts) as c:
        c.accepts('before')
        for s in (c.followers()[0], c.leader()):
            was_leader = s is c.leader()
            s.leave()
            eventually(lambda: len(c.leader().voters()) == 2, 'the one that left is no voter')
            if was_leader:
                assert 'could not be handed over' not in s.log()
            c.accepts('without')
            s.spawn().wait_http()
            eventually(lambda: len(c.leader().voters()) == 3, 'a voter again')
            c.equal()


def test_a_restored_archive_reaches_all(opts):
    with Cluster(opts) as c:
        c.accepts('kept')
        archive = c.followers()[0].must(c.followers()[0].get('/v1/snapshot')).body
        c.accepts('dropped')
        c.leader().must(c.leader().put('/v1/snapshot', archive))
        c.equal()
        assert c.servers[0].keys() == ['kept'], c.servers[0].keys()
        c.accepts('after')
        c.leader().kill()
        c.accepts('later')
        c.equal()


def test_an_archive_of_many_pieces_passes_a_follower_both_ways(opts):
    with Cluster(opts) as c:
        leader, follower = c.leader(), c.followers()[0]
        values = {'k%02d' % i: os.urandom(400000) for i in range(24)}
        for key, value in values.items():
            eventually(lambda: leader.write(key, value), 'a write')
        archive = follower.must(follower.get('/v1/snapshot')).body
        assert len(archive) > 24 * 400000
        for body in (archive[:-1], archive[:1000], b''):
            answer = follower.put('/v1/snapshot', body)
            assert answer.status == 500 and b'rpc error' not in answer.body, answer.text()
        assert leader.request('DELETE', '/v1/kv/?recurse').status == 200
        follower.must(follower.put('/v1/snapshot', archive))
        c.equal()
        for key, value in values.items():
            assert follower.get('/v1/kv/%s?raw' % key).body == value, key
        left = [n for _, _, names in os.walk(follower.data_dir) for n in names if n.endswith('.tmp')]
        assert not left, left


def test_a_large_answer_comes_through_a_follower(opts):
    with Cluster(opts) as c:
        leader, follower = c.leader(), c.followers()[0]
        value = os.urandom(500000)
        for i in range(150):
            eventually(lambda: leader.write('large/%03d' % i, value), 'a write')
        rows = follower.must(follower.get('/v1/kv/large/?recurse')).json()
        assert [r['Key'] for r in rows] == ['large/%03d' % i for i in range(150)]
        assert all(base64.b64decode(r['Value']) == value for r in rows)


def test_servers_that_all_moved_elect_again_by_their_ids(opts):
    with Cluster(opts) as c:
        c.accepts('before')
        c.equal()
        ids = {s: s.get('/v1/agent/self').json()['Config']['NodeID'] for s in c.servers}
        for s in c.servers:
            s.kill()
        for number, s in enumerate(c.servers):
            s.address = on(opts, number + 11).bind
            s.config.update(bind_addr=s.address, client_addr=s.address)
        for s in c.servers:
            s.config['retry_join'] = [lan(o) for o in c.servers if o is not s]
            s.write_config('base.json', s.config)
            s.spawn()
        for s in c.servers:
            s.wait_http()
        c.accepts('after')
        c.equal()
        assert c.leader().keys() == ['after', 'before']
        assert ids == {s: s.get('/v1/agent/self').json()['Config']['NodeID'] for s in c.servers}
        # The configuration follows: without gossip's help addresses are right again.
        eventually(lambda: c.leader().voters() == sorted(s.raft_address for s in c.servers),
                   'the new addresses in the configuration')


def test_a_wiped_server_at_its_old_address_is_a_new_voter(opts):
    with Cluster(opts) as c:
        c.accepts('before')
        wiped = c.followers()[0]
        old = wiped.get('/v1/agent/self').json()['Config']['NodeID']
        for _ in range(2):
            wiped.kill()
            shutil.rmtree(wiped.data_dir)
            wiped.spawn().wait_http()
            new = wiped.get('/v1/agent/self').json()['Config']['NodeID']
            assert new != old

            def is_voter():
                answer = c.leader().get('/v1/operator/raft/configuration')
                ids = {s['ID']: s['Voter'] for s in answer.json()['Servers']}
                return old not in ids and ids.get(new) and len(ids) == 3
            eventually(is_voter, 'the new id as a voter, the old one gone')
            c.accepts('after')
            c.equal()
            assert wiped.keys() == ['after', 'before']
            old = new


def recover(opts, peers_of):
    with Cluster(opts) as c:
        c.accepts('before')
        c.equal()
        left, *lost = c.servers
        for s in c.servers:
            s.kill()
        raft = os.path.join(left.data_dir, 'raft')
        with open(os.path.join(left.data_dir, 'node-id')) as f:
            node_id = f.read().strip()
        with open(os.path.join(raft, 'peers.json'), 'w') as f:
            json.dump(peers_of(node_id, left.raft_address), f)
        left.spawn().wait_http()
        eventually(lambda: left.write('after'), 'a write of the one that is left')
        assert left.keys() == ['after', 'before'] and left.voters() == [left.raft_address]
        assert not os.path.exists(os.path.join(raft, 'peers.json'))
        for s in lost:
            shutil.rmtree(s.data_dir)
            s.spawn().wait_http()
        eventually(lambda: len(left.voters()) == 3, 'all voters')
        c.equal()


def test_peers_json_makes_a_cluster_of_what_is_left(opts):
    recover(opts, lambda node_id, address: [{'id': node_id, 'address': address}])


def test_peers_json_may_name_addresses_alone(opts):
    recover(opts, lambda node_id, address: [address])


def test_a_large_value_goes_through_a_follower(opts):
    with Cluster(opts) as c:
        value = 'v' * (512 * 1024)
        follower = c.followers()[0]
        eventually(lambda: follower.write('large', value), 'the write')
        for s in c.servers:
            eventually(lambda: s.get('/v1/kv/large?raw&stale').text() == value, 'the value')


def test_a_server_that_was_away_for_too_long_is_told_so(opts):
    with agent.Agent(on(opts, 9), {'server_rejoin_age_max': '100h'}) as s:
        seen = os.path.join(s.data_dir, 'server_metadata.json')

        def away(hours):
            with open(seen, 'w') as f:
                json.dump({'last_seen_unix': int(time.time()) - hours * 3600}, f)
        s.start()
        s.must(s.put('/v1/kv/here', 'x'))
        s.stop()
        with open(seen) as f:
            assert abs(time.time() - json.load(f)['last_seen_unix']) < 600
        away(101)
        assert s.spawn().wait_end() == 1
        s.check_log()
        assert 'server_rejoin_age_max' in s.log()
        away(99)
        s.start()
        assert 'away for longer than others remember' in s.log()
        assert s.get('/v1/kv/here?raw').body == b'x'
        s.stop()
        with open(seen) as f:
            assert abs(time.time() - json.load(f)['last_seen_unix']) < 600
        s.write_config('base.json', dict(s.config, server_rejoin_age_max=None))
        away(10000)
        s.start()  # nobody asked for a limit


if __name__ == '__main__':
    raise SystemExit(agent.main(globals()))
