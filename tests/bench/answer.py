#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one large answer costs: GET /v1/kv/?recurse of many entries at the leader, at a follower, and
at a client agent: time, and the most heap (RssAnon) over the size of the answer.

    answer.py --binary PATH [--binary PATH ...] [--entries N] [--value BYTES]

Nothing is asserted.
"""
import argparse
import http.client
import json
import os
import sys
import time

import bench
import large
import restore


def fetch(server, path):
    """Bytes of the answer."""
    conn = http.client.HTTPConnection(server.address, server.port, timeout=600)
    conn.request('GET', path)
    answer = conn.getresponse()
    assert answer.status == 200, answer.status
    total = 0
    while True:
        part = answer.read(1 << 20)
        if not part:
            return total
        total += len(part)


def client_of(opts, leader):
    agent = restore.joined(opts, leader)
    with open(agent.config) as f:
        config = json.load(f)
    config.update(server=False, node_name='client')
    with open(agent.config, 'w') as f:
        json.dump(config, f)
    return agent


def has_entries(agent):
    end = time.monotonic() + bench.LIMIT * 2
    while time.monotonic() < end:
        try:
            if agent.request('GET', '/v1/kv/large/00000000')[0] == 200:
                return
        except OSError:
            assert agent.proc.poll() is None, 'the agent ended'
        time.sleep(0.1)
    raise RuntimeError('the agent has no entries')


def figures(opts):
    agents = [('leader', large.Large(opts, opts.bind))]
    leader = agents[0][1]
    try:
        leader.first_write()
        large.write(leader, opts, 0, opts.entries)
        for name, make in (('follower', restore.joined), ('client', client_of)):
            agents.append((name, make(opts, leader).start()))
            has_entries(agents[-1][1])
        bench.settle(leader)
        for name, agent in agents:
            with large.Peak(agent) as peak:
                size = fetch(agent, '/v1/kv/?recurse') / 1e6
            heap = peak.heap * 1.048576
            print('%s %-10s answer of %.1f MB: %6.2f s, heap at most %7.1f MB, over the answer %.2f' % (
                os.path.basename(opts.binary), name, size, peak.seconds, heap, heap / size), flush=True)
    finally:
        for _, agent in reversed(agents):
            agent.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True, action='append')
    ap.add_argument('--entries', type=int, default=180000)
    ap.add_argument('--value', type=int, default=1000)
    ap.add_argument('--bind', default='127.0.39.63')
    opts = ap.parse_args()
    opts.watchers = 0
    for binary in opts.binary:
        opts.binary = os.path.abspath(binary)
        figures(opts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
