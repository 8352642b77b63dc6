#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long three servers take no write: while they are restarted in turn, and after a fault of the
leader. A writer at each server writes without a pause.

    outage.py --binary PATH [--restarts N] [--faults N]

A gap is the time from one accepted write to the next. Faults are kill, pause (SIGSTOP) and, as root
with network namespaces, partition, at raft_multiplier 1 and the gossip of a LAN. Nothing is asserted.
"""
import argparse
import http.client
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
import agent
from cluster import Cluster
from partition import Network, into_router, INSIDE

LOST = (OSError, http.client.HTTPException)
ANSWER = 0.25  # seconds that the writer waits for an answer


class Writers:
    """One for each server, each with one write at a time; `accepted` are the moments of all."""

    def __init__(self, servers):
        self.accepted, self.over = [], threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(s,), daemon=True) for s in servers]

    def write(self, server):
        held = None
        while not self.over.is_set():
            try:
                held = held or server.connect(ANSWER)
                taken = server.put('/v1/kv/w', 'x', connection=held).body == b'true'
            except LOST:
                taken = False
            if taken:
                self.accepted.append(time.monotonic())
                continue
            if held:
                held.close()
            held = None
            time.sleep(0.005)

    def go_on(self, n=100):
        before = len(self.accepted)
        agent.eventually(lambda: len(self.accepted) >= before + n, 'accepted writes')

    def gap(self, since):
        """The longest gap that ended after this moment, in milliseconds."""
        times = sorted(self.accepted[:])
        return max(b - a for a, b in zip(times, times[1:]) if b >= since) * 1000

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.go_on()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def show(title, gaps):
    gaps = sorted(gaps)
    print('%-34s%4d%10.0f ms%10.0f ms' % (title, len(gaps), gaps[len(gaps) // 2], gaps[-1]), flush=True)


def leave(server):
    server.leave()
    server.spawn().wait_http()


def terminate(server):
    server.signal(signal.SIGTERM)
    server.wait_end()
    server.spawn().wait_http()


def restarts(opts, title, restart):
    """All servers in turn, so often; a gap of each."""
    gaps = []
    with Cluster(opts) as c, Writers(c.servers) as w:
        for _ in range(opts.restarts):
            for s in c.servers:
                since = time.monotonic()
                restart(s)
                agent.eventually(lambda: len(c.leader().voters()) == 3, 'three voters')
                w.go_on()
                gaps.append(w.gap(since))
    show(title, gaps)


def killed(c, leader, w):
    leader.kill()
    w.go_on()
    leader.spawn().wait_http()


def paused(c, leader, w):
    leader.signal(signal.SIGSTOP)
    w.go_on()
    leader.signal(signal.SIGCONT)


def faults(opts, title, fault):
    gaps = []
    with Cluster(opts) as c, Writers(c.servers) as w:
        for _ in range(opts.faults):
            leader, since = c.leader(), time.monotonic()
            fault(c, leader, w)
            c.agree()
            w.go_on()
            gaps.append(w.gap(since))
    show(title, gaps)


def partitions(opts, title):
    gaps = []
    with Network(opts, servers=3) as n, Writers(n.servers) as w:
        for _ in range(opts.faults):
            place = n.servers[0].get('/v1/status/leader').json()
            lone = [i for i, s in enumerate(n.servers) if place == s.address + ':8300']
            since = time.monotonic()
            n.split('add', lone)
            w.go_on()
            n.split('del', lone)
            agent.eventually(lambda: len({s.get('/v1/status/leader').json() for s in n.servers}) == 1,
                             'one leader')
            w.go_on()
            gaps.append(w.gap(since))
    show(title, gaps)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True)
    ap.add_argument('--restarts', type=int, default=5)
    ap.add_argument('--faults', type=int, default=10)
    ap.add_argument('--bind', default='127.0.39.57')
    opts = ap.parse_args()
    print('%-34s%4s%13s%13s' % ('time without an accepted write', '', 'median', 'worst'))
    restarts(opts, 'restarted in turn, leaving', leave)
    restarts(opts, 'restarted in turn, SIGTERM', terminate)
    faults(opts, 'leader killed', killed)
    faults(opts, 'leader paused', paused)
    if os.environ.get(INSIDE) == '1':
        partitions(opts, 'leader cut off')
    return 0


if __name__ == '__main__':
    into_router()
    sys.exit(main())
