# SPDX-License-Identifier: Apache-2.0
"""A quorum of three: two consuld servers and a peer made of hashicorp/raft. Leaders of either kind
replicate to the other, each is killed and comes back, a follower of either kind catches up by
snapshot, leadership is handed over both ways; in the end all hold the same."""
import base64
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_peer  # noqa: E402
from go_peer import agent  # noqa: E402
from agent import eventually  # noqa: E402
from cluster import Server  # noqa: E402
from pool import lan, on  # noqa: E402

PACKAGES = ('raft', 'raft-boltdb')
SMALL = {'raft_snapshot_threshold': 64, 'raft_snapshot_interval': '1s', 'raft_trailing_logs': 16}
program = None


def build():
    global program
    program = program or go_peer.build('raft', PACKAGES)
    return program


class Peer:
    def __init__(self, opts, number, small=False, instead_of=None):
        """A peer of its own, or one that goes on with what a stopped server left behind."""
        if instead_of:
            self.id, self.bind = instead_of.config['node_id'], instead_of.raft_address
            self.folder = os.path.join(instead_of.data_dir, 'raft')
        else:
            self.id = str(uuid.uuid4())
            self.bind = '%s:%d' % (on(opts, number).bind, agent.free_port(on(opts, number).bind))
            self.folder = tempfile.mkdtemp(prefix='consuld-raft-')
        self.flags = ['-threshold', '64', '-trailing', '16'] if small else []
        self.log, self.proc = [], None
        self.start()

    raft_address = property(lambda self: self.bind)

    def start(self):
        self.proc = subprocess.Popen(
            [build(), '-id', self.id, '-bind', self.bind, '-dir', self.folder, *self.flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        agent.started(self.proc, self.show)
        self.lines = queue.Queue()
        for source, take in ((self.proc.stdout, self.lines.put), (self.proc.stderr, self.log.append)):
            threading.Thread(target=self.read, args=(source, take), daemon=True).start()
        assert self.answer() == 'ready'
        return self

    @staticmethod
    def read(source, take):
        for line in source:
            take(line)

    def answer(self):
        try:
            return json.loads(self.lines.get(timeout=agent.DEADLINE))
        except queue.Empty:
            raise AssertionError('the peer does not answer: ' + ''.join(self.log)[-3000:])

    def ask(self, *words):
        self.proc.stdin.write(' '.join(str(w) for w in words) + '\n')
        self.proc.stdin.flush()
        return self.answer()

    def must(self, *words):
        said = self.ask(*words)
        assert not isinstance(said, dict) or 'error' not in said, (words, said, self.log[-20:])
        return said

    def stats(self):
        return self.ask('stats')

    def show(self):
        print('--- the peer\n' + ''.join(self.log[-40:]))

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, True)


class Mixed:
    """The peer brings the servers in: their first configuration is its own."""

    def __init__(self, opts, small=False):
        config = dict(SMALL if small else {}, autopilot={'cleanup_dead_servers': False})
        self.servers = [Server(opts, n, node_id=str(uuid.uuid4()), **config) for n in (1, 2)]
        for s, other in zip(self.servers, self.servers[::-1]):
            s.config['retry_join'] = [lan(other)]
            s.write_config('base.json', s.config)
        self.peer = Peer(opts, 3, small)

    def __enter__(self):
        for s in self.servers:
            s.spawn().wait_http()
        members = ['%s=%s' % (s.config['node_id'], s.raft_address) for s in self.servers]
        self.peer.must('bootstrap', '%s=%s' % (self.peer.id, self.peer.bind), *members)
        self.agree()
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.peer.show()
        for s in self.servers:
            s.__exit__(kind, value, trace)
        self.peer.close()

    def peer_runs(self):
        return self.peer.proc.poll() is None

    def leaders(self):
        found = [s for s in self.servers if s.alive() and s.stats()['state'] == 'Leader']
        if self.peer_runs() and self.peer.stats()['state'] == 'Leader':
            found.append(self.peer)
        return found

    def leader(self):
        return eventually(lambda: len(self.leaders()) == 1 and self.leaders(), 'one leader')[0]

    def agree(self):
        """The leader, when all that run name it."""
        def known():
            leader = self.leader()
            return all(s.leader() == leader.raft_address for s in self.servers if s.alive()) and leader
        return eventually(known, 'the leader to be known')

    def lead(self, wanted):
        """Hands leadership over until the wanted one has it."""
        def handed():
            leader = self.leader()
            if leader is wanted:
                return True
            if leader is self.peer:
                self.peer.ask('transfer', wanted.config['node_id'], wanted.raft_address)
            else:
                leader.kill()
                eventually(lambda: self.leaders() and leader not in self.leaders(), 'another leader')
                leader.spawn().wait_http()
            return False
        eventually(handed, 'leadership to be where it is wanted')
        self.agree()

    def write(self, prefix, count=20, size=10):
        """All of it anew if the leader loses its place on the way."""
        def written():
            leader = self.leader()
            if leader is self.peer:
                return self.peer.ask('set', prefix, count, size) is True
            return all(leader.write('%s%05d' % (prefix, i), 'v' * size) for i in range(count))
        eventually(written, 'the writes')

    def settle(self):
        """All that run hold the same keys, made and changed at the same indexes."""
        def views():
            found = []
            for s in self.servers:
                if s.alive():
                    answer = s.get('/v1/kv/?recurse&stale')
                    found.append({e['Key']: [e['CreateIndex'], e['ModifyIndex'], digest(e['Value'])]
                                  for e in (answer.json() if answer.status == 200 else [])})
            if self.peer_runs():
                found.append(self.peer.ask('keys')['keys'])
            return found
        eventually(lambda: all(v == views()[0] for v in views()), 'the same everywhere')

        def ends():
            stats = [s.stats() for s in self.servers if s.alive()]
            stats += [self.peer.stats()] if self.peer_runs() else []
            return len({(s['last_log_index'], s['last_log_term'], s['applied_index'])
                        for s in stats}) == 1
        eventually(ends, 'logs of the same end')


def digest(value):
    return hashlib.sha256(base64.b64decode(value or '')).hexdigest()[:16]


def test_leaders_of_either_kind_replicate_to_the_other(opts):
    with Mixed(opts) as m:
        m.lead(m.peer)
        m.write('by-peer/')
        m.peer.must('verify')
        m.settle()
        m.lead(m.servers[0])
        m.write('by-server/')
        m.settle()
        assert m.servers[0].get('/v1/kv/by-peer/00003?consistent').status == 200


def test_each_is_killed_and_comes_back(opts):
    with Mixed(opts) as m:
        m.write('first/')
        for round, victim in enumerate(m.servers + [m.peer] + m.servers):
            m.settle()
            victim.kill()
            m.write('round-%d/' % round)
            if victim is m.peer:
                victim.start()
            else:
                victim.spawn().wait_http()
            m.agree()
            m.write('again-%d/' % round)
        m.settle()


def test_a_server_catches_up_by_the_peers_snapshot(opts):
    with Mixed(opts, small=True) as m:
        m.lead(m.peer)
        m.servers[1].kill()
        m.write('snap/', 400, 100)
        eventually(lambda: int(m.peer.stats()['last_snapshot_index']) > 300, 'a snapshot')
        m.write('more/', 30)
        m.servers[1].spawn().wait_http()
        m.settle()
        assert int(m.servers[1].stats()['last_snapshot_index']) > 300


def test_the_peer_catches_up_by_a_servers_snapshot(opts):
    with Mixed(opts, small=True) as m:
        m.lead(m.servers[0])
        m.peer.kill()
        m.write('snap/', 300, 100)
        eventually(lambda: int(m.servers[0].stats()['last_snapshot_index']) > 200, 'a snapshot')
        m.write('more/', 30)
        m.peer.start()
        m.settle()
        assert int(m.peer.stats()['last_snapshot_index']) > 200
        # and it may lead with what it got
        m.lead(m.peer)
        m.write('by-peer/')
        m.settle()


def test_the_peer_takes_over_from_a_leaving_server(opts):
    with Mixed(opts) as m:
        m.lead(m.servers[0])
        m.write('before/')
        m.servers[0].leave()
        m.write('after/')
        m.settle()


def give_back(server):
    return subprocess.run([server.binary, 'operator', 'raft', 'give-back', '-data-dir',
                           server.data_dir], capture_output=True, text=True)


def change_hands(m, opts, small):
    server = m.servers[1]
    m.write('first/', 300, 100)
    m.write('large/', 3, 100 * 1024)
    m.settle()
    said = give_back(server)
    assert said.returncode == 1 and 'another agent runs' in said.stderr, said
    server.kill()
    said = give_back(server)
    assert said.returncode == 0, said
    twin = Peer(opts, 2, small, instead_of=server)
    try:
        # it stopped in the midst of a cluster, with a log and a vote
        assert int(twin.stats()['last_log_index']) > 300 and int(twin.stats()['term']) > 0
        m.write('twin/', 100)
        leader = m.leader()
        eventually(lambda: twin.stats()['applied_index'] == leader.stats()['applied_index'],
                   'the twin to be up to date')
    finally:
        twin.kill()
    m.write('between/')
    server.spawn().wait_http()
    server.wait_log('took over the log of Consul')
    m.agree()
    m.write('back/')
    m.settle()
    m.lead(server)
    m.write('by-server/')
    m.settle()


def test_a_data_directory_changes_hands(opts):
    with Mixed(opts) as m:
        change_hands(m, opts, False)


def test_a_data_directory_with_snapshots_changes_hands(opts):
    with Mixed(opts, small=True) as m:
        change_hands(m, opts, True)


def test_many_entries_in_a_pipeline(opts):
    with Mixed(opts) as m:
        m.lead(m.peer)
        m.write('many/', 10000, 200)
        m.settle()
        m.lead(m.servers[1])
        m.write('large/', 20, 500 * 1024)
        m.settle()


if __name__ == '__main__':
    raise SystemExit(agent.main(globals()))
