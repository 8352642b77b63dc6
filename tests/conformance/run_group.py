#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays one group of recorded conversations (conform.py) and holds it to a list of allowed failures.

    run_group.py --binary PATH --bind ADDRESS [--allowed FILE] GROUP

allowed.json names, per group, the steps that may fail and why, by number. The list is exact: a step
that fails without being listed fails the test, and so does a listed step that passes. Agents are
stopped with SIGTERM, so that a sanitizer's report about leaks at the end is seen as well.
"""
import argparse
import json
import os
import signal
import subprocess
import sys

import conform

HERE = os.path.dirname(os.path.abspath(__file__))
REPORTS = ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'invariant broken')


class WatchedFleet(conform.Fleet):
    """Agents whose end is looked at: what a sanitizer or an assertion printed is a failure."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.reports, self.ends = [], []

    def stop(self):
        for name in list(self.procs):
            proc = self.procs[name]
            if proc.poll() is None:
                proc.send_signal(signal.SIGTERM)
        for name, proc in self.procs.items():
            try:
                proc.wait(90)
            except subprocess.TimeoutExpired:
                self.reports.append('agent %s did not end after SIGTERM' % name)
            self.read_log(name)
        super().stop()

    def read_log(self, name):
        with open(os.path.join(self.dir, name + '.log'), 'rb') as f:
            text = f.read().decode('utf-8', 'replace')
        self.ends.append('--- end of the log of %s\n%s\n---' % (name, text[-4000:]))
        for word in REPORTS:
            if word in text:
                at = text.index(word)
                self.reports.append('agent %s reported:\n%s' % (name, text[max(0, at - 200):at + 4000]))
                return


def play(group, opts, allowed=()):
    """Returns the number of passed steps, {step number: differences}, reports of the agents and the ends
    of their logs."""
    case = conform.load(os.path.join(HERE, 'cases', group + '.json'))
    for i in allowed:
        case['steps'][int(i)]['allowed'] = True
    fleet = WatchedFleet(opts.binary, opts.bind, case.get('agents'),
                         fixtures=os.path.join(HERE, 'fixtures'))
    opts.strict = False
    try:
        fleet.start()
        player = conform.Player(case, fleet, opts).run()
    except conform.Fail as e:
        return 0, {-1: ({'path': '(start)'}, [str(e)])}, fleet.reports, fleet.ends
    finally:
        fleet.stop()
    return player.passed, {i: (step, bad) for i, step, bad in player.failures}, fleet.reports, fleet.ends


def judge(group, allowed, failed):
    """Prints what is not as listed; returns the number of such steps."""
    wrong = 0
    for i, (step, bad) in sorted(failed.items()):
        if str(i) in allowed:
            print('allowed to fail: %s %s: %s' % (group, conform.describe(i, step), allowed[str(i)]))
            continue
        wrong += 1
        print('FAIL %s %s' % (group, conform.describe(i, step)))
        for line in bad[:12]:
            print('       ' + line)
    for i in sorted(set(allowed) - {str(i) for i in failed}, key=int):
        wrong += 1
        print('FAIL %s step %s passes now: take it off the list (%s)' % (group, i, allowed[i]))
    return wrong


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('group')
    ap.add_argument('--binary', required=True)
    ap.add_argument('--bind', required=True)
    ap.add_argument('--allowed', default=os.path.join(HERE, 'allowed.json'))
    opts = ap.parse_args()
    opts.binary = os.path.abspath(opts.binary)
    with open(opts.allowed) as f:
        allowed = json.load(f).get(opts.group, {})
    passed, failed, reports, ends = play(opts.group, opts, allowed)
    wrong = judge(opts.group, allowed, failed)
    for text in reports:
        print('FAIL ' + text)
    if wrong or reports:
        print('\n'.join(ends))
    print('%s: %d passed, %d failed, %d of them allowed' % (
        opts.group, passed, len(failed), len(set(map(str, failed)) & set(allowed))))
    return 1 if wrong or reports else 0


if __name__ == '__main__':
    sys.exit(main())
