#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The TLS options between a server and a client agent: what each combination lets through, what it
refuses, and what is refused at the start already; rights on the unix sockets of the API."""
import os
import pwd
import socket
import ssl
import stat
import sys

import agent
from https import Authority

OUTGOING = {'verify_outgoing': True}
INCOMING = {'verify_incoming': True}
NAMES = {'verify_outgoing': True, 'verify_server_hostname': True}
CLIENT = {'server': False, 'bootstrap': False, 'auto_encrypt': {'tls': True}}


def files(authority, pair=None):
    out = {'ca_file': authority.ca}
    if pair:
        out.update({'cert_file': pair[0], 'key_file': pair[1]})
    return out


class Pair:
    """A server and a client agent that hears of it, whatever TLS lets them say to each other."""

    def __init__(self, opts, server, client):
        self.server = agent.Agent(opts, dict({'node_name': 's1'}, **server))
        self.client = agent.Agent(opts, dict({
            'node_name': 'c1', 'server': False, 'bootstrap': False, 'retry_interval': '1s',
            'performance': {'rpc_hold_timeout': '1s'}, 'leave_on_terminate': False,
            'retry_join': ['%s:%d' % (opts.bind, self.server.config['ports']['serf_lan'])]}, **client))
        self.client.config['ports']['server'] = self.server.config['ports']['server']
        self.client.write_config('base.json', self.client.config)

    def __enter__(self):
        self.server.start()
        self.client.spawn()
        self.client.wait_http()
        self.client.wait_log('adding server')
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.client.stop()
        self.client.close()
        self.server.__exit__(kind, value, trace)


def talks(opts, server, client):
    with Pair(opts, server, client) as pair:
        assert pair.client.put('/v1/kv/a', 'x').body == b'true', pair.client.tail()
        assert pair.server.get('/v1/kv/a?raw').body == b'x'
        archive = pair.client.get('/v1/snapshot')
        assert archive.status == 200 and archive.body[:2] == b'\x1f\x8b'
        pair.client.wait_log('Synced node info')


def is_kept_out(opts, server, client, why):
    with Pair(opts, server, client) as pair:
        told = []

        def refused():
            # who waits for a dial of another call hears only that it failed
            answer = pair.client.put('/v1/kv/a', 'x')
            told.append((answer.status, answer.text()))
            return why in answer.text()
        agent.eventually(refused, 'a refusal with ' + why)
        assert all(status == 500 for status, _ in told), told
        assert pair.server.get('/v1/kv/a').status == 404


def test_combinations_that_talk(opts):
    with Authority(opts) as ca:
        server, client = ca.pair('server'), ca.pair('client')
        both = dict(INCOMING, **NAMES)
        talks(opts, {}, {})
        talks(opts, files(ca, server), {})
        talks(opts, files(ca, server), dict(files(ca), **OUTGOING))
        talks(opts, dict(files(ca, server), verify_incoming_https=True, **NAMES), {})
        talks(opts, dict(files(ca, server), **both), dict(files(ca, client), **both))
        talks(opts, dict(files(ca, server), verify_incoming_rpc=True, tls_min_version='tls13', **NAMES),
              dict(files(ca, client), **NAMES))
        talks(opts, dict(files(ca, server), **both), dict(files(ca, client), **OUTGOING))
        folder = os.path.join(ca.folder, 'authorities')
        os.makedirs(os.path.join(folder, 'deep'))
        os.rename(ca.ca, os.path.join(folder, 'deep', 'one.pem'))
        path = {'ca_path': folder, 'ca_file': ''}
        talks(opts, dict(files(ca, server), **dict(both, **path)),
              dict(files(ca, client), **dict(both, **path)))


def test_combinations_that_do_not(opts):
    with Authority(opts) as ca, Authority(opts) as stranger:
        server, client = ca.pair('server'), ca.pair('client')
        strict = dict(files(ca, server), **dict(INCOMING, **NAMES))
        is_kept_out(opts, strict, {}, 'rpc error')
        is_kept_out(opts, strict, dict(files(ca), **NAMES), 'rpc error')
        is_kept_out(opts, strict, dict(files(stranger, stranger.pair('client')), **OUTGOING),
                    'x509: certificate signed by unknown authority')
        is_kept_out(opts, dict(files(ca, client), **OUTGOING), dict(files(ca), **NAMES),
                    'not server.dc1.consul')
        is_kept_out(opts, {}, dict(files(ca), **OUTGOING), 'rpc error')


def handshake(a, latest=None, ciphers=None):
    """Version and suite that the server's port takes."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if latest:
        context.maximum_version = latest
    if ciphers:
        context.set_ciphers(ciphers)
    s = socket.create_connection((a.address, a.config['ports']['server']), agent.DEADLINE)
    s.sendall(b'\x03')
    with context.wrap_socket(s) as secured:
        return secured.version(), secured.cipher()[0]


