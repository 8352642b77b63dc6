#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Client agents: they answer from their servers, keep their services there, and live through a
server's death and through new certificates."""
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import agent

CLIENTS = 3


class Authority:
    """A CA and certificates of servers and clients, made by the binary under test."""

    def __init__(self, opts):
        self.binary = os.path.abspath(opts.binary)
        self.folder = tempfile.mkdtemp(prefix='consuld-ca-')
        self.run('ca', 'create')
        self.ca = os.path.join(self.folder, 'consul-agent-ca.pem')
        self.made = {'server': 0, 'client': 0}

    def run(self, *words):
        subprocess.run([self.binary, 'tls', *words], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)

    def install(self, a, kind):
        """A fresh certificate for the agent, in place of the one it has."""
        n = self.made[kind]
        self.made[kind] += 1
        self.run('cert', 'create', '-' + kind)
        stem = os.path.join(self.folder, 'dc1-%s-consul-%d' % (kind, n))
        for source, target in ((stem + '.pem', a.cert), (stem + '-key.pem', a.key)):
            shutil.copy(source, target + '.new')
            os.replace(target + '.new', target)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


class Member(agent.Agent):
    def __init__(self, opts, name, kind, server=None, authority=None):
        config = {'node_name': name, 'leave_on_terminate': False}
        if server:
            config.update({'server': False, 'bootstrap': False, 'retry_interval': '1s',
                           'retry_join': ['%s:%d' % (opts.bind, server.config['ports']['serf_lan'])]})
        super().__init__(opts, config)
        self.kind = kind
        self.cert, self.key = (os.path.join(self.folder, f) for f in ('cert.pem', 'key.pem'))
        if authority:
            authority.install(self, kind)
            self.config.update({
                'ca_file': authority.ca, 'cert_file': self.cert, 'key_file': self.key,
                'verify_incoming': True, 'verify_outgoing': True, 'verify_server_hostname': True})
        if server:
            self.config['ports']['server'] = server.config['ports']['server']
        self.write_config('base.json', self.config)

    def begin(self):
        self.spawn()
        self.wait_http()
        agent.eventually(self.knows_leader, 'a leader as %s sees it' % self.kind)
        return self

    def knows_leader(self):
        answer = self.get('/v1/status/leader')
        return answer.status == 200 and answer.body not in (b'""', b'')


class Fleet:
    """One server and its clients."""

    def __init__(self, opts, authority=None):
        self.server = Member(opts, 's1', 'server', authority=authority)
        self.clients = [Member(opts, 'c%d' % i, 'client', self.server, authority)
                        for i in range(1, CLIENTS + 1)]
        self.all = [self.server] + self.clients

    def __enter__(self):
        for a in self.all:
            a.begin()
        return self

    def __exit__(self, kind, value, trace):
        for a in reversed(self.all):
            a.__exit__(kind, value, trace)


def works(a):
    """The agent takes a write and reads it back."""
    try:
        key = '/v1/kv/works/' + a.config['node_name']
        return a.request('PUT', key, 'yes', timeout=10).body == b'true' and \
            a.get(key + '?raw', timeout=10).body == b'yes'
    except (OSError, http.client.HTTPException):
        return False


def test_a_client_answers_from_its_server(opts):
    with Fleet(opts) as f:
        one, two = f.clients[0], f.clients[1]
        assert one.request('PUT', '/v1/kv/a?flags=7', 'x').body == b'true'
        assert two.get('/v1/kv/a').json()[0]['Flags'] == 7
        assert f.server.get('/v1/kv/a?raw').body == b'x'
        assert one.get('/v1/kv/none').status == 404
        big = os.urandom(300000).hex()[:500000]
        assert one.request('PUT', '/v1/kv/big', big).body == b'true'
        assert two.get('/v1/kv/big?raw').text() == big
        answer = one.request('PUT', '/v1/session/create', {'TTL': '1s'})
        assert answer.status == 500 and answer.text().startswith('rpc error making call: Invalid'), \
            answer.text()
        assert two.get('/v1/query/12345678-1234-1234-1234-123456789abc').status == 404
        assert one.get('/v1/kv/a?dc=nowhere').text() == \
            'rpc error making call: No path to datacenter'
        agent.eventually(lambda: {'s1', 'c1', 'c2', 'c3'} == {
            n['Node'] for n in one.get('/v1/catalog/nodes').json()}, 'the nodes of all')


def test_a_blocking_query_crosses_agents(opts):
    with Fleet(opts) as f:
        one, two = f.clients[0], f.clients[1]
        one.request('PUT', '/v1/kv/watched', 'before')
        index = two.get('/v1/kv/watched').index
        answers = []
        threads = [threading.Thread(target=lambda a=a: answers.append(
            a.get('/v1/kv/watched?raw&wait=60s&index=%d' % index))) for a in f.clients * 5]
        for t in threads:
            t.start()
        time.sleep(0.2)
        assert not answers
        f.server.request('PUT', '/v1/kv/watched', 'after')
        for t in threads:
            t.join(agent.DEADLINE)
        assert len(answers) == len(threads)
        assert all(a.body == b'after' and a.index > index for a in answers)
        # one that gives up leaves nothing behind that would harm
        late = one.connect(timeout=0.3)
        try:
            one.get('/v1/kv/watched?wait=60s&index=%d' % answers[0].index, connection=late)
            raise AssertionError('a blocking query came back at once')
        except OSError:
            late.close()
        assert works(one)


