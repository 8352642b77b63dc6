#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of a server that holds many small KV entries: memory, snapshot, restart, restore, log.

    large.py --binary PATH [--entries N] [--value BYTES] [--overwrite N]
             [--burst MB] [--commits N]

`heap` is RssAnon of the process: what is resident and no mapped file. `peak` is the most that was
seen of it, or of the whole VmRSS, while something was done. Nothing is asserted.
"""
import argparse
import base64
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import bench

BATCH = 64  # operations of a transaction
WRITERS = 8
BURST_VALUE = 100000
SNAPSHOT_ENTRIES = 2048


class Peak:
    """The most memory that a process has while the block runs, in MB."""

    def __init__(self, server):
        self.server, self.heap, self.all, self.over = server, 0, 0, False

    def look(self):
        while not self.over:
            try:
                self.heap = max(self.heap, self.server.rss('RssAnon'))
                self.all = max(self.all, self.server.rss())
            except (OSError, AttributeError):
                pass
            time.sleep(0.01)

    def __enter__(self):
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
        self.over = True
        self.thread.join()


class Large(bench.Consuld):
    def __init__(self, opts, address):
        super().__init__(opts, address)
        with open(self.config) as f:
            config = json.load(f)
        config.update(raft_snapshot_interval='5s', raft_snapshot_threshold=SNAPSHOT_ENTRIES,
                      raft_trailing_logs=SNAPSHOT_ENTRIES // 2)
        with open(self.config, 'w') as f:
            json.dump(config, f)

    def disk(self, part):
        total = 0
        for folder, _, names in os.walk(os.path.join(self.folder, 'data', part)):
            if part == 'raft' and 'snapshots' in folder:
                continue
            total += sum(os.lstat(os.path.join(folder, n)).st_blocks * 512 for n in names)
        return total / 1e6

    def raft_stat(self, name):
        return int(json.loads(self.request('GET', '/v1/agent/self')[2])['Stats']['raft'][name])

    def log_lines(self, text):
        with open(os.path.join(self.folder, 'log')) as f:
            return [line for line in f if text in line]

    def first_read(self):
        """Seconds from the start of the process to the first consistent read."""
        began = time.monotonic()
        self.start()
        while True:
            try:
                if self.request('GET', '/v1/kv/large/00000000?consistent')[0] == 200:
                    return time.monotonic() - began
            except (OSError, http.client.HTTPException):
                assert self.proc.poll() is None, 'the server ended'
            time.sleep(0.002)


def write(server, opts, first, n):
    """Sets n entries in transactions, by several writers."""
    pool = os.urandom(opts.value + 65536)

    def value(k):
        at = k * 7919 % 65536
        return base64.b64encode(pool[at:at + opts.value]).decode()

    def writer(number):
        conn = http.client.HTTPConnection(server.address, server.port, timeout=bench.LIMIT)
        for at in range(first + number * BATCH, first + n, WRITERS * BATCH):
            ops = [{'KV': {'Verb': 'set', 'Key': 'large/%08d' % (k % opts.entries), 'Value': value(k)}}
                   for k in range(at, min(at + BATCH, first + n))]
            conn.request('PUT', '/v1/txn', json.dumps(ops))
            answer = conn.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(text[:500])
        conn.close()
    threads = [threading.Thread(target=writer, args=(i,)) for i in range(WRITERS)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.monotonic() - began


def row(title, form, *values):
    print('%-52s' % title + form % values, flush=True)


def snapshots_settle(server):
    """Until the log holds no more than what follows a snapshot."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if server.raft_stat('last_log_index') - server.raft_stat('last_snapshot_index') < SNAPSHOT_ENTRIES:
            bench.settle(server)
            return
        time.sleep(0.2)


def save(server, path):
    conn = http.client.HTTPConnection(server.address, server.port, timeout=600)
    conn.request('GET', '/v1/snapshot')
    answer = conn.getresponse()
    with open(path, 'wb') as f:
        shutil.copyfileobj(answer, f, 1 << 20)
    assert answer.status == 200
    conn.close()


def restore(server, path):
    with open(path, 'rb') as f:
        conn = http.client.HTTPConnection(server.address, server.port, timeout=600)
        conn.request('PUT', '/v1/snapshot', f, {'Content-Length': str(os.path.getsize(path))})
        answer = conn.getresponse()
        text = answer.read()
    assert answer.status == 200, text
    conn.close()