def is_refused(a, **kw):
    try:
        handshake(a, **kw)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def test_versions_and_suites(opts):
    with Authority(opts) as ca:
        options = files(ca, ca.pair('server'))
        first, second = 'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'
        v12 = ssl.TLSVersion.TLSv1_2
        with agent.Agent(opts, dict(options, tls_min_version='tls13')) as a:
            a.start()
            assert handshake(a)[0] == 'TLSv1.3'
            assert is_refused(a, latest=v12)
        go = 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'
        with agent.Agent(opts, dict(options, tls_cipher_suites=go.split(',')[0])) as a:
            a.start()
            assert handshake(a, v12) == ('TLSv1.2', second)
            assert is_refused(a, latest=v12, ciphers=first)
        with agent.Agent(opts, dict(options, tls_cipher_suites=go,
                                    tls_prefer_server_cipher_suites=True)) as a:
            a.start()
            assert handshake(a, v12, '%s:%s' % (first, second)) == ('TLSv1.2', second)


def test_refused_at_the_start(opts):
    with Authority(opts) as ca:
        cert, key = ca.pair('server')
        other = ca.pair('client')[1]
        folder = os.path.join(ca.folder, 'empty')
        os.mkdir(folder)
        for options, why in (
                (OUTGOING, 'VerifyOutgoing set, and no CA certificate provided!'),
                (INCOMING, 'VerifyIncoming set but no CA certificates were provided'),
                ({'verify_incoming_https': True, 'ca_file': ca.ca},
                 'VerifyIncoming requires either a Cert and Key pair in the configuration file'),
                ({'ca_file': '/does/not/exist'}, 'no such file or directory'),
                ({'ca_path': folder}, 'no CAs found'),
                ({'cert_file': cert, 'key_file': other}, 'Failed to load cert/key pair: tls: '),
                ({'tls_min_version': 'tls9'}, 'TLSMinVersion: value tls9 not supported'),
                ({'tls_cipher_suites': 'TLS_NONE'}, 'unsupported cipher "TLS_NONE"'),
                (dict(CLIENT, **OUTGOING), 'VerifyOutgoing set, and no CA certificate provided!'),
                (dict(CLIENT, **INCOMING), 'VerifyIncoming set but no CA certificates were provided'),
                ({'auto_encrypt': {'allow_tls': True}, 'verify_incoming': True, 'ca_file': ca.ca},
                 'VerifyIncoming requires either a Cert and Key pair in the configuration file'),
                ({'auto_encrypt': {'tls': True}}, 'auto_encrypt.tls can only be used on a client.'),
                ({'server': False, 'bootstrap': False, 'auto_encrypt': {'allow_tls': True}},
                 'auto_encrypt.allow_tls can only be used on a server.'),
                ({'server': False, 'bootstrap': False, 'ca_file': ca.ca, 'verify_outgoing': True,
                  'auto_config': {'enabled': True, 'intro_token': 'x', 'server_addresses': ['x']}},
                 'auto_config.enabled is not available in this build yet')):
            a = agent.Agent(opts, options)
            a.spawn()
            assert a.wait_end() == 1 and why in a.log(), (options, a.log())
            a.close()


def test_rights_on_unix_sockets(opts):
    owner = pwd.getpwuid(os.getuid())
    sockets = {'user': owner.pw_name, 'group': str(os.getgid()), 'mode': '0640'}
    with agent.Agent(opts) as a:
        path = os.path.join(a.folder, 'api.sock')
        a.write_config('unix.json', {'addresses': {'http': 'unix://' + path}, 'unix_sockets': sockets})
        a.spawn()
        a.wait_log('Consul agent running!')
        found = os.stat(path)
        assert stat.S_IMODE(found.st_mode) == 0o640 and found.st_uid == owner.pw_uid
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(b'GET /v1/agent/self HTTP/1.0\r\n\r\n')
        assert s.makefile('rb').read().startswith(b'HTTP/1.0 200 OK')
        s.close()
    for change, why in (({'user': 'nobody-of-this-name'}, 'unknown user nobody-of-this-name'),
                        ({'mode': '9'}, 'invalid mode specified'),
                        ({'group': 'staff-x'}, 'invalid group specified: staff-x')):
        a = agent.Agent(opts)
        a.write_config('unix.json', {
            'addresses': {'http': 'unix://' + os.path.join(a.folder, 'api.sock')},
            'unix_sockets': dict(sockets, **change)})
        a.spawn()
        assert a.wait_end() == 1 and 'Failed setting up socket: ' in a.log() and why in a.log(), a.log()
        a.close()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
