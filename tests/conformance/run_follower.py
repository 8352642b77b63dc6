#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays one group of recorded conversations against a follower: another server leads, the recorded
agent joins it. What a follower forwards must be answered as the leader answers it; only errors have
the words of the call in front.

    run_follower.py --binary PATH --bind ADDRESS GROUP
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import conform
import run_group

PREFIX = 'rpc error making call: '


class Follower(run_group.WatchedFleet):
    """The fleet of a group, whose first agent joins a leader of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.leader = {p: conform.free_port(self.bind) for p in conform.PORT_NAMES}

    def config(self, sp):
        config = super().config(sp)
        config['bootstrap'] = False
        config['retry_join'] = ['%s:%d' % (self.bind, self.leader['serf_lan'])]
        config['retry_interval'] = '1s'
        return config

    def start(self):
        config = super().config(self.specs[0])
        config['node_name'] = 'conform-leader'
        config['node_id'] = 'c0f0ffff-0000-4000-8000-000000000001'
        config['data_dir'] = os.path.join(self.dir, 'leader')
        config['ports'] = dict(self.leader, dns=-1, grpc=-1, https=-1)
        path = os.path.join(self.dir, 'leader.json')
        with open(path, 'w') as f:
            json.dump(config, f)
        with open(os.path.join(self.dir, 'leader.log'), 'ab') as log:
            self.procs['leader'] = subprocess.Popen(
                [self.binary, 'agent', '-config-file', path], stdout=log, stderr=log, cwd=self.dir)
        self.wait_for_leader(time.monotonic() + 40)
        super().start()

    def wait_for_leader(self, end):
        url = 'http://%s:%d/v1/status/leader' % (self.bind, self.leader['http'])
        while True:
            try:
                if len(urllib.request.urlopen(url, timeout=10).read()) > 4:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise conform.Fail('nobody leads')
            time.sleep(0.1)


def as_forwarded(step):
    """What the step expects of a follower: texts of errors stand behind the words of the call."""
    expect = step.get('expect', {})
    text = expect.get('text')
    return isinstance(text, str) and expect.get('status', 200) >= 400, text


def excused(step, bad):
    """True when all that differs is what a follower must answer differently."""
    is_error, text = as_forwarded(step)
    for line in bad:
        if is_error and re.search(re.escape(PREFIX), line) and PREFIX + text.split('\n')[0][:40] in \
                line.replace("\\'", "'"):
            continue
        # a follower's answer to a stale read is as old as its last contact, and as its log
        if 'stale' in step.get('path', '') and ('LastContact' in line or 'X-Consul-Index' in line):
            continue
        # indexes of raw bodies count the entries of two servers
        if step.get('compare') == 'raw' and 'CreateIndex' in line:
            continue
        return False
    return True


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('group')
    ap.add_argument('--binary', required=True)
    ap.add_argument('--bind', required=True)
    opts = ap.parse_args()
    opts.binary = os.path.abspath(opts.binary)
    run_group.WatchedFleet = Follower
    passed, failed, reports = run_group.play(opts.group, opts)
    left = {i: v for i, v in failed.items() if i == -1 or not excused(*v)}
    for i, (step, bad) in sorted(left.items()):
        print('FAIL %s %s' % (opts.group, conform.describe(i, step)))
        for line in bad[:12]:
            print('       ' + line[:1000])
    for text in reports:
        print('FAIL ' + text)
    print('%d steps passed, %d differ as they must, %d failed' %
          (passed, len(failed) - len(left), len(left)))
    return 1 if left or reports or passed == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
