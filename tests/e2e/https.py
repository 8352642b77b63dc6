#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API over TLS: certificates, protocols, bad handshakes, and reloads that drop no request."""
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

import agent


class Authority:
    """A CA and its certificates in a folder, made by the binary under test."""

    def __init__(self, opts):
        self.binary, self.address = os.path.abspath(opts.binary), opts.bind
        self.folder = tempfile.mkdtemp(prefix='consuld-ca-')
        self.run('ca', 'create')
        self.ca = os.path.join(self.folder, 'consul-agent-ca.pem')

    def run(self, *words):
        subprocess.run([self.binary, 'tls', *words], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)

    def pair(self, kind, *more):
        """Paths of a fresh certificate and its key; kind is server or client."""
        before = set(os.listdir(self.folder))
        self.run('cert', 'create', '-' + kind, '-additional-ipaddress=' + self.address, *more)
        made = sorted(set(os.listdir(self.folder)) - before, key=len)
        assert len(made) == 2, made
        return [os.path.join(self.folder, name) for name in made]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


class Server(agent.Agent):
    def __init__(self, opts, authority, **config):
        super().__init__(opts)
        self.authority = authority
        self.cert, self.key = os.path.join(self.folder, 'cert.pem'), os.path.join(self.folder, 'key.pem')
        self.tls_port = agent.free_port(self.address)
        self.install(authority.pair('server'))
        self.config['ports']['https'] = self.tls_port
        self.config.update({'ca_file': authority.ca, 'cert_file': self.cert, 'key_file': self.key})
        self.config.update(config)
        self.write_config('base.json', self.config)

    def install(self, pair):
        for source, target in zip(pair, (self.cert, self.key)):
            shutil.copy(source, target + '.new')
            os.replace(target + '.new', target)

    def context(self, pair=None, protocols=('http/1.1',), latest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
        context = ssl.create_default_context(cafile=self.authority.ca)
        context.maximum_version = latest
        context.check_hostname = True
        context.set_alpn_protocols(list(protocols))
        if pair:
            context.load_cert_chain(*pair)
        return context

    def https(self, pair=None, timeout=agent.DEADLINE):
        return http.client.HTTPSConnection(self.address, self.tls_port, timeout=timeout,
                                           context=self.context(pair))

    def ask(self, method, path, body=None, pair=None):
        connection = self.https(pair)
        try:
            return self.request(method, path, body, connection=connection)
        finally:
            connection.close()

    def tls_socket(self, **kw):
        plain = socket.create_connection((self.address, self.tls_port), agent.DEADLINE)
        return self.context(**kw).wrap_socket(plain, server_hostname=self.address)

    def serial(self):
        """Of the certificate that a new connection is shown."""
        with self.tls_socket() as s:
            return s.getpeercert()['serialNumber']

    def reload(self):
        at = len(self.log())
        self.signal(signal.SIGHUP)
        self.wait_log('Caught: signal=hangup', at)


def test_the_api_over_tls(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        assert server.ask('PUT', '/v1/kv/a', 'x').body == b'true'
        connection = server.https()
        for _ in range(50):
            assert server.get('/v1/kv/a?raw', connection=connection).body == b'x'
        connection.close()
        assert 'Started HTTPS server: address=%s:%d network=tcp' % (server.address, server.tls_port) \
            in server.log()
        with server.tls_socket(protocols=('h2', 'http/1.1')) as s:
            assert s.selected_alpn_protocol() == 'http/1.1' and s.version() == 'TLSv1.3'
        with server.tls_socket(latest=ssl.TLSVersion.TLSv1_2) as s:
            s.sendall(b'GET /v1/kv/a?raw HTTP/1.0\r\n\r\n')
            assert s.version() == 'TLSv1.2' and s.makefile('rb').read().endswith(b'\r\n\r\nx')


def test_a_unix_socket_with_tls(opts):
    with Authority(opts) as ca, Server(opts, ca, tls_min_version='tls13') as server:
        path = os.path.join(server.folder, 'https.sock')
        server.write_config('unix.json', {'addresses': {'https': 'unix://' + path}})
        server.start()
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(path)
        with server.context().wrap_socket(plain, server_hostname='server.dc1.consul') as s:
            s.sendall(b'GET /v1/status/leader HTTP/1.0\r\n\r\n')
            assert s.makefile('rb').read().startswith(b'HTTP/1.0 200 OK')
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(path)
        try:
            server.context(latest=ssl.TLSVersion.TLSv1_2).wrap_socket(
                plain, server_hostname='server.dc1.consul')
            assert False, 'TLS 1.2 is below the minimum'
        except ssl.SSLError:
            server.wait_log('tls: client offered only unsupported versions')


def rsa_pair(folder, address):
    """A self-signed certificate with a key of the older kind."""
    pair = [os.path.join(folder, name) for name in ('rsa.pem', 'rsa.key')]
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3', '-subj',
                    '/CN=rsa', '-addext', 'subjectAltName=IP:' + address, '-out', pair[0],
                    '-keyout', pair[1]], check=True, stderr=subprocess.DEVNULL)
    return pair


