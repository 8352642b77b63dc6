# SPDX-License-Identifier: Apache-2.0
"""Clients of a cluster's KV store whose calls are recorded while servers are killed and cut off:
whatever happens, one order of the calls must explain all answers (tests/sim/linear). Writes that
got no answer may have happened, late or never. Partitions need root and network namespaces."""
import base64
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

import agent
from cluster import Cluster
from partition import Network, into_router, require_router

CLIENTS = 8
KEYS = 5
LOST = (OSError, http.client.HTTPException)


class History:
    """A line for each call, in a file that check_history reads."""

    def __init__(self, checker):
        self.checker, self.lock, self.lines = checker, threading.Lock(), []

    def add(self, **call):
        with self.lock:
            self.lines.append(json.dumps(call))

    def check(self, expected=0):
        """0: linearizable, 1: not. Otherwise the file stays."""
        assert len(self.lines) > 100, 'only %d calls' % len(self.lines)
        with tempfile.NamedTemporaryFile('w', suffix='.jsonl', delete=False) as f:
            f.write('\n'.join(self.lines) + '\n')
        told = subprocess.run([self.checker, f.name], stdout=subprocess.PIPE)
        print(told.stdout.decode().strip())
        assert told.returncode == expected, f.name
        os.remove(f.name)


class Client(threading.Thread):
    """One call at a time, at any server. Each value is written by one call only."""

    def __init__(self, number, servers, history, seed, read='consistent'):
        super().__init__(daemon=True)
        self.number, self.servers, self.history, self.read = number, servers, history, read
        self.random = random.Random(seed * 1000 + number)
        self.over, self.writes, self.confirmed = threading.Event(), 0, 0
        self.seen = {}  # key: (value, ModifyIndex) as last read

    def run(self):
        while not self.over.is_set():
            key = 'k%d' % self.random.randrange(KEYS)
            dice, server = self.random.random(), self.random.choice(self.servers)
            if dice < 0.4:
                self.get(server, key)
            elif dice < 0.7:
                self.change(server, key, 'write')
            elif dice < 0.93 and key in self.seen:
                self.change(server, key, 'cas')
            else:
                self.change(server, key, 'delete')

    def ask(self, server, method, path, body=None):
        """(begin, end, answer); without an answer, end and answer are None."""
        begin = time.monotonic_ns()
        try:
            answer = server.request(method, path, body, timeout=4)
        except LOST:
            time.sleep(0.02)  # it may be down
            return begin, None, None
        return begin, time.monotonic_ns(), answer

    def get(self, server, key):
        begin, end, answer = self.ask(server, 'GET', '/v1/kv/%s?%s' % (key, self.read))
        if answer is None or answer.status not in (200, 404):
            return
        value, index = None, 0
        if answer.status == 200:
            entry = answer.json()[0]
            value, index = base64.b64decode(entry['Value']).decode(), entry['ModifyIndex']
        self.seen[key] = value, index
        self.history.add(client=self.number, op='read', key=key, value=value, begin=begin, end=end)

    def change(self, server, key, op):
        self.writes += 1
        value = None if op == 'delete' else '%d.%d' % (self.number, self.writes)
        expect, index = self.seen.get(key, (None, 0))
        path = '/v1/kv/' + key + ('?cas=%d' % index if op == 'cas' else '')
        begin, end, answer = self.ask(server, 'DELETE' if op == 'delete' else 'PUT', path, value)
        known = answer is not None and answer.status == 200
        self.confirmed += known
        self.history.add(client=self.number, op=op, key=key, value=value,
                         expect=expect if op == 'cas' else None, begin=begin,
                         end=end if known else None, ok=known and answer.body == b'true')


class Load:
    """The clients, while the block runs."""

    def __init__(self, opts, servers, **kw):
        self.history, seed = History(opts.checker), opts.seed or random.randrange(1 << 30)
        print('seed %d' % seed)
        self.random = random.Random(seed)
        self.clients = [Client(i, servers, self.history, seed, **kw) for i in range(CLIENTS)]

    def __enter__(self):
        for c in self.clients:
            c.start()
        return self

    def confirmed(self):
        return sum(c.confirmed for c in self.clients)

    def goes_on(self, calls=40):
        """Until so many more writes were confirmed."""
        before = self.confirmed()
        agent.eventually(lambda: self.confirmed() >= before + calls, 'confirmed writes')

    def __exit__(self, kind, value, trace):
        for c in self.clients:
            c.over.set()
        for c in self.clients:
            c.join()


def test_killed_servers_lose_nothing_and_repeat_nothing(opts):
    with Cluster(opts) as c:
        with Load(opts, c.servers) as load:
            for i in range(30 if agent.full() else 5):
                load.goes_on()
                leader = c.leader()
                victims = [leader if load.random.random() < 0.6 else load.random.choice(c.servers)]
                if i % 4 == 3:
                    victims = c.servers  # as when the power fails
                for s in victims:
                    s.kill()
                if len(victims) == 1 and load.random.random() < 0.5:
                    load.goes_on()  # without it
                for s in victims:
                    s.spawn()
                for s in victims:
                    s.wait_http()
            load.goes_on()
        load.history.check()


def test_reads_that_any_server_answers_are_caught(opts):
    """What is recorded as consistent and is not must not pass."""
    with Cluster(opts) as c:
        with Load(opts, c.servers, read='stale') as load:
            load.goes_on(1500)
        load.history.check(1)


def test_partitions_and_kills_leave_one_history(opts):
    require_router()
    with Network(opts, servers=3) as n:
        with Load(opts, n.all) as load:
            for i in range(12 if agent.full() else 3):
                load.goes_on()
                lone = load.random.randrange(3)
                n.split('add', (lone,) if i % 2 else (lone, 3, 4))
                load.goes_on(20)  # at the side with two servers
                if i % 3 == 2:
                    n.servers[lone].kill()
                    n.servers[lone].spawn()
                n.split('del', (lone,) if i % 2 else (lone, 3, 4))
                n.servers[lone].wait_http()
            n.agree()
            load.goes_on()
        load.history.check()


def options(ap):
    ap.add_argument('--checker', required=True, help='the program check_history')
    ap.add_argument('--seed', type=int, default=0, help='of the calls and of what is done')


if __name__ == '__main__':
    into_router()
    sys.exit(agent.main(globals(), options))
