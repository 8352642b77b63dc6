#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals: how an agent ends, what it tells, and which signals do not end it."""
import os
import signal
import sys
import threading

import agent


def ended(server, status):
    got = server.wait_end()
    server.check_log()
    assert got == status, 'exit status %s instead of %s: %s' % (got, status, server.tail())
    return server.log()


def in_order(text, *parts):
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, '%r missing (or out of order) in %s' % (part, text[-2000:])
        at = found + len(part)


def test_sigterm_ends_a_server_without_leaving(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.signal(signal.SIGTERM)
        in_order(ended(server, 1), 'Caught: signal=terminated', 'Graceful shutdown disabled. Exiting',
                 'Requesting shutdown', 'Endpoints down', 'Exit code: code=1')


def test_sigint_ends_a_server_without_leaving(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.signal(signal.SIGINT)
        in_order(ended(server, 1), 'Caught: signal=interrupt', 'Graceful shutdown disabled. Exiting',
                 'Exit code: code=1')


LEAVING = {'leave_on_terminate': True, 'performance': {'raft_multiplier': 1, 'leave_drain_time': '1s'}}


def test_sigterm_leaves_when_asked_to(opts):
    with agent.Agent(opts, LEAVING) as server:
        server.start()
        server.signal(signal.SIGTERM)
        in_order(ended(server, 0), 'Gracefully shutting down agent...', 'Graceful exit completed',
                 'Exit code: code=0')


def test_second_signal_cuts_leaving_short(opts):
    slow = {'leave_on_terminate': True,
            'performance': {'raft_multiplier': 1, 'leave_drain_time': '50s'}}
    with agent.Agent(opts, slow) as server:
        server.start()
        server.signal(signal.SIGTERM)
        server.wait_log('Gracefully shutting down agent...')
        server.signal(signal.SIGTERM)
        in_order(ended(server, 1), 'Caught second signal, Exiting', 'Exit code: code=1')


def test_leave_over_http_ends_with_zero(opts):
    with agent.Agent(opts, LEAVING) as server:
        server.start()
        server.must(server.put('/v1/agent/leave'))
        in_order(ended(server, 0), 'Graceful exit completed', 'Exit code: code=0')


def test_sigpipe_and_sighup_do_not_end_it(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.signal(signal.SIGPIPE)
        server.signal(signal.SIGHUP)
        server.wait_log('Caught: signal=hangup')
        assert server.put('/v1/kv/a', 'x').body == b'true'
        server.stop()


def test_sigterm_while_starting(opts):
    with agent.Agent(opts) as server:
        for _ in range(5):
            size = os.path.getsize(server.log_path) if os.path.exists(server.log_path) else 0
            server.spawn()
            server.wait_log('==> Starting Consul agent...', size)
            server.signal(signal.SIGTERM)
            status = server.wait_end()
            assert status in (1, -signal.SIGTERM), status
            server.check_log()
        server.start()
        server.stop()


def test_parked_requests_do_not_hold_up_the_end(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.put('/v1/kv/watched', 'x')
        index = server.get('/v1/kv/watched').index
        answers = []

        def park():
            try:
                answers.append(server.get('/v1/kv/watched?wait=9m&index=%d' % index).status)
            except Exception:
                answers.append('closed')
        parked = [threading.Thread(target=park, daemon=True) for _ in range(20)]
        for thread in parked:
            thread.start()
        established = ' 01 '  # of /proc/net/tcp
        agent.eventually(lambda: connections(server, established) >= 20, 'parked requests')
        server.stop()
        for thread in parked:
            thread.join(agent.DEADLINE)
        assert len(answers) == 20, answers


def connections(server, state):
    address = '%02X%02X%02X%02X' % tuple(int(p) for p in reversed(server.address.split('.')))
    local = ' %s:%04X ' % (address, server.port)
    with open('/proc/net/tcp') as f:
        return sum(1 for line in f if local in line[:22] and state in line)


def test_pid_file(opts):
    with agent.Agent(opts) as server:
        path = os.path.join(server.folder, 'pid')
        server.write_config('pid.json', {'pid_file': path})
        server.start()
        with open(path) as f:
            assert f.read() == str(server.proc.pid)
        server.stop()
        assert not os.path.exists(path)


def test_data_survives_a_stop(opts):
    with agent.Agent(opts) as server:
        server.start()
        for n in range(20):
            assert server.put('/v1/kv/%d' % n, str(n)).body == b'true'
        server.must(server.put('/v1/agent/service/register', {'Name': 'web', 'Port': 80}))
        server.stop()
        server.start()
        for n in range(20):
            assert server.get('/v1/kv/%d?raw' % n).text() == str(n)
        assert 'web' in server.get('/v1/agent/services').json()
        node = open(os.path.join(server.data_dir, 'node-id')).read().strip()
        assert server.get('/v1/agent/self').json()['Config']['NodeID'] == node


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