def test_services_of_clients_are_kept_in_the_catalog(opts):
    with Fleet(opts) as f:
        for c in f.clients:
            for i in range(10):
                c.request('PUT', '/v1/agent/service/register', {'ID': 'w%d' % i, 'Name': 'web'})
        agent.eventually(lambda: len(f.server.get('/v1/catalog/service/web').json()) ==
                         10 * CLIENTS, 'all instances')
        f.server.request('PUT', '/v1/catalog/deregister', {'Node': 'c1', 'ServiceID': 'w0'})
        f.clients[0].request('PUT', '/v1/agent/service/deregister/w1')
        agent.eventually(lambda: len(f.server.get('/v1/catalog/service/web').json()) <=
                         10 * CLIENTS - 1, 'one instance less')
        for c in f.clients:
            print('%s with 10 services: %d KB' % (c.config['node_name'], memory_kb(c.proc.pid)))


def memory_kb(pid):
    with open('/proc/%d/status' % pid) as f:
        for line in f:
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
    return 0


def restart_under(opts, authority):
    with Fleet(opts, authority) as f:
        for c in f.clients:
            c.request('PUT', '/v1/agent/service/register',
                      {'Name': 'web-' + c.config['node_name'], 'Port': 80})
        agent.eventually(lambda: len(f.server.get('/v1/catalog/services').json()) == 1 + CLIENTS,
                         'the services of all')
        f.server.request('PUT', '/v1/kv/watched', 'before')
        index = f.clients[0].get('/v1/kv/watched').index
        interrupted = []
        parked = threading.Thread(target=lambda: interrupted.append(
            f.clients[0].get('/v1/kv/watched?wait=60s&index=%d' % index)))
        parked.start()
        time.sleep(0.2)
        f.server.kill()
        parked.join(agent.DEADLINE)
        assert interrupted and interrupted[0].status == 500, 'a call outlived its server'
        refused = f.clients[1].get('/v1/kv/watched')
        assert refused.status == 500 and refused.text(), refused.text()
        f.server.begin()
        for c in f.clients:
            agent.eventually(lambda: works(c), 'a client that works again')
        assert len(f.server.get('/v1/catalog/services').json()) == 1 + CLIENTS
        resumed = []
        parked = threading.Thread(target=lambda: resumed.append(
            f.clients[0].get('/v1/kv/watched?raw&wait=60s&index=%d' % index)))
        parked.start()
        time.sleep(0.2)
        assert not resumed
        f.clients[2].request('PUT', '/v1/kv/watched', 'after')
        parked.join(agent.DEADLINE)
        assert resumed and resumed[0].body == b'after'


def test_clients_live_through_the_death_of_their_server(opts):
    restart_under(opts, None)


def test_the_same_with_verified_tls(opts):
    with Authority(opts) as authority:
        restart_under(opts, authority)


def test_new_certificates_cost_no_request(opts):
    with Authority(opts) as authority, Fleet(opts, authority) as f:
        f.server.request('PUT', '/v1/kv/a', 'x')
        faults, done, asked = [], threading.Event(), [0]

        def ask(a):
            while not done.is_set():
                try:
                    answer = a.get('/v1/kv/a?raw')
                    asked[0] += 1
                    if answer.body != b'x':
                        faults.append(answer.text())
                except (OSError, http.client.HTTPException) as e:
                    faults.append(repr(e))

        threads = [threading.Thread(target=ask, args=(a,)) for a in f.clients]
        for t in threads:
            t.start()
        for _ in range(3):
            for a in f.all:
                at = len(a.log())
                authority.install(a, a.kind)
                a.signal(signal.SIGHUP)
                a.wait_log('Caught: signal=hangup', at)
                time.sleep(0.05)
        before = asked[0]
        agent.eventually(lambda: asked[0] > before + 20, 'requests after the last reload')
        done.set()
        for t in threads:
            t.join(agent.DEADLINE)
        print('%d requests while certificates changed' % asked[0])
        assert not faults, faults[:5]


def test_a_client_without_the_ca_is_kept_out(opts):
    with Authority(opts) as authority:
        server = Member(opts, 's1', 'server', authority=authority)
        stranger = Member(opts, 'c1', 'client', server)
        with server, stranger:
            server.begin()
            stranger.spawn()
            agent.eventually(lambda: 'adding server' in stranger.log(), 'gossip to tell of the server')
            answer = stranger.get('/v1/kv/a')
            assert answer.status == 500 and 'rpc error' in answer.text(), answer.text()
            assert works(server)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
