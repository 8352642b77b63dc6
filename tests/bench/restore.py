#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What saving, restoring and installing a snapshot costs: time, and the most memory, mapped pages
of files included (VmHWM), over the size of the state's file.

    restore.py --binary PATH [--binary PATH ...] [--entries N] [--value BYTES] [--rounds N]

Several binaries take turns on one archive: what is printed of the others is relative to the first.
Nothing is asserted.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

import bench
import large


class Most:
    """The most memory that a process has while the block runs, in MB, by the kernel's account."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        with open('/proc/%d/clear_refs' % self.server.proc.pid, 'w') as f:
            f.write('5')
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
        self.all = self.server.rss('VmHWM')


def joined(opts, leader):
    """A server that gets its state from another one."""
    server = large.Large(opts, opts.bind)
    with open(server.config) as f, open(leader.config) as g:
        config, ports = json.load(f), json.load(g)['ports']
    config.update(node_name='joined', retry_join=['%s:%d' % (opts.bind, ports['serf_lan'])])
    del config['bootstrap']
    with open(server.config, 'w') as f:
        json.dump(config, f)
    return server


def installed(server):
    end = time.monotonic() + bench.LIMIT * 5
    while time.monotonic() < end:
        try:
            if server.request('GET', '/v1/kv/large/00000000?stale')[0] == 200:
                return
        except OSError:
            assert server.proc.poll() is None, 'the server ended'
        time.sleep(0.05)
    raise RuntimeError('no snapshot was installed')


def read_all(server, entries):
    """Touches every page that holds an entry."""
    step = max(10 ** (len(str(entries)) - 2), 1)
    for first in range(0, entries, step):
        prefix = ('%08d' % first)[:8 - len(str(step)) + 1]
        status = server.request('GET', '/v1/kv/large/%s?recurse&stale' % prefix)[0]
        assert status == 200, (prefix, status)


def figures(opts, archive):
    """{what: (seconds, MB)} and the size of the state in MB."""
    got, server = {}, large.Large(opts, opts.bind)
    other = None
    try:
        server.first_write()
        with Most(server) as most:
            large.restore(server, archive)
        got['restore into an empty server'] = most.seconds, most.all
        bench.settle(server)
        size = server.disk('state')
        with Most(server) as most:
            large.save(server, os.devnull)
        got['save'] = most.seconds, most.all
        other = joined(opts, server).start()
        with Most(other) as most:
            installed(other)
        got['install in a follower'] = most.seconds, most.all
        got['  the leader meanwhile'] = most.seconds, server.rss('VmHWM')
        other.close()
        read_all(server, opts.entries)
        with Most(server) as most:
            large.restore(server, archive)
        got['restore over a state in use'] = most.seconds, most.all
        return got, size
    finally:
        server.close()
        if other:
            other.close()


def fill(opts, archive):
    server = large.Large(opts, opts.bind)
    try:
        server.first_write()
        large.write(server, opts, 0, opts.entries)
        large.snapshots_settle(server)
        large.save(server, archive)
    finally:
        server.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True, action='append')
    ap.add_argument('--entries', type=int, default=500000)
    ap.add_argument('--value', type=int, default=1000)
    ap.add_argument('--rounds', type=int, default=1)
    ap.add_argument('--archive', help='use this one, or make it')
    ap.add_argument('--bind', default='127.0.39.62')
    opts = ap.parse_args()
    opts.watchers, binaries = 0, [os.path.abspath(b) for b in opts.binary]
    opts.binary = binaries[0]
    folder = tempfile.mkdtemp(prefix='consuld-bench-')
    archive = opts.archive or os.path.join(folder, 'archive')
    try:
        if not os.path.exists(archive):
            fill(opts, archive)
        best, size = [{} for _ in binaries], {}
        for _ in range(opts.rounds):
            for binary, kept in zip(binaries, best):
                opts.binary = binary
                got, size[binary] = figures(opts, archive)
                for what, (seconds, most) in got.items():
                    old = kept.get(what, (seconds, most))
                    kept[what] = min(old[0], seconds), max(old[1], most)
        print('archive of %.1f MB' % (os.path.getsize(archive) / 1e6))
        for number, (binary, kept) in enumerate(zip(binaries, best)):
            print('%d state of %.1f MB' % (number + 1, size[binary]))
            for what, (seconds, most) in kept.items():
                print('%d %-36s%8.2f s (%.2f)%8.1f MB at most, over the state %.2f' % (
                    number + 1, what, seconds, seconds / best[0][what][0], most * 1.048576,
                    most * 1.048576 / size[binary]), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
