#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays one group of recorded conversations against a follower: another server leads, the recorded
agent and a third server join it. What a follower forwards must be answered as the leader answers it; only errors have
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
    (r'/v1/operator/autopilot/', r'FailureTolerance: expected 0, got 1', 'three servers'),
    (r'/v1/coordinate/', r'Coord\.(Adjustment|Error|Height|Vec)', 'it has measured the others'),
    (r'', r'LastContact', 'as old as the last word of the leader'),
    (r'/v1/operator/keyring', r'nodes reported failure', 'there are more nodes'),
    (r'/v1/connect/(intentions/|ca/configuration)', r'expected 40[04], got 500',
     'this status goes by the exact error, and the call has put words in front of it'),
    (r'[?&]stale', r"X-Consul-Index|expected 200, got 404", 'its log may lack the last write'),
    (r'[?&]cached', r'X-Consul-Index', 'what refreshes the cache comes from the leader'),
]


LEADER, THIRD = 'conform-leader', 'conform-third'


class Follower(run_group.WatchedFleet):
    """The fleet of a group, whose first agent joins a leader of its own, as a third server does."""
    beside = LEADER, THIRD

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Follower.last = self
        self.others = {n: {p: conform.free_port(self.bind) for p in conform.PORT_NAMES}
                       for n in self.beside}

    def joining(self, config):
        config['bootstrap'] = False
        config['retry_join'] = ['%s:%d' % (self.bind, self.others[LEADER]['serf_lan'])]
        config['retry_interval'] = '1s'
        return config

    def config(self, sp):
        return self.joining(super().config(sp))

    def start(self):
        for i, name in enumerate(self.others):
            self.start_other(i, name)
        self.wait_for_leader(time.monotonic() + 90)
        super().start()

    def start_other(self, i, name):
        config = super().config(dict(self.specs[0], role='server'))
        config['node_name'] = name
        config['node_id'] = 'c0f0ffff-0000-4000-8000-%012d' % (i + 1)
        config['data_dir'] = os.path.join(self.dir, name)
        config['ports'] = dict(self.others[name], dns=-1, grpc=-1, https=-1)
        if name != LEADER:
            self.joining(config)
        path = os.path.join(self.dir, name + '.json')
        with open(path, 'w') as f:
            json.dump(config, f)
        with open(os.path.join(self.dir, name + '.log'), 'ab') as log:
            self.procs[name] = subprocess.Popen(
                [self.binary, 'agent', '-config-file', path], stdout=log, stderr=log, cwd=self.dir)

    def wait_for_leader(self, end):
        url = 'http://%s:%d/v1/status/leader' % (self.bind, self.others[LEADER]['http'])
        while True:
            try:
                if len(urllib.request.urlopen(url, timeout=10).read()) > 4:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise conform.Fail('nobody leads')
            time.sleep(0.1)


def alone(v, fleet):
    """A JSON value as it would be without the other servers: they are in no list, and what names the
    leader's address names the follower's."""
    own = '%s:%d' % (fleet.bind, fleet.env['server_port'])
    addresses = ['%s:%d' % (fleet.bind, p['server']) for p in fleet.others.values()]
    names = addresses + list(fleet.others) + [n + '.dc1' for n in fleet.others]

    def is_other(x):
        if isinstance(x, list):
            return is_other(x[0]) if x else False
        if not isinstance(x, dict):
            return x in names
        return is_other(x.get('Node') or x.get('Name') or '')
    if isinstance(v, list):
        return [alone(x, fleet) for x in v if not is_other(x)]
    if isinstance(v, dict):
        return {k: alone(x, fleet) for k, x in v.items() if not is_other(k)}
    return own if v == addresses[0] else v


def look_past_others(fleet_of):
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
        bare = alone(value, fleet)
        if bare != value:
            a = copy.copy(a)
            pretty = a.body.endswith(b'\n')
            text = json.dumps(bare, indent=4) + '\n' if pretty else \
                json.dumps(bare, separators=(',', ':'))
            a.body = text.encode()
        return check(step, a, *args, **kwargs)
    conform.check = seen


def excused(step, bad):
    """True when all that differs is what a follower must answer differently."""
    path = step.get('path', '')
    for line in bad:
        if any(re.search(where, path) and re.search(what, line) for where, what, _ in MUST):
            continue
        # indexes of raw bodies count the entries of all servers
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
    look_past_others(lambda: Follower.last)
    with open(os.path.join(run_group.HERE, 'allowed.json')) as f:
        allowed = json.load(f).get(opts.group, {})
    passed, failed, reports, ends = run_group.play(opts.group, opts, allowed)
    left = {i: v for i, v in failed.items()
            if i == -1 or str(i) not in allowed and not excused(*v)}
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
