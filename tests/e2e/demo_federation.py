# SPDX-License-Identifier: Apache-2.0
"""The demo of two datacenters behind haproxy, as a user runs it."""
import os
import shutil
import subprocess
import sys

import agent


def test_the_demo_answers_its_own_questions(opts):
    if not (shutil.which('haproxy') or os.path.exists('/usr/sbin/haproxy')):
        raise agent.Skip('haproxy is not installed')
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../scripts/demo-federation')
    run = subprocess.run([script, '--once'], env=dict(os.environ, CONSULD=os.path.abspath(opts.binary)),
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, text=True)
    assert run.returncode == 0, run.stdout
    for text in ('["dc1","dc2"]', '"ServiceName": "database"', '   across\n', '"Failovers":1'):
        assert text in run.stdout, run.stdout


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