def first_server(opts, archive):
    server = Large(opts, opts.bind)
    try:
        server.first_write()
        took = write(server, opts, 0, opts.entries)
        row('writing %d entries of %d bytes' % (opts.entries, opts.value), '%8.1f s', took)
        snapshots_settle(server)
        row('memory: heap, all', '%8.1f MB %8.1f MB', server.rss('RssAnon'), server.rss())
        row('disk: state, log, snapshots', '%8.1f MB %8.1f MB %8.1f MB', server.disk('state'),
            server.disk('raft'), server.disk('raft/snapshots'))
        took = write(server, opts, 0, opts.overwrite)
        high = server.disk('raft')
        snapshots_settle(server)
        row('disk of the log: after %d more writes, settled' % opts.overwrite, '%8.1f MB %8.1f MB',
            high, server.disk('raft'))
        with Peak(server) as peak:
            save(server, archive)
        row('snapshot save of %.1f MB' % (os.path.getsize(archive) / 1e6),
            '%8.2f s, heap at most %.1f MB', peak.seconds, peak.heap)
        server.stop()
        row('restart after a stop, to a consistent read', '%8.3f s', server.first_read())
        server.proc.send_signal(signal.SIGKILL)
        server.proc.wait()
        row('restart after a kill, to a consistent read', '%8.3f s', server.first_read())
        server.proc.send_signal(signal.SIGKILL)
        server.proc.wait()
        shutil.rmtree(os.path.join(server.folder, 'data', 'state'))
        with Peak(server) as peak:
            server.first_read()
        row('restart without a state: from the snapshot file', '%8.3f s, heap at most %.1f MB', peak.seconds, peak.heap)
    finally:
        server.close()


def commits(server, n):
    """Seconds of n writes one after the other, sorted."""
    conn = http.client.HTTPConnection(server.address, server.port, timeout=bench.LIMIT)
    taken = []
    for i in range(n):
        began = time.monotonic()
        conn.request('PUT', '/v1/kv/small/%d' % (i % 100), 'v' * 100)
        assert conn.getresponse().read() == b'true'
        taken.append(time.monotonic() - began)
    conn.close()
    return sorted(taken)


def burst(server, megabytes):
    """Overwrites some large values again and again, by several writers."""
    value = os.urandom(BURST_VALUE)

    def writer(number):
        conn = http.client.HTTPConnection(server.address, server.port, timeout=bench.LIMIT)
        for i in range(megabytes * 1000000 // BURST_VALUE // WRITERS):
            conn.request('PUT', '/v1/kv/burst/%d/%d' % (number, i % 10), value)
            assert conn.getresponse().read() == b'true'
        conn.close()
    threads = [threading.Thread(target=writer, args=(i,)) for i in range(WRITERS)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.monotonic() - began


def burst_server(opts):
    server = Large(opts, opts.bind)

    def show_commits(when):
        taken = commits(server, opts.commits)
        row('commit %s: median, p99' % when, '%8.2f ms %8.2f ms', taken[len(taken) // 2] * 1000,
            taken[len(taken) * 99 // 100] * 1000)
    try:
        server.first_write()
        show_commits('at first')
        show_commits('before a burst')
        took = burst(server, opts.burst)
        row('burst of %d MB: time, log on disk' % opts.burst, '%8.1f s %8.1f MB', took, server.disk('raft'))
        show_commits('right after the burst')
        snapshots_settle(server)
        show_commits('settled after the burst')
        row('  log on disk', '%8.1f MB', server.disk('raft'))
    finally:
        server.close()


def second_server(opts, archive):
    server = Large(opts, opts.bind)
    try:
        server.first_write()
        with Peak(server) as peak:
            restore(server, archive)
        bench.settle(server)
        final, heap = server.rss(), server.rss('RssAnon')
        row('restore', '%8.2f s', peak.seconds)
        row('  heap: at most, settled', '%8.1f MB %8.1f MB', peak.heap, heap)
        row('  all: at most, settled', '%8.1f MB %8.1f MB', peak.all, final)
        row('  at most over the state on disk', '%8.2f', peak.all / server.disk('state'))
        row('  lines of progress in the log', '%8d', len(server.log_lines('restoring the state')))
    finally:
        server.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True)
    ap.add_argument('--entries', type=int, default=1000000)
    ap.add_argument('--value', type=int, default=100)
    ap.add_argument('--overwrite', type=int, default=500000)
    ap.add_argument('--burst', type=int, default=1000, metavar='MB')
    ap.add_argument('--commits', type=int, default=3000)
    ap.add_argument('--bind', default='127.0.39.61')
    opts = ap.parse_args()
    opts.binary, opts.watchers = os.path.abspath(opts.binary), 0
    folder = tempfile.mkdtemp(prefix='consuld-bench-')
    try:
        archive = os.path.join(folder, 'archive')
        first_server(opts, archive)
        second_server(opts, archive)
        burst_server(opts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
