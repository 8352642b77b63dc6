# SPDX-License-Identifier: Apache-2.0
"""Consul's own RPC packages against port 8300."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_peer  # noqa: E402
from go_peer import agent  # noqa: E402

PACKAGES = ('yamux', 'net-rpc-msgpackrpc', 'go-msgpack')
PARKED = 10000
program = None


def peer():
    global program
    program = program or go_peer.build('rpc', PACKAGES)
    return program


def server(opts):
    a = agent.Agent(opts)
    a.rpc = '%s:%d' % (opts.bind, a.config['ports']['server'])
    return a


def memory_kb(pid):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('RssAnon:'):
                return int(line.split()[1])
    return 0


def test_a_wide_set_of_calls(opts):
    program = peer()
    with server(opts) as a:
        a.start()
        ran = subprocess.run([program, 'drive', a.rpc], stdout=subprocess.PIPE, text=True,
                             timeout=agent.DEADLINE * 3)
        print(ran.stdout.rstrip())
        assert ran.returncode == 0 and 'ok all' in ran.stdout


def test_many_blocking_queries_over_one_connection(opts):
    program = peer()
    with server(opts) as a:
        a.start()
        before = memory_kb(a.proc.pid)
        with subprocess.Popen([program, 'park', a.rpc, str(PARKED)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as p:
            assert p.stdout.readline() == 'parked %d\n' % PARKED, p.stdout.read()
            print('%d bytes of memory each' % ((memory_kb(a.proc.pid) - before) * 1024 // PARKED))
            p.stdin.write('\n')
            p.stdin.flush()
            line = p.stdout.readline()
            assert line.startswith('woken in'), line
            assert p.wait(agent.DEADLINE) == 0


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
