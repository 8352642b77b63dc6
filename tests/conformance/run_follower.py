#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays one group of recorded conversations against a follower: another server leads, the recorded
agent joins it. What a follower forwards must be answered as the leader answers it; only errors have
the words of the call in front.

    run_follower.py --binary PATH --bind ADDRESS GROUP
"""
import argparse
import copy
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

# What a server that does not lead answers differently: path, difference, why.
MUST = [
    (r'/v1/agent/(self|members)', r"key 'bootstrap' is missing|\.bootstrap: ", 'it did not bootstrap'),
    (r'/v1/agent/self', r"\.leader: expected 'true'|^\$: expected true, got false", 'another leads'),
    (r'/v1/operator/', r'\.(Leader|Voter): expected true, got false', 'another leads; no voter at first'),
    (r'', r'LastContact', 'as old as the last word of the leader'),
    (r'/v1/operator/keyring', r'nodes reported failure', 'there are two nodes'),
    (r'/v1/connect/(intentions/|ca/configuration)', r'expected 40[04], got 500',
     'this status goes by the exact error, and the call has put words in front of it'),
    (r'[?&]stale', r"X-Consul-Index|expected 200, got 404", 'its log may lack the last write'),
    (r'[?&]cached', r'X-Consul-Index', 'what refreshes the cache comes from the leader'),
]


class Follower(run_group.WatchedFleet):
    """The fleet of a group, whose first agent joins a leader of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Follower.last = self
        self.leader = {p: conform.free_port(self.bind) for p in conform.PORT_NAMES}

    def config(self, sp):
        config = super().config(sp)
        config['bootstrap'] = False
        config['retry_join'] = ['%s:%d' % (self.bind, self.leader['serf_lan'])]
        config['retry_interval'] = '1s'
        return config

    def start(self):
        config = super().config(dict(self.specs[0], role='server'))
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
        self.wait_for_leader(time.monotonic() + 90)
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


LEADER = 'conform-leader'


def without_leader(v, fleet):
    """A JSON value as it would be without the server that leads: it is in no list, and what names its
    address names the follower's."""
    own = '%s:%d' % (fleet.bind, fleet.env['server_port'])
    leader = '%s:%d' % (fleet.bind, fleet.leader['server'])

    def is_leader(x):
        if isinstance(x, list):
            return is_leader(x[0]) if x else False
        if not isinstance(x, dict):
            return x in (leader, LEADER, LEADER + '.dc1')
        return is_leader(x.get('Node') or x.get('Name') or '')
    if isinstance(v, list):
        return [without_leader(x, fleet) for x in v if not is_leader(x)]
    if isinstance(v, dict):
        return {k: without_leader(x, fleet) for k, x in v.items() if not is_leader(k)}
    return own if v == leader else v


def look_past_leader(fleet_of):
    """What the recorded answer is compared with."""
    check = conform.check

    def seen(step, a, *args, **kwargs):
        fleet = fleet_of()
        if a.status >= 400 and PREFIX not in step.get('expect', {}).get('text', ''):
            a = copy.copy(a)
            a.body = a.body.replace(PREFIX.encode(), b'', 1)
        try:
            value = json.loads(a.body)
        except ValueError:
            return check(step, a, *args, **kwargs)
        alone = without_leader(value, fleet)
        if alone != value:
            a = copy.copy(a)
            pretty = a.body.endswith(b'\n')
            text = json.dumps(alone, indent=4) + '\n' if pretty else \
                json.dumps(alone, separators=(',', ':'))
            a.body = text.encode()
        return check(step, a, *args, **kwargs)
    conform.check = seen


def excused(step, bad):
    """True when all that differs is what a follower must answer differently."""
    path = step.get('path', '')
    for line in bad:
        if any(re.search(where, path) and re.search(what, line) for where, what, _ in MUST):
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
    conform.Player.fine = staticmethod(lambda step, bad: excused(step, bad))
    look_past_leader(lambda: Follower.last)
    passed, failed, reports, ends = run_group.play(opts.group, opts)
    left = {i: v for i, v in failed.items() if i == -1 or not excused(*v)}
    for i, (step, bad) in sorted(left.items()):
        print('FAIL %s %s' % (opts.group, conform.describe(i, step)))
        for line in bad[:12]:
            print('       ' + line[:1000])
    for text in reports:
        print('FAIL ' + text)
    if left or reports:
        print('\n'.join(ends))
    print('%d steps passed, %d differ as they must, %d failed' %
          (passed, len(failed) - len(left), len(left)))
    return 1 if left or reports or passed == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
