#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of a client agent beside those of its server, taken in one run.

    client.py --binary PATH [--seconds N] [--rounds N] [--calls N] [--connections N] [--bind ADDRESS]

Requests to the server's HTTP API and to the client's are counted in turns with the same settings;
memory of an idle client with ten services; memory of blocking calls, at the server when they come
over one multiplexed connection, and at both when they come through the client. Nothing is asserted.
"""
import argparse
import json
import os
import resource
import shutil
import socket
import sys
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(SCRIPTS, '..', 'interop'))

import bench
import rpcwire

SERVICES = 10
BATCH = 64
REST = 8  # seconds: an agent gives back what only its start needed


class Client(bench.Consuld):
    """A client agent that has joined `server`."""
    name = 'client'

    def __init__(self, opts, server):
        super().__init__(opts, server.address)
        with open(server.config) as f:
            ports = json.load(f)['ports']
        with open(self.config) as f:
            config = json.load(f)
        for key in ('server', 'bootstrap'):
            del config[key]
        config.update({'node_name': 'client', 'retry_interval': '1s', 'leave_on_terminate': False,
                       'retry_join': ['%s:%d' % (server.address, ports['serf_lan'])]})
        with open(self.config, 'w') as f:
            json.dump(config, f)


def park(server, calls):
    """Opens blocking reads of one key over one connection; KiB of memory a call, and how many
    answers come when the key is written."""
    server.write('parked', '0')
    with open(server.config) as f:
        port = json.load(f)['ports']['server']
    mux = rpcwire.Mux(server.address, port, bench.LIMIT)
    args = {'Datacenter': 'dc1', 'Key': 'parked', 'MinQueryIndex': 0, 'MaxQueryTime': 300 * 10**9}
    first = mux.open()
    _, body = first.call('KVS.Get', args)
    args['MinQueryIndex'] = body['Index']
    request = rpcwire.pack({'Seq': 1, 'ServiceMethod': 'KVS.Get'}) + rpcwire.pack(args)
    bench.settle(server)
    memory = server.rss()
    streams = []
    for at in range(0, calls, BATCH):
        some = [mux.open() for _ in range(min(BATCH, calls - at))]
        for st in some:
            st.send(request)
        while not all(st.acked for st in some):
            mux.pump()
        streams += some
    bench.settle(server)
    memory = (server.rss() - memory) * 1024 / calls
    began = time.monotonic()
    server.write('parked', '1')
    answered = 0
    for st in streams:
        header, _, _ = st.reply()
        answered += not header['Error']
    took = time.monotonic() - began
    mux.close()
    return memory, answered, took * 1000


def hold(server, client, n):
    """KiB of memory of each agent for each of n requests that wait through the client."""
    client.write('watched', '0')
    text, sockets = client.watch_request(), []
    before = server.rss(), client.rss()
    for _ in range(n):
        s = socket.create_connection((client.address, client.port), bench.LIMIT)
        s.sendall(text)
        sockets.append(s)
    bench.settle(client)
    bench.settle(server)
    after = server.rss(), client.rss()
    client.write('watched', '1')
    for s in sockets:
        assert s.recv(65536).startswith(b'HTTP/1.1 200')
        s.close()
    return [(b - a) * 1024 / n for a, b in zip(before, after)]


def run(opts):
    server = bench.Consuld(opts, opts.bind)
    client = None
    try:
        server.first_write()
        for n in range(bench.KEYS):
            server.write('bench/%d' % n, bench.VALUE)
        server.add_instances(bench.INSTANCES)
        client = Client(opts, server)
        client.first_write()
        for n in range(SERVICES):
            body = json.dumps({'Name': 'own%d' % n, 'Port': 9000 + n, 'Check': {'TTL': '9h'}})
            assert client.request('PUT', '/v1/agent/service/register', body)[0] == 200
        time.sleep(REST)
        print('client, idle with %d services: %.1f MiB' % (SERVICES, client.rss()))
        figures = {server.name: {}, client.name: {}}
        bench.load([server, client], figures, opts)
        for key, _, _ in server.loads():
            a, b = figures['consuld'][key], figures['client'][key]
            print('%-7s server %8.0f/s   client %8.0f/s   %.2f' % (key, a, b, b / a))
        memory, answered, took = park(server, opts.calls)
        print('%d blocking calls over one connection: %.2f KiB a call at the server, %d answers in %.0f ms'
              % (opts.calls, memory, answered, took))
        held = hold(server, client, opts.watchers)
        print('%d requests that wait through the client: %.2f KiB at the server, %.2f KiB at the client'
              % (opts.watchers, *held))
    finally:
        for agent in (client, server):
            if agent:
                agent.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True)
    ap.add_argument('--seconds', type=int, default=3)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--connections', type=int, default=64)
    ap.add_argument('--calls', type=int, default=10000)
    ap.add_argument('--watchers', type=int, default=5000)
    ap.add_argument('--bind', default='127.0.39.64')
    opts = ap.parse_args()
    opts.binary = os.path.abspath(opts.binary)
    if not shutil.which('wrk'):
        print('skip: wrk is not installed (apt-get install wrk)')
        return 77
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run(opts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
