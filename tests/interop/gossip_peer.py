# SPDX-License-Identifier: Apache-2.0
"""A pool of members made of Go's memberlist and serf with a consuld agent in it, with compression
and encryption on and off."""
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_peer  # noqa: E402
from go_peer import agent  # noqa: E402
from agent import eventually  # noqa: E402
from pool import on  # noqa: E402
from serf import ALIVE, FAILED, FAST, KEYS, LEFT, holds_alone, sees, statuses, turn_keys  # noqa: E402

PACKAGES = ('memberlist', 'serf')
WAYS = [(compress, keys) for compress in (True, False) for keys in ([], [KEYS[0]])]
program = None


def build():
    global program
    program = program or go_peer.build('gossip', PACKAGES)
    return program


class Peer:
    def __init__(self, opts, name, port, compress=True, keys=(), flags=()):
        self.name, self.bind = name, '%s:%d' % (opts.bind, port)
        self.log = []
        self.proc = subprocess.Popen(
            [build(), '-name', name, '-bind', self.bind, '-keys', ','.join(keys),
             '-compress=' + str(compress).lower(), *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        agent.started(self.proc, self.show)
        self.lines = queue.Queue()
        self.readers = [threading.Thread(target=self.read, args=a, daemon=True) for a in (
            (self.proc.stdout, self.lines.put), (self.proc.stderr, self.log.append))]
        for r in self.readers:
            r.start()
        assert self.answer() == 'ready'

    @staticmethod
    def read(source, take):
        for line in source:
            take(line)

    def answer(self):
        try:
            return json.loads(self.lines.get(timeout=agent.DEADLINE))
        except queue.Empty:
            raise AssertionError('%s does not answer: %s' % (self.name, ''.join(self.log)[-3000:]))

    def ask(self, *words):
        self.proc.stdin.write(' '.join(words) + '\n')
        self.proc.stdin.flush()
        return self.answer()

    def must(self, *words):
        said = self.ask(*words)
        assert not isinstance(said, dict) or 'error' not in said, (words, said)
        return said

    def again(self, seen, *words):
        """Says what may be lost on its way until it was seen."""
        def once():
            self.ask(*words)
            end = time.monotonic() + 2
            while not seen() and time.monotonic() < end:
                time.sleep(0.1)
            return seen()
        eventually(once, 'what was told by %s: %s' % (self.name, ' '.join(words)))

    def sees(self, name, status):
        def seen():
            m = self.ask('members').get(name)
            return (m['status'] if isinstance(m, dict) else m) == status
        eventually(seen, '%s sees %s as %s' % (self.name, name, status))

    def show(self):
        print('--- %s\n%s' % (self.name, ''.join(self.log)[-3000:]))

    def close(self):
        self.proc.kill()
        self.proc.wait()
        for r in self.readers:
            r.join()
        for f in (self.proc.stdin, self.proc.stdout, self.proc.stderr):
            f.close()


class Pool:
    """Two peers that know each other, and an agent that joins them. All have the same port, which the
    oldest protocol takes for granted."""

    def __init__(self, opts, compress, keys, flags=(), **config):
        port = agent.free_port(opts.bind)
        self.peers = [Peer(on(opts, i + 1), 'go%d' % i, port, compress, keys, flags)
                      for i in range(2)]
        self.peers[1].must('join', self.peers[0].bind)
        if keys:
            config['encrypt'] = keys[0]
        self.agent = agent.Agent(opts, dict(
            {'node_name': 'consuld', 'gossip_lan': FAST, 'retry_interval': '1s',
             'retry_join': [self.peers[0].bind]}, **config))
        self.agent.config['ports']['serf_lan'] = port
        self.agent.write_config('base.json', self.agent.config)

    def __enter__(self):
        try:
            self.agent.start()
            self.joined()
        except Exception:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def joined(self):
        for p in self.peers:
            sees(self.agent, p.name, ALIVE)
            p.sees('consuld', 'alive')

    def __exit__(self, kind, value, trace):
        for p in self.peers:
            p.close()
            if kind is not None:
                p.show()
        self.agent.__exit__(kind, value, trace)


def test_members_events_and_queries(opts):
    build()
    for compress, keys in WAYS:
        with Pool(opts, compress, keys) as pool:
            a, (one, two) = pool.agent, pool.peers
            own = two.ask('members')['consuld']
            assert own['tags']['role'] == 'consul' and own['tags']['dc'] == 'dc1', own
            whole(two, 'tags', 'colour', 'red')
            eventually(lambda: {m['Name']: m['Tags'] for m in a.get('/v1/agent/members').json()}
                       ['go1'] == {'colour': 'red'}, 'new tags of a peer')
            a.must(a.put('/v1/event/fire/deploy', 'now'))
            for p in pool.peers:
                eventually(lambda: [e for e in p.ask('events')
                                    if e['name'] == 'consul:event:deploy'], 'the event')
            one.again(lambda: [e for e in two.ask('events') if e['name'] == 'plain'], 'event', 'plain', 'text')
            eventually(lambda: (lambda said: (set(said['acks']), set(said['responses'])))(
                one.ask('query', 'who')) == ({'consuld', 'go0', 'go1'}, {'go0', 'go1'}),
                'an answer of all that answer')


def test_death_and_departure_of_either_side(opts):
    build()
    for compress, keys in WAYS:
        with Pool(opts, compress, keys, leave_on_terminate=True,
                  performance={'raft_multiplier': 1, 'leave_drain_time': '100ms'}) as pool:
            a, (one, two) = pool.agent, pool.peers
            a.kill()
            one.sees('consuld', 'failed')
            a.start()
            pool.joined()
            two.proc.kill()
            sees(a, 'go1', FAILED)
            one.sees('go1', 'failed')
            a.must(a.put('/v1/agent/force-leave/go1'))
            one.sees('go1', 'left')
            one.again(lambda: 'go1' not in statuses(a), 'prune', 'go1')
            a.signal(signal.SIGTERM)
            one.sees('consuld', 'left')
            assert a.wait_end() == 0, a.tail()
            a.start()
            one.sees('consuld', 'alive')
            sees(a, 'go0', ALIVE)
            one.ask('leave')
            sees(a, 'go0', LEFT)
            a.stop(0)


def whole(peer, *words):
    """Until it went well: it waits for all nodes, or for its own broadcast, for a limited time."""
    return eventually(lambda: (lambda said: 'error' not in said and said)(peer.ask(*words)),
                      ' '.join(words))


def test_keys_change_from_both_sides(opts):
    build()
    for compress in (True, False):
        with Pool(opts, compress, [KEYS[0]]) as pool:
            a, (one, two) = pool.agent, pool.peers
            turn_keys(a, ('POST', KEYS[1]), ('PUT', KEYS[1]), ('DELETE', KEYS[0]))
            listed = whole(two, 'list')
            assert listed['keys'] == {KEYS[1]: 3} and listed['errors'] == 0, listed
            whole(two, 'install', KEYS[2])
            whole(two, 'use', KEYS[2])
            eventually(lambda: 'nodes reported failure' in two.ask('remove', KEYS[2])['error'],
                       'the key in use is not removed')
            whole(two, 'remove', KEYS[1])
            holds_alone(a, KEYS[2], 3)
            pool.joined()


def test_memberlist_alone_is_a_member(opts):
    build()
    for flags in (['-bare'], ['-bare', '-protocol=1']):
        for compress, keys in WAYS:
            with Pool(opts, compress, keys, flags) as pool:
                a, (one, two) = pool.agent, pool.peers
                tags = {m['Name']: m['Tags'] for m in a.get('/v1/agent/members').json()}['go0']
                assert tags == {'role': 'bare'}, tags
                whole(two, 'meta', 'other')
                eventually(lambda: {m['Name']: m['Tags'] for m in
                                    a.get('/v1/agent/members').json()}['go1'] ==
                           {'role': 'other'}, 'new meta of a peer')
                a.must(a.put('/v1/event/fire/deploy'))
                eventually(lambda: one.ask('heard') > 0, 'a message of serf\'s')
                # what nobody knows is counted and dropped, on both roads
                for road in ('udp', 'tcp'):
                    one.must(road, 'consuld')
                two.ask('leave')
                sees(a, 'go1', LEFT)
                one.proc.kill()
                sees(a, 'go0', FAILED)


def test_another_key_is_kept_out(opts):
    build()
    with Pool(opts, True, [KEYS[0]]) as pool:
        lan = '%s:%d' % (opts.bind, pool.agent.config['ports']['serf_lan'])
        for keys in ([KEYS[1]], []):
            stranger = Peer(on(opts, 3), 'stranger', agent.free_port(opts.bind), True, keys)
            try:
                assert 'error' in stranger.ask('join', lan)
            finally:
                stranger.close()
        assert 'stranger' not in statuses(pool.agent)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
