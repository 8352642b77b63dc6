#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a server fares that holds many blocking queries.

    parked.py --binary PATH [--bind ADDRESS] [--queries N] [--keys N]

N queries are parked, spread over the keys; then the time of small requests is taken while they are
parked, while writes wake one key after the other, and while each woken query is parked again.
Nothing is asserted. The number of queries is bounded by the open files that are allowed (ulimit -n).
"""
import argparse
import http.client
import resource
import selectors
import socket
import time

import bench


def times(server, path, n=2000, busy=lambda: None):
    """Milliseconds of n requests on one connection: median, 99th percentile, longest."""
    conn, taken = http.client.HTTPConnection(server.address, server.port, timeout=bench.LIMIT), []
    for _ in range(n):
        busy()
        began = time.monotonic()
        conn.request('GET', path)
        conn.getresponse().read()
        taken.append((time.monotonic() - began) * 1000)
    conn.close()
    taken.sort()
    return taken[n // 2], taken[n * 99 // 100], taken[-1]


class Parked:
    def __init__(self, server, opts):
        self.server, self.opts = server, opts
        self.held = selectors.DefaultSelector()
        for i in range(opts.keys):
            server.write('parked/%d' % i, '0')
        self.sockets = []
        for i in range(opts.queries):
            # many source addresses: one has too few ports
            s = socket.create_connection((server.address, server.port), bench.LIMIT,
                                         ('127.1.%d.1' % (i // 10000), 0))
            self.held.register(s, selectors.EVENT_READ, i % opts.keys)
            self.sockets.append(s)
            self.ask(s, i % opts.keys, 1)

    def ask(self, s, key, index):
        s.sendall(b'GET /v1/kv/parked/%d?wait=9m&index=%d HTTP/1.1\r\nHost: x\r\n\r\n' % (key, index))

    def take(self, timeout=0):
        """Takes answers and parks their queries again."""
        n = 0
        for key, _ in self.held.select(timeout):
            got = key.fileobj.recv(65536)
            at = got.index(b'X-Consul-Index: ') + 16
            self.ask(key.fileobj, key.data, int(got[at:got.index(b'\r', at)]))
            n += 1
        return n


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--binary', required=True)
    p.add_argument('--bind', default='127.0.0.1')
    p.add_argument('--queries', type=int, default=100000)
    p.add_argument('--keys', type=int, default=1000)
    opts = p.parse_args()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    if opts.queries > allowed - 300:
        opts.queries = allowed - 300
        bench.note('only %d open files are allowed: %d queries' % (allowed, opts.queries))
    opts.watchers = min(opts.queries, allowed - 250)  # the connections an agent lets one client have
    server = bench.Consuld(opts, opts.bind)
    try:
        server.first_write()
        row = '%-44s %8.2f %8.2f %8.2f'
        print('%-44s %8s %8s %8s' % ('', 'median', '99th', 'longest'))
        print(row % (('/v1/status/leader, ms: nothing parked',) + times(server, '/v1/status/leader')))
        before = server.rss()
        parked = Parked(server, opts)
        while parked.take(0.5):  # the first answers come at once
            pass
        bench.settle(server)
        print('%d parked on %d keys: %.2f KiB each' %
              (opts.queries, opts.keys, (server.rss() - before) * 1024 / opts.queries))
        print(row % (('/v1/status/leader, ms: parked',) + times(server, '/v1/status/leader')))
        print(row % (('/v1/kv/first, ms: parked',) + times(server, '/v1/kv/first')))
        spent, woken = server.cpu()[0], 0

        def write():
            nonlocal woken
            server.write('parked/%d' % (write.n % opts.keys), 'x')
            write.n += 1
            woken += parked.take()
        write.n = 0
        print(row % (('/v1/status/leader, ms: each after a wake-up',) +
                     times(server, '/v1/status/leader', 1000, write)))
        spent = server.cpu()[0] - spent
        print('%d woken by 1000 writes, %.3f ms of CPU a query' % (woken, spent / max(woken, 1)))
    finally:
        server.close()


if __name__ == '__main__':
    main()
