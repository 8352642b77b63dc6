# SPDX-License-Identifier: Apache-2.0
"""A pool of Debian's serf agents with a consuld agent in it: both see and hear each other."""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
import agent  # noqa: E402
from agent import eventually  # noqa: E402

ALIVE, LEFT, FAILED = 1, 3, 4
KEYS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)]
# The timing of serf's local profile, so that a death is seen within seconds.
FAST = {'gossip_interval': '100ms', 'probe_interval': '500ms', 'probe_timeout': '200ms',
        'suspicion_mult': 3}


class Peer:
    """One serf agent."""

    def __init__(self, opts, name, folder, join=None, keys=None, tags=()):
        self.name, self.folder = name, folder
        self.bind = '%s:%d' % (opts.bind, agent.free_port(opts.bind))
        self.rpc = '%s:%d' % (opts.bind, agent.free_port(opts.bind))
        self.log_path = os.path.join(folder, name + '.log')
        args = ['serf', 'agent', '-node=' + name, '-bind=' + self.bind, '-rpc-addr=' + self.rpc,
                '-profile=local', '-log-level=debug']
        args += ['-tag=' + t for t in tags]
        if keys:
            ring = os.path.join(folder, name + '.keyring')
            with open(ring, 'w') as f:
                json.dump(keys, f)
            args.append('-keyring-file=' + ring)
        if join:
            args.append('-join=' + join)
        with open(self.log_path, 'wb') as log:
            self.proc = agent.started(subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder), self.show)

    def run(self, *args, check=True):
        ran = subprocess.run(['serf', args[0], '-rpc-addr=' + self.rpc, *args[1:]],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=agent.DEADLINE)
        if check and ran.returncode != 0:
            raise AssertionError('serf %s: %s' % (args[0], ran.stdout[-500:]))
        return ran.stdout.decode('utf-8', 'replace')

    def sets_tags(self, *args):
        """It waits for its own broadcast, for a limited time."""
        eventually(lambda: 'Successfully updated' in self.run('tags', *args, check=False),
                   'new tags at ' + self.name)

    def again(self, seen, what, *words):
        """A serf of the local profile sends a broadcast twice only, also to members that it just saw
        fail, and drops one when another of equal length meets it in its queue: it may reach nobody.
        So it is told again until it did."""
        def once():
            self.run(*words)
            end = time.monotonic() + 2
            while not seen() and time.monotonic() < end:
                time.sleep(0.1)
            return seen()
        eventually(once, what)

    def members(self):
        ran = subprocess.run(['serf', 'members', '-rpc-addr=' + self.rpc, '-format=json'],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=agent.DEADLINE)
        if ran.returncode != 0:
            return {}
        return {m['name']: m for m in json.loads(ran.stdout)['members'] or []}

    def sees(self, name, status):
        eventually(lambda: self.members().get(name, {}).get('status') == status,
                   '%s sees %s as %s' % (self.name, name, status))

    def log(self):
        with open(self.log_path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')

    def show(self):
        print('--- %s\n%s' % (self.name, self.log()[-3000:]))

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


class Pool:
    """Three serf agents that know each other."""

    def __init__(self, opts, keys=None):
        if not shutil.which('serf'):
            raise agent.Skip('serf is not installed')
        self.opts, self.keys = opts, keys
        self.folder = tempfile.mkdtemp(prefix='consuld-serf-')
        self.peers = []
        for i in range(3):
            self.add('peer%d' % i)
        for p in self.peers:
            eventually(lambda: len(p.members()) == 3, 'three serf agents see each other')

    def add(self, name, keys=None):
        join = self.peers[0].bind if self.peers else None
        peer = Peer(self.opts, name, self.folder, join, keys or self.keys,
                    tags=('color=blue', 'odd=' + name))
        self.peers.append(peer)
        eventually(lambda: peer.members() or peer.proc.poll() is not None, name + ' answers')
        return peer

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for p in self.peers:
            if kind is not None:
                p.show()
            p.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def consuld(opts, pool, **config):
    config.setdefault('node_name', 'consuld')
    config['retry_join'] = [pool.peers[0].bind]
    config['retry_interval'] = '1s'
    config['gossip_lan'] = FAST
    return agent.Agent(opts, config)


def statuses(a):
    return {m['Name']: m['Status'] for m in a.get('/v1/agent/members').json()}


def sees(a, name, status):
    eventually(lambda: statuses(a).get(name) == status,
               'consuld sees %s with status %d' % (name, status))


def joined(a, pool):
    for p in pool.peers:
        sees(a, p.name, ALIVE)
        p.sees(a.config['node_name'], 'alive')


def events(a, name):
    return [e for e in a.get('/v1/event/list?name=' + name).json()]


def consul_event(name, payload=b''):
    """The payload that Consul gives a user event."""
    def text(s):
        return (bytes([0xa0 | len(s)]) if len(s) < 32 else bytes([0xd9, len(s)])) + s
    body = [text(b'ID') + text(str(uuid.uuid4()).encode()), text(b'n') + text(name.encode())]
    if payload:
        body.append(text(b'p') + bytes([0xc4, len(payload)]) + payload)
    body.append(text(b'v') + b'\x01')
    return bytes([0x80 | len(body)]) + b''.join(body)


def test_members_and_tags_both_ways(opts):
    with Pool(opts) as pool, consuld(opts, pool) as a:
        a.start()
        joined(a, pool)
        own = pool.peers[1].members()['consuld']
        assert own['tags']['role'] == 'consul' and own['tags']['dc'] == 'dc1', own
        assert own['tags']['port'] == str(a.config['ports']['server']), own
        assert own['addr'] == '%s:%d' % (opts.bind, a.config['ports']['serf_lan']), own
        seen = {m['Name']: m for m in a.get('/v1/agent/members').json()}['peer2']
        assert seen['Tags'] == {'color': 'blue', 'odd': 'peer2'}, seen
        pool.peers[2].sets_tags('-set', 'color=red', '-delete', 'odd')
        eventually(lambda: {m['Name']: m['Tags'] for m in a.get('/v1/agent/members').json()}
                   ['peer2'] == {'color': 'red'}, 'new tags of a peer')


def test_user_events_both_ways(opts):
    with Pool(opts) as pool, consuld(opts, pool) as a:
        a.start()
        joined(a, pool)
        a.must(a.put('/v1/event/fire/deploy', 'now'))
        for p in pool.peers:
            eventually(lambda: 'consul:event:deploy' in p.log(), 'the event at ' + p.name)
        pool.peers[1].again(lambda: events(a, 'hello'), 'an event of a peer', 'event', '-coalesce=false',
                            'consul:event:hello', consul_event('hello', b'you'))
        assert {base64.b64decode(e['Payload']) for e in events(a, 'hello')} == {b'you'}


def asked(peer, *query, acks):
    """The local profile sends a query twice only: it may miss a member."""
    eventually(lambda: sorted(json.loads(peer.run(
        'query', '-format=json', '-timeout=2s', *query))['Acks'] or []) == acks,
        '%s to acknowledge %s' % (acks, ' '.join(query)))


def test_queries_reach_it(opts):
    with Pool(opts) as pool, consuld(opts, pool) as a:
        a.start()
        joined(a, pool)
        asked(pool.peers[0], 'who', acks=['consuld', 'peer0', 'peer1', 'peer2'])
        asked(pool.peers[0], '-tag', 'role=consul', 'who', acks=['consuld'])
        asked(pool.peers[2], '-relay-factor=2', '-node', 'consuld', 'who', acks=['consuld'])
        # a peer loses a query of the same length as another one
        agent.eventually(lambda: 'Successfully contacted all live nodes' in
                         pool.peers[1].run('reachability', check=False), 'all to answer')


def test_kill_of_either_side_is_seen(opts):
    with Pool(opts) as pool, consuld(opts, pool) as a:
        a.start()
        joined(a, pool)
        pool.peers[2].proc.kill()
        sees(a, 'peer2', FAILED)
        eventually(lambda: a.get('/v1/agent/members').status == 200, 'still answering')
        a.kill()
        for p in pool.peers[:2]:
            p.sees('consuld', 'failed')
        a.start()
        for p in pool.peers[:2]:
            p.sees('consuld', 'alive')


def test_leaving_of_either_side_is_seen(opts):
    with Pool(opts) as pool, consuld(opts, pool, leave_on_terminate=True,
                                     performance={'raft_multiplier': 1,
                                                  'leave_drain_time': '100ms'}) as a:
        a.start()
        joined(a, pool)
        pool.peers[2].run('leave')
        sees(a, 'peer2', LEFT)
        a.signal(signal.SIGTERM)
        for p in pool.peers[:2]:
            p.sees('consuld', 'left')
        assert a.wait_end() == 0, a.tail()
        a.check_log()


def test_forced_leave_both_ways(opts):
    with Pool(opts) as pool, consuld(opts, pool) as a:
        a.start()
        joined(a, pool)
        pool.peers[2].proc.kill()
        sees(a, 'peer2', FAILED)
        pool.peers[0].sees('peer2', 'failed')
        a.must(a.put('/v1/agent/force-leave/peer2'))
        pool.peers[0].sees('peer2', 'left')
        pool.peers[1].proc.kill()
        sees(a, 'peer1', FAILED)
        pool.peers[0].sees('peer1', 'failed')
        pool.peers[0].again(lambda: 'peer1' not in statuses(a), 'a pruned member is forgotten',
                            'force-leave', '-prune', 'peer1')


def change_keys(peer, action, key):
    """serf loses a broadcast of its own when two of equal length meet in its queue, so that a node
    may not be asked. Each change can be repeated."""
    eventually(lambda: 'Success' in peer.run('keys', action, key, check=False),
               '%s %s at %s' % (action, key, peer.name))


def keys_of(peer):
    """Key, number of nodes that have it."""
    out = eventually(lambda: (lambda t: 'Failed' not in t and t)(
        peer.run('keys', '-list', check=False)), 'all keys of the pool')
    return {w: line for line in out.splitlines() for w in line.split() if w in KEYS}


def keyring(a, method, key=None):
    return a.request(method, '/v1/operator/keyring', {'Key': key} if key else None)


def turn_keys(a, *changes):
    """Each until every member has confirmed it: a slow one may miss the time there is for answers."""
    for method, key in changes:
        answer = {}

        def confirmed():
            answer['last'] = keyring(a, method, key)
            return answer['last'].status == 200
        try:
            eventually(confirmed, '%s of a key' % method)
        except AssertionError:
            raise AssertionError('%s of a key: %s' % (method, answer['last'].text()))


def holds_alone(a, key, nodes):
    """Until all members tell of this key alone, and use it."""
    def alone():
        lan = [r for r in keyring(a, 'GET').json() if not r['WAN']][0]
        return (lan['Keys'], lan['PrimaryKeys'], lan['NumNodes']) == ({key: nodes}, {key: nodes}, nodes)
    eventually(alone, '%d nodes with one key' % nodes)


def test_encrypted_pool_and_key_rotation(opts):
    with Pool(opts, keys=[KEYS[0]]) as pool, consuld(opts, pool, encrypt=KEYS[0]) as a:
        a.start()
        joined(a, pool)
        turn_keys(a, ('POST', KEYS[1]), ('PUT', KEYS[1]), ('DELETE', KEYS[0]))
        holds_alone(a, KEYS[1], 4)
        for p in pool.peers:
            assert set(keys_of(p)) == {KEYS[1]}, keys_of(p)
        # and driven from a peer
        change_keys(pool.peers[1], '-install', KEYS[2])
        change_keys(pool.peers[1], '-use', KEYS[2])
        change_keys(pool.peers[1], '-remove', KEYS[1])
        holds_alone(a, KEYS[2], 4)
        with open(os.path.join(a.data_dir, 'serf', 'local.keyring')) as f:
            assert json.load(f) == [KEYS[2]]
        # a restart goes on with the ring, whatever the configuration says
        a.kill()
        pool.peers[0].sees('consuld', 'failed')
        a.start()
        joined(a, pool)


def test_wrong_or_no_key_is_kept_out(opts):
    with Pool(opts, keys=[KEYS[0]]) as pool, consuld(opts, pool, encrypt=KEYS[0]) as a:
        a.start()
        joined(a, pool)
        lan = '%s:%d' % (opts.bind, a.config['ports']['serf_lan'])
        for keys in ([KEYS[1]], None):
            stranger = Peer(opts, 'stranger', pool.folder, lan, keys)
            eventually(lambda: stranger.proc.poll() is not None, 'the stranger gives up')
            assert stranger.proc.returncode != 0
        assert 'stranger' not in statuses(a)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
