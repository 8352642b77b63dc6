#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that knows nothing of consuld: Debian's python3-consul.

This release of it still sends GET where Consul 1.x wants PUT (TTL updates, deregistration); those are
sent by hand.
"""
import sys
import threading

import agent

try:
    import consul
    import consul.base
except ImportError:
    print('skip: python3-consul is not installed')
    sys.exit(agent.SKIPPED)


def client(server):
    return consul.Consul(host=server.address, port=server.port)


def test_kv(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        index, entry = c.kv.get('none')
        assert entry is None
        assert c.kv.put('app/a', 'one', flags=42) is True
        assert c.kv.put('app/b', b'\x00\xff') is True
        assert c.kv.put('app/sub/c', '') is True
        index, entry = c.kv.get('app/a')
        assert entry['Value'] == b'one' and entry['Flags'] == 42 and int(index) >= entry['ModifyIndex']
        assert c.kv.get('app/b')[1]['Value'] == b'\x00\xff'
        assert [e['Key'] for e in c.kv.get('app/', recurse=True)[1]] == ['app/a', 'app/b', 'app/sub/c']
        assert c.kv.get('app/', keys=True, separator='/')[1] == ['app/a', 'app/b', 'app/sub/']
        assert c.kv.put('app/a', 'two', cas=entry['ModifyIndex']) is True
        assert c.kv.put('app/a', 'three', cas=entry['ModifyIndex']) is False
        assert c.kv.put('app/a', 'new', cas=0) is False
        for mode in ('default', 'consistent', 'stale'):
            assert c.kv.get('app/a', consistency=mode)[1]['Value'] == b'two'
        assert c.kv.delete('app/a') is True
        assert c.kv.delete('app/', recurse=True) is True
        assert c.kv.get('app/', recurse=True)[1] is None


def test_session_locks(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        first = c.session.create(name='first', ttl=60, lock_delay=0, behavior='release')
        second = c.session.create(name='second', ttl=60, lock_delay=0, behavior='delete')
        assert c.kv.put('leader', 'first', acquire=first) is True
        assert c.kv.put('leader', 'second', acquire=second) is False
        assert c.kv.get('leader')[1]['Session'] == first
        assert {s['ID'] for s in c.session.list()[1]} == {first, second}
        assert c.session.info(first)[1]['Name'] == 'first'
        assert c.session.renew(first)['ID'] == first
        assert c.kv.put('leader', '', release=first) is True
        assert c.kv.put('leader', 'second', acquire=second) is True
        assert c.session.destroy(second) is True
        assert c.kv.get('leader')[1] is None  # behaviour delete
        assert c.session.destroy(first) is True
        assert c.session.list()[1] == []


def test_lock_passes_on_when_its_session_ends(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        holder = c.session.create(ttl=10, lock_delay=0)
        assert c.kv.put('lock', 'a', acquire=holder)
        index, _ = c.kv.get('lock')
        woken = []
        waiter = threading.Thread(
            target=lambda: woken.append(client(server).kv.get('lock', index=index, wait='50s')), daemon=True)
        waiter.start()
        c.session.destroy(holder)
        waiter.join(agent.DEADLINE)
        assert woken and 'Session' not in woken[0][1]


def test_blocking(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        c.kv.put('watched', '1')
        index, _ = c.kv.get('watched')
        woken = []
        waiters = [threading.Thread(
            target=lambda: woken.append(client(server).kv.get('watched', index=index, wait='50s')),
            daemon=True) for _ in range(10)]
        for waiter in waiters:
            waiter.start()
        c.kv.put('other', 'x')
        assert not woken
        c.kv.put('watched', '2')
        for waiter in waiters:
            waiter.join(agent.DEADLINE)
        assert len(woken) == 10
        assert all(entry['Value'] == b'2' and int(at) > int(index) for at, entry in woken)
        # nothing happens: the answer comes with the same index at the end of the wait
        at, entry = c.kv.get('watched', index=woken[0][0], wait='1s')
        assert at == woken[0][0] and entry['Value'] == b'2'


def test_agent_services_and_health(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        assert c.agent.service.register(
            'web', service_id='web1', address='10.1.1.1', port=8080, tags=['v1', 'main'],
            check=consul.Check.ttl('1h')) is True
        assert c.agent.services()['web1']['Port'] == 8080
        assert c.agent.checks()['service:web1']['Status'] == 'critical'
        assert c.health.service('web', passing=True)[1] == []
        index, _ = c.health.service('web')
        woken = []
        waiter = threading.Thread(target=lambda: woken.append(
            client(server).health.service('web', index=index, wait='50s', passing=True)), daemon=True)
        waiter.start()
        server.must(server.put('/v1/agent/check/pass/service:web1?note=well'))
        waiter.join(agent.DEADLINE)
        assert woken
        agent.eventually(lambda: c.health.service('web', passing=True)[1], 'a passing instance')
        entry = c.health.service('web', passing=True, tag='main')[1][0]
        assert entry['Service']['ID'] == 'web1' and entry['Node']['Node'] == 'e2e'
        assert {check['CheckID'] for check in entry['Checks']} == {'serfHealth', 'service:web1'}
        assert c.health.service('web', tag='other')[1] == []
        assert c.catalog.services()[1]['web'] == ['v1', 'main']
        assert c.catalog.service('web')[1][0]['ServiceAddress'] == '10.1.1.1'
        assert c.agent.maintenance('true', 'upgrade') is True
        agent.eventually(lambda: not c.health.service('web', passing=True)[1], 'maintenance')
        assert c.agent.maintenance('false') is True
        agent.eventually(lambda: c.health.service('web', passing=True)[1], 'the end of maintenance')
        assert c.agent.service.maintenance('web1', 'true') is True
        agent.eventually(lambda: not c.health.service('web', passing=True)[1], 'its maintenance')
        server.must(server.put('/v1/agent/service/deregister/web1'))
        agent.eventually(lambda: not c.health.service('web')[1], 'deregistration')


def test_catalog(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        assert c.catalog.register('outside', '10.9.9.9', service={'Service': 'db', 'Port': 5432},
                                  check={'Name': 'up', 'Status': 'warning', 'ServiceID': 'db'}) is True
        assert {n['Node'] for n in c.catalog.nodes()[1]} == {'e2e', 'outside'}
        assert c.catalog.node('outside')[1]['Services']['db']['Port'] == 5432
        assert [check['Name'] for check in c.health.state('warning')[1]] == ['up']
        assert [check['Node'] for check in c.health.checks('db')[1]] == ['outside']
        assert c.catalog.deregister('outside', service_id='db') is True
        assert c.catalog.node('outside')[1]['Services'] == {}
        assert c.catalog.deregister('outside') is True
        assert c.catalog.node('outside')[1] is None
        assert c.catalog.datacenters() == ['dc1']


def test_status_and_self(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        assert ':' in c.status.leader() and c.status.peers() == [c.status.leader()]
        assert c.agent.self()['Config']['NodeName'] == 'e2e'
        assert [m['Name'] for m in c.agent.members()] == ['e2e']


def test_refusals_are_seen_as_such(opts):
    with agent.Agent(opts) as server:
        c = client(server.start())
        for call in (lambda: c.session.renew('11111111-2222-3333-4444-555555555555'),
                     lambda: c.session.create(node='nowhere'),
                     lambda: c.catalog.register('n', 'a', service={'ID': 'nameless'}, dc='nowhere')):
            try:
                call()
            except consul.base.ConsulException:
                continue
            raise AssertionError('not refused')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
