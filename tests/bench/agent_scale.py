#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of a client agent with many services: registering them, memory, what it costs to sit there
with checks running. Nothing is asserted.

    agent_scale.py --binary PATH [--services N] [--seconds N] [--bind ADDRESS]
"""
import argparse
import http.server
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
import agent  # noqa: E402


class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()


def client_of(opts, server):
    config = {'server': False, 'bootstrap': False, 'node_name': 'client',
              'retry_join': ['%s:%d' % (opts.bind, server.config['ports']['serf_lan'])]}
    client = agent.Agent(opts, config)
    client.config['ports']['server'] = server.config['ports']['server']
    client.config['bind_addr'] = client.config['client_addr'] = opts.bind
    client.write_config('base.json', client.config)
    return client


def register_all(client, target, n):
    conn = client.connect()
    began, ticks = time.monotonic(), client.cpu_ticks()
    for i in range(n):
        client.must(client.put('/v1/agent/service/register', {
            'Name': 'service-%d' % i, 'Port': 80, 'Tags': ['primary'], 'Meta': {'version': '1'},
            'Checks': [{'TTL': '1h', 'Status': 'passing'},
                       {'TCP': target, 'Interval': '10s', 'Status': 'passing'}]}, connection=conn))
    print('%d services with %d checks over one connection: %.1f s, %.2f s of CPU' % (
        n, 2 * n, time.monotonic() - began, (client.cpu_ticks() - ticks) / os.sysconf('SC_CLK_TCK')))
    conn.close()


def sit(client, seconds):
    used = []
    for _ in range(seconds):
        before = client.cpu_ticks()
        time.sleep(1)
        used.append((client.cpu_ticks() - before) * 100 // os.sysconf('SC_CLK_TCK'))
    print('CPU in each of %d seconds, checks running and full syncs included: mean %.1f %%, most %d %%'
          % (seconds, sum(used) / len(used), max(used)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--binary', required=True)
    ap.add_argument('--bind', default='127.0.39.101')
    ap.add_argument('--services', type=int, default=2000)
    ap.add_argument('--seconds', type=int, default=130)
    opts = ap.parse_args()
    web = http.server.ThreadingHTTPServer((opts.bind, 0), Quiet)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with agent.Agent(opts) as server:
        server.start()
        client = client_of(opts, server)
        with client:
            client.spawn()
            client.wait_http()
            agent.eventually(lambda: client.get('/v1/catalog/nodes').status == 200, 'a server')
            print('memory of the idle client: %.1f MB' % (client.memory() / 1e6))
            register_all(client, '%s:%d' % web.server_address, opts.services)
            print('memory with them: %.1f MB' % (client.memory() / 1e6))
            agent.eventually(lambda: len(server.get('/v1/catalog/node/client').json()['Services']) ==
                             opts.services, 'all in the catalog')
            sit(client, opts.seconds)
            print('memory at the end: %.1f MB' % (client.memory() / 1e6))
            client.kill()


if __name__ == '__main__':
    main()
