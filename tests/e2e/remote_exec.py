#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Remote execution: `consuld exec` and an agent that allows it, or does not."""
import os
import subprocess
import sys

import agent

ALLOWED = {'disable_remote_exec': False}


def http_addr(server):
    return '-http-addr=%s:%d' % (server.address, server.port)


def execute(server, *args, stdin=None):
    ran = subprocess.run(
        [server.binary, 'exec', http_addr(server), *args],
        input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, text=True)
    return ran.returncode, ran.stdout, ran.stderr


def test_output_and_status_come_back(opts):
    with agent.Agent(opts, ALLOWED) as server:
        server.start()
        end = '==> e2e: finished with exit code %d\n1 / 1 node(s) completed / acknowledged\n'
        status, out, err = execute(server, '-wait=4s', 'echo one; echo two >&2; exit 3')
        assert (status, out) == (2, '    e2e: one\n    e2e: two\n    e2e:\n' + end % 3), (out, err)
        status, out, err = execute(server, '-wait=4s', '-shell=false', 'echo', 'a  b', '$HOME')
        assert (status, out) == (0, '    e2e: a  b $HOME\n    e2e:\n' + end % 0), (out, err)
        status, out, err = execute(server, '-wait=4s', '-', stdin='#!/bin/sh\nread line; echo "$0 $line"')
        assert status == 0 and 'rexec' in out, (out, err)
        status, out, err = execute(server, '-wait=4s', '-shell=false', '/no/such')
        assert (status, out) == (2, end % 255), (out, err)
        status, out, err = execute(server, '-wait=4s', 'kill -9 $$')
        assert (status, out) == (2, end % -1), (out, err)
        # nothing of it stays
        assert server.get('/v1/kv/_rexec?keys').status == 404
        assert server.get('/v1/event/list').json() == []


def test_much_output_arrives_whole_and_in_order(opts):
    with agent.Agent(opts, ALLOWED) as server:
        server.start()
        status, out, err = execute(server, '-wait=6s', 'seq 1 60000')
        assert status == 0, (out[-500:], err)
        # a line may be told in two parts, of two keys
        text = ''.join(line[9:] for line in out.splitlines() if line.startswith('    e2e: '))
        assert text == ''.join(str(n) for n in range(1, 60001))


def test_command_outlives_the_one_who_asked(opts):
    with agent.Agent(opts, ALLOWED) as server:
        server.start()
        gate, mark = os.path.join(server.folder, 'gate'), os.path.join(server.folder, 'mark')
        os.mkfifo(gate)
        asking = subprocess.Popen(
            [opts.binary, 'exec', http_addr(server), '-wait=60s',
             'read line < %s; seq 1 50000; echo "$line" > %s' % (gate, mark)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def acknowledged():
            keys = server.get('/v1/kv/_rexec?keys')
            return keys.status == 200 and any(k.endswith('/ack') for k in keys.json())
        agent.eventually(acknowledged, 'the job to run')
        asking.kill()
        asking.wait()
        for session in server.get('/v1/session/list').json():
            server.must(server.put('/v1/session/destroy/' + session['ID']))
        with open(gate, 'w') as f:
            f.write('told\n')
        agent.eventually(lambda: os.path.exists(mark) and open(mark).read() == 'told\n', 'its end')
        agent.eventually(lambda: 'write failed' in server.log() or 'invalid session' in server.log(),
                         'the agent to know')
        assert server.get('/v1/kv/_rexec?keys').status == 404


def test_agents_do_not_execute_by_default(opts):
    with agent.Agent(opts) as server:
        server.start()
        status, out, _ = execute(server, '-wait=1s', 'touch ' + os.path.join(server.folder, 'mark'))
        assert (status, out) == (0, '0 / 0 node(s) completed / acknowledged\n')
        server.wait_log('ignoring remote exec event, disabled.')
        assert not os.path.exists(os.path.join(server.folder, 'mark'))


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