def test_certificates_of_other_kinds_and_near_their_end(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        assert 'The certificate' not in server.log()
        server.install(ca.pair('server', '-days=1'))
        server.must(server.put('/v1/agent/reload'))
        server.wait_log('[WARN]  agent.tlsutil: The certificate expires soon: not_after=')
        pair = rsa_pair(ca.folder, server.address)
        server.install(pair)
        server.must(server.put('/v1/agent/reload'))
        ca.ca = pair[0]
        for latest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            server.tls_socket(latest=latest).close()


def test_large_bodies_and_slow_readers(opts):
    value = os.urandom(500000)
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        for n in range(12):
            assert server.ask('PUT', '/v1/kv/big/%d' % n, value).body == b'true'
        assert server.ask('GET', '/v1/kv/big/3?raw').body == value
        whole = server.get('/v1/kv/big/?recurse').body
        with server.tls_socket() as s:
            s.sendall(b'GET /v1/kv/big/?recurse HTTP/1.1\r\nHost: a\r\n\r\n' * 3)
            assert server.get('/v1/status/leader').status == 200  # the server has run into the full socket
            stream, bodies = s.makefile('rb'), []
            for _ in range(3):
                while stream.readline() not in (b'\r\n', b''):
                    pass
                bodies.append(stream.read(len(whole)))
            assert bodies == [whole] * 3
        assert server.alive()


def command(server, *words, **env):
    """Exit status, standard output and error of a command that talks to the server over TLS."""
    done = subprocess.run([server.binary, *words], capture_output=True, text=True, env=dict(
        {'PATH': os.environ['PATH'], 'CONSUL_HTTP_ADDR': 'https://%s:%d' % (
            server.address, server.tls_port)}, **env))
    return done.returncode, done.stdout, done.stderr


def test_commands_over_tls(opts):
    with Authority(opts) as ca, Server(opts, ca, verify_incoming_https=True) as server:
        server.start()
        cert, key = ca.pair('client')
        mine = ('-client-cert=' + cert, '-client-key=' + key)
        assert command(server, 'kv', 'put', '-ca-file=' + ca.ca, *mine, 'a', 'b' * 100000)[0] == 0
        assert command(server, 'kv', 'get', '-ca-file=' + ca.ca, *mine, 'a') == (0, 'b' * 100000 + '\n', '')
        assert command(server, 'kv', 'get', 'a', CONSUL_CACERT=ca.ca, CONSUL_CLIENT_CERT=cert,
                       CONSUL_CLIENT_KEY=key)[1] == 'b' * 100000 + '\n'
        assert command(server, 'kv', 'get', *mine, 'a', CONSUL_HTTP_SSL_VERIFY='false')[0] == 0
        assert 'x509: certificate signed by unknown authority' in command(server, 'kv', 'get', *mine, 'a')[2]
        assert 'certificate required' in command(server, 'kv', 'get', '-ca-file=' + ca.ca, 'a')[2]
        assert 'not other.test' in command(
            server, 'kv', 'get', '-ca-file=' + ca.ca, '-tls-server-name=other.test', *mine, 'a')[2]
        assert command(server, 'kv', 'get', '-ca-file=' + ca.ca,
                       '-tls-server-name=server.dc1.consul', *mine, 'a')[0] == 0
        assert 'open /no/ca.pem: no such file or directory' in command(
            server, 'kv', 'get', '-ca-file=/no/ca.pem', 'a')[2]
        plain = {'CONSUL_HTTP_ADDR': '%s:%d' % (server.address, server.port), 'CONSUL_HTTP_SSL': '1'}
        assert 'tls: first record does not look like a TLS handshake' in command(
            server, 'kv', 'get', 'a', **plain)[2]


def refused(server, **kw):
    """The handshake fails, or the first answer does where TLS 1.3 tells later."""
    try:
        with server.tls_socket(**kw) as s:
            s.sendall(b'GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n')
            assert s.recv(1000) == b'', 'an answer'
    except (ssl.SSLError, ConnectionError):
        pass


def test_other_protocols_are_refused(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        refused(server, protocols=('h2',))
        server.wait_log('unsupported application protocols')
        plain = server.request('GET', '/', connection=http.client.HTTPConnection(
            server.address, server.tls_port))
        assert plain.status == 400
        assert plain.text() == 'Client sent an HTTP request to an HTTPS server.\n', plain.text()


def test_client_certificates(opts):
    with Authority(opts) as ca, Authority(opts) as stranger:
        with Server(opts, ca, verify_incoming_https=True) as server:
            server.start()
            refused(server)
            refused(server, pair=stranger.pair('client'))
            assert server.ask('GET', '/v1/status/leader', pair=ca.pair('client')).status == 200
            assert server.get('/v1/status/leader').status == 200
            # a server's certificate is good for clients too
            assert server.ask('GET', '/v1/status/leader', pair=ca.pair('server')).status == 200


def test_half_handshakes_end_in_time_and_disturb_nobody(opts):
    limits = {'https_handshake_timeout': '2s', 'http_max_conns_per_client': 400}
    with Authority(opts) as ca, Server(opts, ca, limits=limits) as server:
        server.start()
        halves = []
        for n in range(150):
            s = socket.create_connection((server.address, server.tls_port))
            s.sendall([b'', b'\x16', b'\x16\x03\x01\x02\x00\x01\x00'][n % 3])
            halves.append(s)
        assert server.ask('GET', '/v1/status/leader').status == 200
        for s in halves:
            s.settimeout(agent.DEADLINE)
            try:
                assert s.recv(100) == b''
            except ConnectionError:
                pass
            s.close()
        server.wait_log('i/o timeout')
        assert server.ask('GET', '/v1/status/leader').status == 200


def test_a_reload_changes_the_certificate_and_drops_no_request(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        old = server.serial()
        kept = server.https()
        server.put('/v1/kv/n', '0', connection=kept)
        waited = []
        index = server.get('/v1/kv/n').index

        def wait():
            connection = server.https()
            waited.append(server.get('/v1/kv/n?raw&wait=5m&index=%d' % index,
                                     connection=connection).body)
            connection.close()

        thread = threading.Thread(target=wait)
        thread.start()
        done, faults, stop = [0], [], threading.Event()

        def load():
            fresh = None
            while not stop.is_set():
                try:
                    if done[0] % 5 == 0:
                        fresh = server.https()
                    assert server.get('/v1/status/leader', connection=fresh).status == 200
                    done[0] += 1
                except Exception as why:  # pylint: disable=broad-except
                    faults.append(repr(why))
                    return
        loads = [threading.Thread(target=load) for _ in range(4)]
        for t in loads:
            t.start()
        serials = {old}
        for _ in range(5):
            server.install(ca.pair('server'))
            server.reload()
            agent.eventually(lambda: server.serial() not in serials, 'the new certificate')
            serials.add(server.serial())
            at = done[0]
            agent.eventually(lambda: done[0] > at + 20 or faults, 'more requests')
        stop.set()
        for t in loads:
            t.join()
        assert not faults, faults
        assert server.put('/v1/kv/n', 'woken', connection=kept).body == b'true'
        kept.close()
        thread.join()
        assert waited == [b'woken'], waited


def test_a_reload_with_bad_material_changes_nothing(opts):
    with Authority(opts) as ca, Authority(opts) as stranger, Server(opts, ca) as server:
        server.start()
        old, good = server.serial(), open(server.cert).read()
        for text in ('nonsense', '', open(stranger.pair('server')[0]).read()):
            with open(server.cert, 'w') as f:
                f.write(text)
            at = len(server.log())
            server.reload()
            server.wait_log('Reload config failed: error="Failed to load cert/key pair: tls: ', at)
            assert server.serial() == old
        with open(server.cert, 'w') as f:
            f.write(good)
        server.write_config('z.json', {'verify_incoming': True, 'ca_file': ''})
        at = len(server.log())
        server.reload()
        server.wait_log('VerifyIncoming set but no CA certificates were provided', at)
        assert server.ask('GET', '/v1/status/leader').status == 200
        # a client must show a certificate from now on
        server.write_config('z.json', {'verify_incoming_https': True})
        at = len(server.log())
        server.must(server.put('/v1/agent/reload'))
        refused(server)
        assert server.ask('GET', '/v1/status/leader', pair=ca.pair('client')).status == 200


def test_bad_material_refuses_the_start(opts):
    with Authority(opts) as ca:
        server = Server(opts, ca, ca_file='/does/not/exist')
        server.spawn()
        assert server.wait_end() == 1
        assert server.log() == '==> Error loading from /does/not/exist: open /does/not/exist: ' \
                               'no such file or directory\n', server.log()
        server.close()


def check_state(server, name):
    check = server.get('/v1/agent/checks').json().get(name, {})
    return check.get('Status'), check.get('Output', '')


def test_checks_over_https(opts):
    def check(name, **more):
        url = 'https://%s:%d/v1/status/leader' % (opts.bind, server.tls_port)
        server.must(server.put('/v1/agent/check/register', dict(
            {'Name': name, 'ID': name, 'HTTP': url, 'Interval': '100ms'}, **more)))

    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        check('strict')
        check('lax', TLSSkipVerify=True)
        check('wrong', HTTP='https://%s:%d/' % (opts.bind, server.port))
        agent.eventually(lambda: check_state(server, 'lax')[0] == 'passing', 'a passing check')
        agent.eventually(lambda: 'x509: certificate signed by unknown authority' in
                         check_state(server, 'strict')[1], 'a refused certificate')
        agent.eventually(lambda: 'first record does not look like a TLS handshake' in
                         check_state(server, 'wrong')[1], 'a refused answer')
        assert check_state(server, 'strict')[0] == 'critical'
        # the agent's own CA, from the next run on; it wants the agent's name too
        server.write_config('tls.json', {'enable_agent_tls_for_checks': True,
                                         'server_name': 'server.dc1.consul'})
        server.must(server.put('/v1/agent/reload'))
        agent.eventually(lambda: check_state(server, 'strict')[0] == 'passing', 'a passing check')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
