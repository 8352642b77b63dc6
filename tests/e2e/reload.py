#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reload, by SIGHUP and over HTTP: the whole new configuration takes effect, or nothing of it."""
import signal
import sys

import agent


def service(name, port, **more):
    return {'service': dict({'name': name, 'port': port}, **more)}


def services(server):
    return {name: s['Port'] for name, s in server.must(server.get('/v1/agent/services')).json().items()}


def by_http(server):
    server.must(server.put('/v1/agent/reload'))


def by_signal(server):
    at = len(server.log())
    server.signal(signal.SIGHUP)
    server.wait_log('Caught: signal=hangup', at)


def reloads_services(opts, reload):
    with agent.Agent(opts) as server:
        server.write_config('a.json', service('a', 1))
        server.write_config('b.hcl', 'service {\n  name = "b"\n  port = 2\n}\n')
        server.start()
        assert services(server) == {'a': 1, 'b': 2}
        server.write_config('a.json', service('a', 11))
        server.write_config('b.hcl', None)
        server.write_config('c.json', service('c', 3))
        reload(server)
        agent.eventually(lambda: services(server) == {'a': 11, 'c': 3}, 'the new services')
        # the catalogue follows
        agent.eventually(lambda: set(server.get('/v1/catalog/services').json()) == {'consul', 'a', 'c'},
                         'the catalogue')


def test_services_follow_a_reload_over_http(opts):
    reloads_services(opts, by_http)


def test_services_follow_a_sighup(opts):
    reloads_services(opts, by_signal)


FAULTY = {
    'broken.hcl': 'service {\n  name = "x"\n  port = \n',
    'broken.json': '{"service": {"name": "x", }',
    'unknown.hcl': 'no_such_option = 1\n',
    'type.json': '{"service": {"name": "x", "port": "many"}}',
    'duration.hcl': 'leave_drain = 3\nperformance { leave_drain_time = "soon" }\n',
    'check.json': '{"check": {"name": "x", "ttl": "-1s"}}',
}


def refused(server, name, reload):
    """A good change together with a fault: nothing of it takes effect."""
    before = services(server)
    server.write_config('a.json', service('a', 99))
    server.write_config('new.json', service('new', 5))
    server.write_config('level.json', {'log_level': 'TRACE'})
    server.write_config('z-' + name, FAULTY[name])
    reload(server, 'z-' + name)
    assert services(server) == before, services(server)
    assert '[DEBUG]' not in server.log() and '[TRACE]' not in server.log()
    assert server.put('/v1/kv/alive', name).body == b'true'
    server.write_config('z-' + name, None)


def fails_over_http(server, name):
    answer = server.put('/v1/agent/reload')
    assert answer.status == 500 and answer.text(), (name, answer.status, answer.text())
    if name.rsplit('-', 1)[1].split('.')[0] in ('broken', 'unknown'):
        assert name in answer.text(), 'the file is not named: ' + answer.text()


def fails_by_signal(server, name):
    at = len(server.log())
    server.signal(signal.SIGHUP)
    server.wait_log('Reload config failed', at)


def test_a_wrong_configuration_changes_nothing(opts):
    with agent.Agent(opts) as server:
        server.write_config('a.json', service('a', 1))
        server.start()
        for name in FAULTY:
            refused(server, name, fails_over_http)
            refused(server, name, fails_by_signal)
        # without the fault the rest is fine
        by_http(server)
        assert services(server) == {'a': 99, 'new': 5}


def test_a_refused_service_changes_nothing(opts):
    """The file reads well; the fault shows only when the service is looked at."""
    bad = {'service': {'name': 'web', 'port': 80, 'meta': {'consul-x': 'reserved'}}}
    with agent.Agent(opts) as server:
        server.write_config('a.json', service('a', 1))
        server.start()
        server.write_config('a.json', service('a', 2))
        server.write_config('z.json', bad)
        answer = server.put('/v1/agent/reload')
        assert answer.status == 500 and answer.text(), answer.status
        assert services(server) == {'a': 1}


def test_what_came_over_http_stays(opts):
    with agent.Agent(opts) as server:
        server.write_config('a.json', dict(service('a', 1, checks=[{'id': 'a-ttl', 'ttl': '1h'}])))
        server.start()
        server.must(server.put('/v1/agent/service/register', {'Name': 'own', 'Port': 7, 'Check': {
            'CheckID': 'own-ttl', 'TTL': '1h'}}))
        server.must(server.put('/v1/agent/check/pass/own-ttl?note=fine'))
        server.must(server.put('/v1/agent/check/warn/a-ttl?note=hm'))
        server.write_config('b.json', service('b', 2))
        for _ in range(3):
            by_http(server)
            assert services(server) == {'a': 1, 'b': 2, 'own': 7}
            checks = server.get('/v1/agent/checks').json()
            assert checks['own-ttl']['Status'] == 'passing' and checks['own-ttl']['Output'] == 'fine'
            assert checks['a-ttl']['Status'] == 'warning' and checks['a-ttl']['Output'] == 'hm'


def test_log_level(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.must(server.put('/v1/agent/service/register', {'Name': 'kept'}))
        by_http(server)
        assert '[DEBUG]' not in server.log()
        server.write_config('level.json', {'log_level': 'TRACE'})
        by_http(server)
        at = len(server.log())
        by_http(server)  # tells of each service that it restores
        server.wait_log('[DEBUG]', at)
        server.write_config('level.json', {'log_level': 'ERR'})
        by_http(server)
        at = len(server.log())
        by_http(server)
        server.must(server.put('/v1/agent/service/register', {'Name': 'quiet'}))
        assert '[DEBUG]' not in server.log()[at:] and '[INFO]' not in server.log()[at:], server.log()[at:]


def test_many_reloads_under_requests(opts):
    with agent.Agent(opts) as server:
        server.write_config('a.json', service('a', 1))
        server.start()
        for n in range(30):
            server.write_config('a.json', service('a', n + 1))
            server.signal(signal.SIGHUP)
            assert server.put('/v1/kv/n', str(n)).body == b'true'
            assert server.get('/v1/kv/n?raw').text() == str(n)
        agent.eventually(lambda: (server.put('/v1/agent/reload'), services(server))[1] == {'a': 30},
                         'the last configuration')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
