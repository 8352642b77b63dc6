#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client agent among servers that die: reads go on, what waits goes on waiting, and the cache
answers when nobody else does."""
import http.client
import signal
import sys
import threading
import time

import agent
from agent import eventually
from cluster import Cluster
from pool import FAST, LEFT, lan, on

FAULTS = (OSError, http.client.HTTPException)


class Client(agent.Agent):
    def __init__(self, opts, servers, **config):
        super().__init__(on(opts, 9), dict({
            'server': False, 'node_name': 'client', 'gossip_lan': FAST, 'retry_interval': '200ms',
            'leave_on_terminate': False, 'retry_join': [lan(s) for s in servers]}, **config))
        del self.config['bootstrap']
        self.config['ports']['server'] = servers[0].config['ports']['server']
        self.write_config('base.json', self.config)

    def begin(self):
        self.spawn()
        self.wait_http()
        eventually(lambda: self.get('/v1/status/leader').status == 200, 'servers for the client')
        return self


class Readers:
    """Requests without pause; what failed is in `faults`."""

    def __init__(self, a, paths):
        self.agent, self.faults, self.asked, self.done = a, [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.read, args=(p,)) for p in paths]

    def read(self, path):
        while not self.done.is_set():
            try:
                answer = self.agent.get(path)
                if answer.status != 200:
                    self.faults.append((path, answer.status, answer.text()))
            except FAULTS as e:
                self.faults.append((path, repr(e)))
            self.asked += 1

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for t in self.threads:
            t.join(agent.DEADLINE)


def test_no_read_fails_when_the_leader_dies(opts):
    patient = {'performance': {'raft_multiplier': 1, 'rpc_hold_timeout': '60s'}}
    with Cluster(opts, **patient) as c, Client(opts, c.servers, **patient) as client:
        client.begin()
        c.accepts('a')
        c.equal()
        index = client.get('/v1/kv/a').index
        answers = []
        parked = threading.Thread(target=lambda: answers.append(
            client.get('/v1/kv/a?raw&wait=60s&index=%d' % index)))
        parked.start()
        with Readers(client, ['/v1/kv/a', '/v1/kv/a?stale', '/v1/catalog/nodes']) as readers:
            eventually(lambda: readers.asked > 30, 'some requests')
            c.leader().kill()
            c.accepts('b')
            before = readers.asked
            eventually(lambda: readers.asked > before + 30, 'requests under the new leader')
        assert not readers.faults, readers.faults[:5]
        assert not answers, 'what waited was answered though nothing changed'
        eventually(lambda: client.put('/v1/kv/a', 'later').body == b'true', 'a write')
        parked.join(agent.DEADLINE)
        assert answers and answers[0].body == b'later', answers
        print('     %d reads' % readers.asked)


def test_no_read_fails_when_servers_stop(opts):
    """In turn, so that the leader is among them and the server that the client asks. Nothing ends the
    connections to them: gossip tells that they failed."""
    with Cluster(opts) as c, Client(opts, c.servers) as client:
        client.begin()
        c.accepts('a')
        c.equal()
        index = client.get('/v1/kv/a').index
        answers = []
        parked = threading.Thread(target=lambda: answers.append(client.get(
            '/v1/kv/a?raw&wait=120s&index=%d' % index, timeout=130)))
        parked.start()
        with Readers(client, ['/v1/kv/a', '/v1/kv/a?consistent', '/v1/catalog/nodes']) as readers:
            for s in c.servers:
                s.signal(signal.SIGSTOP)
                before = readers.asked
                eventually(lambda: readers.asked > before + 30, 'requests without one server')
                s.signal(signal.SIGCONT)
                c.agree()
        assert not readers.faults, readers.faults[:5]
        assert not answers, 'what waited was answered though nothing changed'
        eventually(lambda: client.put('/v1/kv/a', 'later').body == b'true', 'a write')
        parked.join(agent.DEADLINE)
        assert answers and answers[0].body == b'later', answers


def test_the_cache_answers_while_there_is_no_server(opts):
    with agent.Agent(on(opts, 1), {'node_name': 's1', 'gossip_lan': FAST}) as server, \
            Client(opts, [server]) as client:
        server.start()
        server.wait_leader()
        client.begin()
        register = {'Node': 'n', 'Address': '10.0.0.1', 'Service': {'Service': 'web', 'Port': 1}}
        client.must(client.put('/v1/catalog/register', register))
        client.must(client.request('POST', '/v1/query', {'Name': 'q', 'Service': {'Service': 'web'}}))
        path, query = '/v1/health/service/web?cached', '/v1/query/q/execute?cached'
        first = client.must(client.get(path))
        assert first.headers['X-Cache'] == 'MISS' and 'Age' not in first.headers, first.headers
        client.must(client.get(query))
        register['Service']['Port'] = 2
        client.must(client.put('/v1/catalog/register', register))
        eventually(lambda: client.get(path).json()[0]['Service']['Port'] == 2, 'the refreshed entry')
        assert client.get(path).headers['Age'] == '0'
        server.kill()
        eventually(lambda: int(client.get(path).headers['Age']) >= 1, 'an age that grows')
        stale = client.get(path)
        assert stale.status == 200 and stale.headers['X-Cache'] == 'HIT'
        assert stale.json()[0]['Service']['Port'] == 2
        fresh = {'Cache-Control': 'must-revalidate'}
        assert client.get(query, headers=fresh).status == 500
        fresh['Cache-Control'] += ', stale-if-error=60'
        kept = client.must(client.get(query, headers=fresh))
        assert kept.headers['X-Cache'] == 'HIT' and len(kept.json()['Nodes']) == 1
        server.start()
        eventually(lambda: client.get(path).headers['Age'] == '0', 'contact again', deadline=90)
        register['Service']['Port'] = 3
        eventually(lambda: client.put('/v1/catalog/register', register).status == 200, 'a write')
        eventually(lambda: client.get(path).json()[0]['Service']['Port'] == 3, 'what is new')


def test_equal_watchers_of_the_cache_cost_one_query(opts):
    with agent.Agent(on(opts, 1), {'node_name': 's1', 'gossip_lan': FAST}) as server, \
            Client(opts, [server]) as client:
        server.start()
        server.wait_leader()
        client.begin()
        path = '/v1/catalog/services?cached'
        index = client.must(client.get(path)).index
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            client.get(path + '&wait=60s&index=%d' % index))) for _ in range(50)]
        for t in threads:
            t.start()
        time.sleep(0.2)
        assert not answers
        client.put('/v1/catalog/register', {
            'Node': 'n', 'Address': '10.0.0.1', 'Service': {'Service': 'new'}})
        for t in threads:
            t.join(agent.DEADLINE)
        assert len(answers) == 50
        for a in answers:
            assert a.status == 200 and 'new' in a.json() and a.index > index, a.text()


def test_who_leaves_right_after_its_start_stays_out_of_the_catalog(opts):
    with agent.Agent(on(opts, 1), {'node_name': 's1', 'gossip_lan': FAST}) as server:
        server.start()
        for pause in (0, 0.05, 0.2, 0.5, 1):
            with Client(opts, [server], performance={'leave_drain_time': '200ms'}) as client:
                client.begin()
                client.must(client.put('/v1/agent/service/register', '{"Name": "brief"}'))
                time.sleep(pause)  # the moments differ, nothing is waited for
                client.must(client.put('/v1/agent/leave'))
                assert client.wait_end() == 0
            nodes = lambda: [n['Node'] for n in server.get('/v1/catalog/nodes').json()]
            eventually(lambda: nodes() == ['s1'], 'the node is gone')
            index = server.get('/v1/catalog/nodes').index
            server.get('/v1/catalog/nodes?index=%d&wait=1500ms' % index)
            assert nodes() == ['s1'], 'it came back'
            assert server.get('/v1/catalog/service/brief').json() == []


def test_an_agent_told_to_leave_while_it_comes_stays_out_of_the_catalog(opts):
    with Cluster(opts, 1) as cluster:
        server = cluster.leader()
        for moment in range(8):
            with Client(opts, cluster.servers, leave_on_terminate=True) as client:
                client.spawn()
                client.wait_log('serf: EventMemberJoin: %s ' % server.config['node_name'])
                time.sleep(moment / 10)  # where it is on its way in when it turns back
                client.stop(status=0)
            eventually(lambda: {m['Name']: m['Status'] for m in server.get('/v1/agent/members').json()}[
                'client'] == LEFT, 'the member to have left', deadline=40)
            # The leader is told at once and looks again after a minute.
            eventually(lambda: 'client' not in [
                n['Node'] for n in server.get('/v1/catalog/nodes').json()], 'the node to go', deadline=40)


def test_an_alias_outlives_what_it_looks_at(opts):
    with agent.Agent(on(opts, 1), {'node_name': 's1', 'gossip_lan': FAST}) as server, \
            Client(opts, [server]) as client:
        server.start()
        client.begin()

        def becomes(name, status, output):
            def there():
                check = client.get('/v1/agent/checks').json()[name]
                return check['Status'] == status and output in check['Output']
            eventually(there, '%s to be %s: %s' % (name, status, output))

        node = {'Node': 'far', 'Address': '10.0.0.1', 'Service': {'Service': 'web'},
                'Check': {'CheckID': 'up', 'Name': 'up', 'Status': 'passing'}}
        server.must(server.put('/v1/catalog/register', node))
        for name in ('near', 'watcher'):
            client.must(client.put('/v1/agent/service/register', {'Name': name}))
        targets = {'far web': {'AliasNode': 'far', 'AliasService': 'web'},
                   'far': {'AliasNode': 'far'}, 'near': {'AliasService': 'near'}}
        for name, target in targets.items():
            client.must(client.put('/v1/agent/check/register', dict(
                target, Name=name, ServiceID='watcher')))
        for name in targets:
            becomes(name, 'passing', '')
        # clients name the address too: it means nothing
        service = {'Node': 'far', 'ServiceID': 'web', 'Address': '10.9.9.9'}
        server.must(server.put('/v1/catalog/deregister', service))
        becomes('far web', 'critical', 'Service web could not be found on node far')
        client.must(client.put('/v1/agent/service/deregister/near'))
        becomes('near', 'critical', 'Service near could not be found on node ')
        server.must(server.put('/v1/catalog/register', node))
        becomes('far web', 'passing', 'All checks passing.')
        server.must(server.put('/v1/catalog/deregister', {'Node': 'far'}))
        becomes('far web', 'critical', 'Service web could not be found on node far')
        becomes('far', 'critical', 'could not be found on node far')
        server.must(server.put('/v1/catalog/register', node))
        for name in ('far web', 'far'):
            becomes(name, 'passing', 'All checks passing.')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
