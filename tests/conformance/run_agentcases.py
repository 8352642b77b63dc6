#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays one file of agent vectors (agentcases.py) and holds it to a list of allowed failures.

    run_agentcases.py --binary PATH --addr ADDRESS [--allowed FILE] [--only REGEX] FILE

FILE is the name in tests/vectors/agent without its ending. The list of allowed.json is exact, as in
run_group.py: entries are "agentcases.FILE": {"case id": "reason"}. A reason that begins with "step N:"
allows that step alone to be the first that fails.
"""
import argparse
import json
import os
import re
import sys

import agentcases

HERE = os.path.dirname(os.path.abspath(__file__))


def excuses(reason, err):
    step = re.match(r'step \d+', reason)
    return not step or err.startswith(step.group(0) + ' ')


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('file')
    ap.add_argument('--binary', required=True)
    ap.add_argument('--addr', required=True)
    ap.add_argument('--allowed', default=os.path.join(HERE, 'allowed.json'))
    ap.add_argument('--only', default='')
    opts = ap.parse_args()
    with open(opts.allowed) as f:
        allowed = json.load(f).get('agentcases.' + opts.file, {})
    with open(os.path.join(HERE, '..', 'vectors', 'agent', opts.file + '.json')) as f:
        doc = json.load(f)
    passed = wrong = excused = 0
    for case in doc['cases']:
        name = case['id']
        if not re.search(opts.only, name):
            continue
        ctx = agentcases.Ctx(opts.binary, opts.addr)
        agentcases.PATIENCE = 6 if name in allowed else 60
        try:
            err = agentcases.KINDS[doc['kind']](ctx, doc, case)
        except Exception as e:  # a case must never end the run
            err = '%s: %s' % (type(e).__name__, e)
        finally:
            log = ctx.log()[-4000:]
            ctx.close()
        if err and name in allowed and excuses(allowed[name], err):
            excused += 1
            print('allowed to fail: %s: %s' % (name, allowed[name]))
        elif err:
            wrong += 1
            print('FAIL %s: %s' % (name, err))
            print('--- end of the log\n%s\n---' % log)
        elif name in allowed:
            wrong += 1
            print('FAIL %s passes now: take it off the list (%s)' % (name, allowed[name]))
        else:
            passed += 1
        sys.stdout.flush()
    print('%s: %d passed, %d failed, %d allowed to fail' % (opts.file, passed, wrong, excused))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
