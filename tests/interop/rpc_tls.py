# SPDX-License-Identifier: Apache-2.0
"""Port 8300 over TLS: behind the first byte 0x03, native with ALPN, and for agents without a
certificate; what must be refused is closed without an answer."""
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
import agent  # noqa: E402
import rpcwire  # noqa: E402


class Authority:
    """A CA with a certificate of a server and of a client, made by the binary under test."""

    def __init__(self, opts):
        self.binary = os.path.abspath(opts.binary)
        self.folder = tempfile.mkdtemp(prefix='consuld-ca-')
        self.run('ca', 'create')
        self.run('cert', 'create', '-server')
        self.run('cert', 'create', '-client')
        path = lambda name: os.path.join(self.folder, name)
        self.ca = path('consul-agent-ca.pem')
        self.server = path('dc1-server-consul-0.pem'), path('dc1-server-consul-0-key.pem')
        self.client = path('dc1-client-consul-0.pem'), path('dc1-client-consul-0-key.pem')

    def run(self, *words):
        subprocess.run([self.binary, 'tls', *words], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def context(self, certificate=True, alpn=None):
        c = ssl.create_default_context(cafile=self.ca)
        if certificate:
            c.load_cert_chain(*self.client)
        if alpn:
            c.set_alpn_protocols([alpn])
        return c


def server(opts, authority, **config):
    a = agent.Agent(opts, dict({
        'ca_file': authority.ca, 'cert_file': authority.server[0], 'key_file': authority.server[1],
        'limits': {'rpc_handshake_timeout': '2s'}}, **config))
    a.rpc = a.config['ports']['server']
    return a


def dial(opts, a, first=b''):
    s = socket.create_connection((opts.bind, a.rpc), timeout=agent.DEADLINE)
    s.sendall(first)
    return s


def secured(opts, a, context, first=b'\x03', inner=b''):
    s = context.wrap_socket(dial(opts, a, first), server_hostname='server.dc1.consul')
    s.sendall(inner)
    return s


def ping(sock):
    mux = rpcwire.Mux(None, None, sock=sock)
    assert mux.open().call('Status.Ping', {}) == ('', {})
    sock.close()


def ends(action):
    """True if the peer ends the connection without a byte."""
    try:
        s = action()
        data = s.recv(1000)
        s.close()
        return data == b''
    except TimeoutError:
        return False
    except (OSError, ssl.SSLError):
        return True


def test_tls_behind_the_first_byte(opts):
    with Authority(opts) as ca, server(opts, ca) as a:
        a.start()
        ping(secured(opts, a, ca.context(), inner=b'\x04'))
        ping(secured(opts, a, ca.context(certificate=False), inner=b'\x04'))
        ping(dial(opts, a, b'\x04'))
        single = secured(opts, a, ca.context(), inner=b'\x00')
        single.sendall(rpcwire.pack({'Seq': 3, 'ServiceMethod': 'Status.Leader'}) +
                       rpcwire.pack({'Datacenter': 'dc1'}))
        header, body, _, _, _ = rpcwire.read_reply(lambda: single.recv(4096))
        assert header['Seq'] == 3 and body.endswith(b':%d' % a.rpc), (header, body)
        for inner in (b'\x03', b'\x07', b'\x02', b'\x06', b'\x42'):
            assert ends(lambda: secured(opts, a, ca.context(), inner=inner)), inner


def test_verified_clients_alone(opts):
    with Authority(opts) as ca, server(opts, ca, verify_incoming=True, verify_outgoing=True) as a:
        a.start()
        ping(secured(opts, a, ca.context(), inner=b'\x04'))
        assert ends(lambda: secured(opts, a, ca.context(certificate=False), inner=b'\x04'))
        for first in (b'\x00', b'\x01', b'\x04', b'\x05'):
            assert ends(lambda: dial(opts, a, first)), first
        a.wait_log('Non-TLS connection attempted with VerifyIncoming set')


def test_raft_is_for_servers(opts):
    with Authority(opts) as ca, server(opts, ca, verify_incoming=True, verify_outgoing=True,
                                       verify_server_hostname=True) as a:
        a.start()
        assert ends(lambda: secured(opts, a, ca.context(), inner=b'\x01\xff'))
        a.wait_log('raft is for servers of the datacenter')
        ping(secured(opts, a, ca.context(), inner=b'\x04'))


def test_native_tls(opts):
    with Authority(opts) as ca, server(opts, ca) as a:
        a.start()
        ping(secured(opts, a, ca.context(alpn='consul/rpc-multi'), first=b''))
        assert ends(lambda: secured(opts, a, ca.context(False, 'consul/rpc-multi'), first=b''))
        for name in ('consul/rpc-gossip', 'h2', None):
            assert ends(lambda: secured(opts, a, ca.context(alpn=name), first=b'')), name
        snapshot = secured(opts, a, ca.context(alpn='consul/rpc-snapshot'), first=b'')
        snapshot.sendall(rpcwire.pack({'Datacenter': 'dc1', 'Op': 0, 'AllowStale': False,
                                       'Token': ''}))
        answer, at, data = None, 0, b''
        while answer is None:
            data += snapshot.recv(65536)
            try:
                answer, at = rpcwire.unpack(data)
            except rpcwire.Short:
                pass
        assert answer['Error'] == b'' and answer['Index'] > 0, answer


def test_agents_without_a_certificate(opts):
    with Authority(opts) as ca, server(opts, ca, verify_incoming=True, verify_outgoing=True) as a:
        a.start()
        s = secured(opts, a, ca.context(certificate=False), first=b'\x07')
        s.sendall(rpcwire.pack({'Seq': 1, 'ServiceMethod': 'Status.Ping'}) + b'\x80')
        header, _, _, _, _ = rpcwire.read_reply(lambda: s.recv(4096))
        assert header['Error'] == b"rpc: can't find service Status.Ping", header


def test_half_handshakes_end_in_time(opts):
    with Authority(opts) as ca, server(opts, ca) as a:
        a.start()
        hello = b'\x16\x03\x01\x02\x00\x01'
        waiting = [dial(opts, a, first) for first in (b'\x03', b'\x03' + hello, hello, b'')]
        garbage = [dial(opts, a, b'\x03' + b'G' * 1000), dial(opts, a, b'\xff' * 1000)]
        for s in waiting + garbage:
            assert ends(lambda: s)
        ping(secured(opts, a, ca.context(), inner=b'\x04'))


def test_without_a_certificate_tls_is_refused(opts):
    with agent.Agent(opts) as a:
        a.rpc = a.config['ports']['server']
        a.start()
        assert ends(lambda: dial(opts, a, b'\x03'))
        assert ends(lambda: dial(opts, a, b'\x16\x03\x01'))
        a.wait_log('server not configured for TLS')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
