#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's own services: what outlives kill -9, what comes and goes together, and that nothing of
what has gone stays in memory."""
import os
import random
import sys
import tempfile
import threading
import time

import agent

PARENTS = 12


class Registrar(threading.Thread):
    """Registers services with sidecars and takes them back; knows what was acknowledged."""

    def __init__(self, server, state, seed):
        super().__init__(daemon=True)
        self.server, self.state, self.random = server, state, random.Random(seed)

    def run(self):
        conn = self.server.connect()
        try:
            while True:
                name = 's%d' % self.random.randrange(PARENTS)
                there = self.random.random() < 0.6
                self.state[name] = None  # in doubt
                if there:
                    body = {'Name': name, 'Port': self.random.randrange(1, 3), 'Check': {'TTL': '1h'},
                            'Connect': {'SidecarService': {}}}
                    answer = self.server.put('/v1/agent/service/register', body, connection=conn)
                else:
                    answer = self.server.put('/v1/agent/service/deregister/' + name, connection=conn)
                assert answer.status == 200, answer.text()
                self.state[name] = there
        except (OSError, agent.http.client.HTTPException):
            pass  # the server was killed
        finally:
            conn.close()


def whole(server, name, services, checks):
    """True if there with everything, False if nothing is there; anything else is an error."""
    parts = [name in services, name + '-sidecar-proxy' in services, 'service:' + name in checks,
             'service:%s-sidecar-proxy:1' % name in checks, 'service:%s-sidecar-proxy:2' % name in checks]
    assert len(set(parts)) == 1, (name, parts)
    return parts[0]


def test_sidecar_and_checks_share_the_fate_of_their_service(opts):
    rounds = 40 if agent.full() else 12
    state, dice = {}, random.Random(7)
    with agent.Agent(opts) as server:
        for number in range(rounds):
            server.start()
            services = server.get('/v1/agent/services').json()
            checks = server.get('/v1/agent/checks').json()
            for name, expected in state.items():
                there = whole(server, name, services, checks)
                assert expected is None or there == expected, (number, name, expected)
                state[name] = there
            agent.eventually(lambda: set(server.get('/v1/catalog/node/e2e').json()['Services']) ==
                             set(services) | {'consul'}, 'the catalog to agree')
            if number == rounds - 1:
                break
            writer = Registrar(server, state, dice.random())
            writer.start()
            time.sleep(dice.uniform(0, 0.3))
            server.kill()
            writer.join()


def cycle(server, conn, number):
    name = 'c%d' % (number % 7)
    body = {'Name': name, 'Port': number % 1000, 'Meta': {'n': str(number)},
            'Checks': [{'TTL': '1h'}, {'AliasService': name}], 'Connect': {'SidecarService': {}}}
    server.must(server.put('/v1/agent/service/register', body, connection=conn))
    server.must(server.put('/v1/agent/check/pass/service:%s:1' % name, connection=conn))
    server.must(server.put('/v1/agent/service/deregister/' + name, connection=conn))


def watch(server, conn, number):
    """A blocking query that ends by its wait, of the agent or of the catalog, new ones each time."""
    if number % 2:
        path = '/v1/agent/service/held?wait=1ms&hash=' + server.held
    else:
        path = '/v1/health/service/w%d?index=1000000&wait=1ms' % number
    server.must(server.get(path, connection=conn))


def settled(server):
    """Memory of its own, mapped files apart, once what goes on has ended."""
    def own():
        time.sleep(0.05)
        with open('/proc/%d/status' % server.proc.pid) as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith('RssAnon'))
    return min(own() for _ in range(20))


def quick_disk():
    return '/dev/shm' if os.access('/dev/shm', os.W_OK) else None


def test_memory_comes_back_after_many_cycles_and_watches(opts):
    # Freed memory that a sanitizer holds back is not what is looked for.
    os.environ['ASAN_OPTIONS'] = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=16'
    total, warm = 10000, 2000
    try:
        with tempfile.TemporaryDirectory(dir=quick_disk()) as folder, \
                agent.Agent(opts, data_dir=folder + '/data') as server:
            server.start()
            conn = server.connect()
            server.must(server.put('/v1/agent/service/register', {'Name': 'held'}, connection=conn))
            server.held = server.get('/v1/agent/service/held', connection=conn).json()['ContentHash']
            base = None
            for number in range(warm + total):
                if number == warm:
                    base = settled(server)
                cycle(server, conn, number)
                watch(server, conn, number)
            end = settled(server)
            print('memory: %d KB, after %d cycles and watches %d KB' % (
                base >> 10, total, end >> 10))
            assert end < base * 1.3 + (8 << 20), (base, end)
            assert set(server.get('/v1/agent/services').json()) == {'held'}
            assert not server.get('/v1/agent/checks').json()
            conn.close()
    finally:
        del os.environ['ASAN_OPTIONS']


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
