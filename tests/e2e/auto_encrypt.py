#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Client agents that get their certificate from the servers: before they join, through whichever
server is asked, again when the authority changes; and what is refused."""
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

import agent
from https import Authority

STRICT = {'verify_incoming': True, 'verify_outgoing': True, 'verify_server_hostname': True}


def server(opts, ca, **config):
    pair = ca.pair('server')
    return agent.Agent(opts, dict({
        'node_name': 's1', 'ca_file': ca.ca, 'cert_file': pair[0], 'key_file': pair[1],
        'auto_encrypt': {'allow_tls': True}, 'leave_on_terminate': False}, **dict(STRICT, **config)))


def client(opts, of, **config):
    """Of a server: it joins there, and asks there for its certificate."""
    a = agent.Agent(opts, dict({
        'node_name': 'c1', 'server': False, 'bootstrap': False, 'retry_interval': '1s',
        'auto_encrypt': {'tls': True, 'dns_san': ['one.test'], 'ip_san': ['10.1.2.3']},
        'performance': {'rpc_hold_timeout': '1s'}, 'leave_on_terminate': False,
        'retry_join': ['%s:%d' % (of.address, of.config['ports']['serf_lan'])]}, **config))
    a.config['ports']['server'] = of.config['ports']['server']
    a.config['ports']['https'] = a.tls_port = agent.free_port(a.address)
    a.write_config('base.json', a.config)
    return a


def roots(a):
    return {r['ID']: r for r in a.get('/v1/connect/ca/roots').json()['Roots'] or []}


def served(a):
    """The certificate behind the client's HTTPS, verified by the authority's roots."""
    pems = ''.join(r['RootCert'] for r in roots(a).values())
    context = ssl.create_default_context(cadata=pems)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with context.wrap_socket(socket.create_connection((a.address, a.tls_port), 30)) as s:
        return s.getpeercert()


def subject(names):
    return dict(pair for one in names for pair in one)['commonName']


def serves(a):
    return a.put('/v1/kv/a', 'x').body == b'true'


def test_a_client_has_its_certificate_before_it_joins(opts):
    with Authority(opts) as ca, server(opts, ca) as s, client(opts, s) as c:
        s.start()
        c.spawn()
        c.wait_http()
        agent.eventually(lambda: serves(c), 'a write through the client')
        domain = c.get('/v1/connect/ca/roots').json()['TrustDomain']
        found = served(c)
        assert subject(found['subject']) == 'c1.agnt.%s.consul' % domain[:8], found
        assert found['subjectAltName'] == (
            ('DNS', 'localhost'), ('DNS', 'one.test'), ('IP Address', '127.0.0.1'),
            ('IP Address', '0:0:0:0:0:0:0:1'), ('IP Address', '10.1.2.3'),
            ('URI', 'spiffe://%s/agent/client/dc/dc1/id/c1' % domain)), found
        assert c.get('/v1/snapshot').body[:2] == b'\x1f\x8b'
        c.wait_log('Synced node info')
        log = c.log()
        assert log.index('automatically upgraded to TLS') < log.index('(LAN) joining')
        # a reload keeps what was given
        c.signal(signal.SIGHUP)
        c.wait_log('Caught: signal=hangup')
        agent.eventually(lambda: serves(c), 'a write after the reload')
        assert served(c)['serialNumber'] == found['serialNumber']


def test_it_asks_until_a_server_answers(opts):
    with Authority(opts) as ca, server(opts, ca) as s, client(opts, s) as c:
        c.spawn()
        c.wait_log('No servers successfully responded to the auto-encrypt request')
        c.signal(signal.SIGHUP)
        c.wait_log('cannot reload before agent started')
        s.start()
        c.wait_http()
        agent.eventually(lambda: serves(c), 'a write through the client')


def test_it_can_be_stopped_while_it_asks(opts):
    with Authority(opts) as ca:
        never_started = server(opts, ca)
        with client(opts, never_started) as c:
            c.spawn()
            c.wait_log('AutoEncrypt.Sign RPC failed')
            c.signal(signal.SIGTERM)
            assert c.wait_end() == 1
            c.check_log()
            assert 'interrupted during retrieval of auto-encrypt certificates' in c.log()
        never_started.close()


def test_a_server_that_does_not_allow_it_says_so(opts):
    with Authority(opts) as ca, \
            server(opts, ca, auto_encrypt={}, connect={'enabled': True}) as s, client(opts, s) as c:
        s.start()
        c.spawn()
        c.wait_log('AutoEncrypt.AllowTLS must be enabled in order to use this endpoint')


def test_a_server_of_another_authority_is_not_asked(opts):
    with Authority(opts) as ca, Authority(opts) as other, server(opts, ca) as s, \
            client(opts, s, ca_file=other.ca) as c:
        s.start()
        c.spawn()
        c.wait_log('x509: certificate signed by unknown authority')


def test_a_follower_passes_the_request_on(opts):
    with Authority(opts) as ca:
        first = server(opts, ca, bootstrap=False, bootstrap_expect=2)
        second = server(opts, ca, node_name='s2', bootstrap=False, bootstrap_expect=2)
        second.write_config('join.json', {
            'retry_join': ['%s:%d' % (first.address, first.config['ports']['serf_lan'])],
            'retry_interval': '1s'})
        with first, second:
            first.spawn()
            second.spawn()
            first.wait_leader()
            second.wait_leader()
            leader = first.get('/v1/status/leader').json()
            follower = second if leader.endswith(':%d' % first.config['ports']['server']) else first
            agent.eventually(lambda: follower.get('/v1/connect/ca/roots').status == 200, 'roots')
            with client(opts, follower) as c:
                c.spawn()
                c.wait_http()
                agent.eventually(lambda: serves(c), 'a write through the client')


def connect_pair(s, name):
    """Files of a certificate that the authority of Connect signed: any service has one."""
    leaf = s.get('/v1/agent/connect/ca/leaf/' + name).json()
    paths = [os.path.join(s.folder, 'leaf%s.pem' % what) for what in ('', '-key')]
    for path, key in zip(paths, ('CertPEM', 'PrivateKeyPEM')):
        with open(path, 'w') as f:
            f.write(leaf[key])
    return paths


def ends(s, pair, ca):
    """Does the server end what claims to be raft? It waits for more from another server."""
    context = ssl.create_default_context(cafile=ca.ca)
    context.load_cert_chain(*pair)
    plain = socket.create_connection((s.address, s.config['ports']['server']), 30)
    plain.sendall(b'\x03')
    with context.wrap_socket(plain, server_hostname='server.dc1.consul') as secured:
        # an unknown kind of message, which ends a connection of raft too, with a line of its own
        secured.sendall(b'\x01\xff')
        try:
            return secured.recv(100) == b''
        except OSError:
            return True


def test_the_certificates_of_services_are_none_of_servers(opts):
    with Authority(opts) as ca, server(opts, ca) as s:
        s.start()
        agent.eventually(lambda: roots(s), 'a root')
        refusal = 'raft is for servers of the datacenter'
        assert ends(s, ca.pair('server'), ca) and refusal not in s.log()
        assert ends(s, connect_pair(s, 'web'), ca)
        s.wait_log(refusal)


def new_key():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'key.pem')
        subprocess.run(['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out',
                        path], check=True, stderr=subprocess.DEVNULL)
        with open(path) as f:
            return f.read()


def test_a_new_root_brings_a_new_certificate(opts):
    with Authority(opts) as ca, server(opts, ca) as s, client(opts, s) as c:
        s.start()
        c.spawn()
        c.wait_http()
        agent.eventually(lambda: serves(c), 'a write through the client')
        before = served(c)
        old = set(roots(s))
        config = s.get('/v1/connect/ca/configuration').json()
        config['Config']['PrivateKey'] = new_key()
        s.must(s.put('/v1/connect/ca/configuration', config))
        agent.eventually(lambda: set(roots(c)) > old, 'the new root at the client')
        agent.eventually(lambda: served(c)['issuer'] != before['issuer'],
                         'a certificate of the new root', every=0.5)
        # which has a connection of its own
        assert c.get('/v1/snapshot').body[:2] == b'\x1f\x8b'


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
