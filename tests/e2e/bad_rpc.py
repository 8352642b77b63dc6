#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input at the servers' port: the connection ends with one line that names the peer and the
reason, and a counter; another connection and its waiting query notice nothing."""
import os
import re
import socket
import ssl
import struct
import subprocess
import sys

import agent
from https import Authority
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'interop'))
import rpcwire  # noqa: E402
from rpcwire import ACK, DATA, FIN, GOAWAY, PING, SYN, WINDOW  # noqa: E402

CLIENTS_MAX = 40
HELLO = b'\x16\x03\x01\x02\x00\x01'


class Server(agent.Agent):
    """With TLS where an authority is given, and a peer that is to notice nothing of what follows."""

    def __init__(self, opts, authority=None, **config):
        limits = {'rpc_handshake_timeout': '2s', 'rpc_max_conns_per_client': CLIENTS_MAX}
        telemetry = {'prometheus_retention_time': '1h'}
        super().__init__(opts, dict({'limits': limits, 'telemetry': telemetry}, **config))
        self.rpc = self.config['ports']['server']
        self.authority = authority
        if authority:
            cert, key = authority.pair('server')
            self.client = authority.pair('client')
            self.write_config('tls.json', {'ca_file': authority.ca, 'cert_file': cert,
                                           'key_file': key})

    def start(self):
        super().start()
        self.mux = rpcwire.Mux(self.address, self.rpc)
        self.put('/v1/kv/watched', 'x')
        self.waiting = self.mux.open()
        self.waiting.send(rpcwire.pack({'Seq': 9, 'ServiceMethod': 'KVS.Get'}) + rpcwire.pack(
            {'Datacenter': 'dc1', 'Key': 'watched',
             'MinQueryIndex': self.get('/v1/kv/watched').index}))
        return self

    def unharmed(self):
        assert self.alive(), self.tail()
        stream = self.mux.open()
        assert stream.call('Status.Ping', {}) == ('', {})
        stream.finish()
        assert not self.waiting.data and not self.waiting.ended

    def finish(self):
        """The query that waited through it all comes back."""
        self.unharmed()
        self.put('/v1/kv/watched', 'y')
        header, body, _ = self.waiting.reply()
        assert header['Error'] == b'' and body['Entries'][0]['Value'] == b'y'
        self.mux.close()

    def counter(self, name):
        """Since the start; one that never counted has no line yet."""
        text = self.get('/v1/agent/metrics?format=prometheus').body.decode()
        line = re.search(r'^consul_%s (\d+)' % name.replace('.', '_'), text, re.M)
        return int(line.group(1)) if line else 0

    def dial(self, data=b'', source=None):
        s = socket.create_connection((self.address, self.rpc), agent.DEADLINE,
                                     (source or self.address, 0))
        s.sendall(data)
        return s

    def session(self):
        return rpcwire.Mux(None, None, sock=self.dial(b'\x04'))

    def context(self, pair=None, alpn=None):
        c = ssl.create_default_context(cafile=self.authority.ca)
        if pair:
            c.load_cert_chain(*pair)
        if alpn:
            c.set_alpn_protocols([alpn])
        return c

    def secured(self, first=b'\x03', inner=b'', pair=None, alpn=None):
        return Begun(self.context(pair, alpn).wrap_socket(
            self.dial(first), do_handshake_on_connect=False,
            server_hostname='server.dc1.consul'), inner)


class Begun:
    """A TLS connection whose handshake may fail: looks like a socket to `ended`."""

    def __init__(self, s, inner):
        self.s, self.inner, self.name = s, inner, s.getsockname()

    def getsockname(self):
        return self.name

    def recv(self, n):
        if self.inner is not None:
            self.s.do_handshake()
            self.s.sendall(self.inner)
            self.inner = None
        return self.s.recv(n)

    def close(self):
        self.s.close()


def drained(s):
    """What comes until the end, which must come."""
    got = b''
    try:
        while True:
            part = s.recv(1 << 16)
            if not part:
                return got
            got += part
    except (ConnectionError, ssl.SSLError):
        return got


def one_line(server, number, reason, at):
    """Exactly one line of the log speaks of the connection from this port, and says why."""
    pattern = re.compile(r'\[(ERROR|WARN)\].*from=%s:%d\b.*' % (re.escape(server.address), number))
    lines = agent.eventually(lambda: [m.group(0) for m in pattern.finditer(server.log(), at)],
                             'a line about port %d' % number)
    assert len(lines) == 1, lines
    assert reason in lines[0], (reason, lines[0])


def refused(server, begin, counter, reason):
    """begin() gives a connection, which the server must end."""
    at, before = len(server.log()), server.counter(counter)
    s = begin()
    number = s.getsockname()[1]
    got = drained(s)
    s.close()
    one_line(server, number, reason, at)
    agent.eventually(lambda: server.counter(counter) == before + 1, counter)
    server.unharmed()
    return got


def test_first_bytes(opts):
    with Server(opts) as server:
        server.start()
        for first in (0x02, 0x06, 0x08, 0x42, 0xff, ord('G')):
            got = refused(server, lambda: server.dial(bytes([first]) + b'ET / HTTP/1.1\r\n\r\n'),
                          'rpc.refused_byte', 'unrecognized RPC byte')
            assert got == b''
        for data in (b'\x03' + HELLO, HELLO, b'\x07' + HELLO):
            refused(server, lambda: server.dial(data), 'rpc.refused_byte',
                    'server not configured for TLS')
        refused(server, server.dial, 'rpc.refused_silent', 'i/o timeout')
        server.finish()


def test_names_of_protocols(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        for name in ('consul/rpc-gossip', None):
            refused(server, lambda: server.secured(b'', pair=server.client, alpn=name),
                    'rpc.refused_byte', 'unrecognized RPC byte')
        refused(server, lambda: server.secured(b'', pair=server.client, alpn='h2'),
                'rpc.refused_tls', 'failed TLS handshake')
        for inner in (b'\x03', b'\x07', b'\x02', b'\x42'):
            refused(server, lambda: server.secured(inner=inner, pair=server.client),
                    'rpc.refused_byte', 'unrecognized RPC byte')
        server.finish()


def test_half_handshakes_end_in_time(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        for data in (b'\x03', b'\x03' + HELLO, HELLO, b'\x07' + HELLO):
            refused(server, lambda: server.dial(data), 'rpc.refused_tls', 'failed TLS handshake')
        # TLS is there, but no byte comes inside
        refused(server, lambda: server.secured(pair=server.client), 'rpc.refused_silent',
                'failed to read byte')
        for data in (b'\x03' + b'G' * 1000, b'\xff' * 1000, HELLO[:3] + b'\xff\xff' + bytes(9000)):
            refused(server, lambda: server.dial(data), 'rpc.refused_tls', 'failed TLS handshake')
        server.finish()


def test_half_handshakes_are_bounded_in_number(opts):
    with Authority(opts) as ca, Server(opts, ca) as server:
        server.start()
        before = server.counter('rpc.refused_limit')
        halves = [server.dial((b'\x03', b'\x03' + HELLO, b'', HELLO)[n % 4])
                  for n in range(CLIENTS_MAX + 20)]
        agent.eventually(lambda: server.counter('rpc.refused_limit') > before, 'closed connections')
        server.wait_log('connection over rpc_max_conns_per_client is closed')
        # those who are served go on, and another address has a room of its own
        server.unharmed()
        elsewhere = re.sub(r'\d+$', lambda m: str(int(m.group()) + 1), opts.bind)
        mux = rpcwire.Mux(None, None, sock=server.dial(b'\x04', elsewhere))
        assert mux.open().call('Status.Ping', {}) == ('', {})
        mux.close()
        for s in halves:
            drained(s)
            s.close()
        agent.eventually(lambda: server.counter('rpc.refused_limit') >= before + 20, 'all are counted')
        # the room is free again
        refused(server, lambda: server.dial(b'\x42'), 'rpc.refused_tls', 'failed TLS handshake')
        server.finish()


def made(ca, name, usage, days=30):
    """A certificate by the CA with this extended usage; days below 0: it has ended."""
    path = lambda kind: os.path.join(ca.folder, '%s.%s' % (name, kind))
    key = os.path.join(ca.folder, 'consul-agent-ca-key.pem')
    with open(path('ext'), 'w') as f:
        f.write('extendedKeyUsage=%s\nsubjectAltName=DNS:server.dc1.consul\n' % usage)
    run = lambda *words: subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
    run('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj',
        '/CN=x', '-keyout', path('key'), '-out', path('csr'))
    run('openssl', 'x509', '-req', '-in', path('csr'), '-CA', ca.ca, '-CAkey', key,
        '-CAcreateserial', '-days', str(days), '-extfile', path('ext'), '-out', path('pem'))
    return path('pem'), path('key')


def test_wrong_certificates(opts):
    with Authority(opts) as ca, Authority(opts) as stranger, \
            Server(opts, ca, verify_incoming_rpc=False) as server:
        wrong = [(None, 'didn\'t provide a certificate'),
                 (stranger.pair('client'), 'certificate signed by unknown authority'),
                 (made(ca, 'usage', 'serverAuth'), 'incompatible key usage'),
                 (made(ca, 'ended', 'clientAuth', -1), 'certificate has expired')]
        server.start()
        for pair, why in wrong:
            refused(server, lambda: server.secured(b'', b'', pair, 'consul/rpc-multi'),
                    'rpc.refused_tls', why)
        server.write_config('z.json', {'verify_incoming_rpc': True})
        server.must(server.put('/v1/agent/reload'))
        for pair, why in wrong:
            refused(server, lambda: server.secured(b'\x03', b'\x04', pair), 'rpc.refused_tls', why)
        for first in (0, 1, 4, 5):
            refused(server, lambda: server.dial(bytes([first])), 'rpc.refused_byte',
                    'Non-TLS connection attempted with VerifyIncoming set')
        server.finish()


def frame(kind, flags, stream, length, payload=b'', version=0):
    return struct.pack('>BBHII', version, kind, flags, stream, length) + payload


OPEN = frame(WINDOW, SYN, 1, 0)
WAITS = rpcwire.pack({'Seq': 1, 'ServiceMethod': 'KVS.Get'}) + rpcwire.pack(
    {'Datacenter': 'dc1', 'Key': 'a', 'MinQueryIndex': 1 << 40})
BROKEN_SESSIONS = {
    'another version': frame(PING, SYN, 0, 1, version=1),
    'an unknown kind': frame(7, 0, 1, 0),
    'data that no stream may send': OPEN + frame(DATA, 0, 1, 0xffffffff),
    'more than the window': OPEN + frame(DATA, 0, 1, 262145) + bytes(262145),
    'more than the window behind a request that waits': OPEN + frame(
        DATA, 0, 1, len(WAITS), WAITS) + 2 * (frame(DATA, 0, 1, 150000) + bytes(150000)),
    'a stream opened twice': OPEN + OPEN,
    'stream 0': frame(WINDOW, SYN, 0, 0),
    'ended twice': OPEN + 2 * frame(WINDOW, FIN, 1, 0),
    'credit over all bounds': OPEN + 3 * frame(WINDOW, 0, 1, 0xffffffff),
    'an error of the peer': frame(GOAWAY, 0, 0, 1),
}


def test_broken_sessions(opts):
    with Server(opts) as server:
        server.start()
        for what, data in BROKEN_SESSIONS.items():
            try:
                refused(server, lambda: server.dial(b'\x04' + data), 'rpc.session_error',
                        'multiplex conn failed')
            except AssertionError as why:
                raise AssertionError('%s: %s' % (what, why)) from why
        server.finish()


def test_what_a_session_survives(opts):
    """Frames for streams that are not, numbers of the wrong parity, a flood of small frames."""
    with Server(opts) as server:
        server.start()
        mux = server.session()
        mux.sock.sendall(frame(DATA, 0, 77, 5) + b'abcde' + frame(DATA, 0, 0, 2) + b'ab' + frame(WINDOW, 0, 79, 1000) +
                         frame(WINDOW, SYN, 4, 0) + frame(PING, ACK, 0, 12345))
        mux.sock.sendall(frame(PING, SYN, 0, 1) * 1000)
        assert mux.open().call('Status.Ping', {}) == ('', {})
        mux.close()
        server.finish()


def test_a_flood_of_streams(opts):
    """More streams than a session may have are reset; the others of it work."""
    with Server(opts) as server:
        server.start()
        mux = server.session()
        mux.sock.sendall(b''.join(frame(WINDOW, SYN, 2 * n + 1, 0) for n in range(17000)))
        mux.next_id = 2 * 17000 + 1
        resets, answered = 0, 0
        mux.frame(PING, SYN, 0, 7)
        while not mux.pongs:
            while len(mux.buffer) < 12:
                mux.more()
            _, kind, flags, _, _ = struct.unpack('>BBHII', mux.buffer[:12])
            resets += kind == WINDOW and bool(flags & rpcwire.RST)
            answered += kind == WINDOW and bool(flags & ACK)
            mux.pump()
        assert resets > 0 and answered > 0, (resets, answered)
        server.unharmed()
        mux.close()
        server.finish()


HEADER = rpcwire.pack({'Seq': 1, 'ServiceMethod': 'KVS.List'})
NO_ANSWER = {
    'a header of four billion entries': b'\xdf\xff\xff\xff\xff',
    'a list of four billion elements': HEADER + b'\x81\xa1a\xdd\xff\xff\xff\xff',
    'a raw of four gigabytes': HEADER + b'\x81\xa1a\xdb\xff\xff\xff\xff',
    'no map': b'\x01\x02\x03',
    'a byte that is none of msgpack': b'\xc1\xc1',
    'a header too large': rpcwire.pack({'Seq': 1, 'x': 'y' * 70000}),
}
ANSWERED = {
    'a header without a name': (rpcwire.pack({'Seq': 1}) + b'\x80',
                                'rpc: service/method request ill-formed: '),
    'lists in lists': (HEADER + b'\x81\xaaDatacenter' + b'\x91' * 100000 + b'\xc0', None),
    'no datacenter': (HEADER + b'\x81\xaaDatacenter\x91\xc0', None),
    'an unknown service': (rpcwire.pack({'Seq': 1, 'ServiceMethod': 'Nope.Nope'}) + b'\x80',
                           "rpc: can't find service Nope.Nope"),
    'an unknown procedure': (rpcwire.pack({'Seq': 1, 'ServiceMethod': 'KVS.Nope'}) + b'\x80',
                             "rpc: can't find method KVS.Nope"),
    'no name at all': (rpcwire.pack({'Seq': 1, 'ServiceMethod': 'Nope'}) + b'\x80',
                       'rpc: service/method request ill-formed: Nope'),
}


def test_bad_requests_alone(opts):
    with Server(opts) as server:
        server.start()
        for what, data in NO_ANSWER.items():
            at, before = len(server.log()), server.counter('rpc.request_error')
            s = server.dial(b'\x00' + data)
            number = s.getsockname()[1]
            assert drained(s) == b'', what
            one_line(server, number, 'RPC error', at)
            agent.eventually(lambda: server.counter('rpc.request_error') == before + 1, what)
            server.unharmed()
        for what, (data, text) in ANSWERED.items():
            at = len(server.log())
            s = server.dial(b'\x00' + data)
            number = s.getsockname()[1]
            header, _ = rpcwire.unpack(drained(s))
            assert header['Error'] and text in (None, header['Error'].decode()), (what, header)
            one_line(server, number, 'RPC error', at)
            server.unharmed()
        server.finish()


def test_bad_requests_on_streams(opts):
    """They cost their stream alone."""
    with Server(opts) as server:
        server.start()
        mux = server.session()
        for what, data in NO_ANSWER.items():
            before = server.counter('rpc.request_error')
            stream = mux.open()
            stream.send(data)
            assert stream.receive() == b'' and (stream.ended or stream.reset), what
            agent.eventually(lambda: server.counter('rpc.request_error') == before + 1, what)
            assert mux.open().call('Status.Ping', {}) == ('', {}), what
        for what, (data, text) in ANSWERED.items():
            stream = mux.open()
            stream.send(data)
            header, _, _ = stream.reply()
            assert header['Error'] and text in (None, header['Error'].decode()), (what, header)
            assert stream.receive() == b'' and stream.ended, what
        mux.close()
        server.finish()


def test_snapshot_requests(opts):
    with Server(opts) as server:
        server.start()
        for data in (b'\xc1', b'\x81\xa2Op\x91\xc0', b'\xdf\xff\xff\xff\xff'):
            refused(server, lambda: server.dial(b'\x05' + data), 'rpc.request_error',
                    'Failed to handle snapshot request')
        server.finish()


def test_large_answers_asked_for_at_once(opts):
    """They come one after another; nothing is too much for a peer that reads."""
    with Server(opts) as server:
        server.start()
        for n in range(12):
            server.put('/v1/kv/big/%d' % n, os.urandom(500000))
        mux = server.session()
        request = HEADER + rpcwire.pack({'Datacenter': 'dc1', 'Key': 'big/'})
        streams = [mux.open() for _ in range(40)]
        mux.sock.sendall(b''.join(frame(DATA, 0, s.id, len(request), request) for s in streams))
        for s in streams:
            header, body, _ = s.reply()
            assert header['Error'] == b'' and len(body['Entries']) == 12
        mux.close()
        server.finish()


def test_a_peer_that_stops_reading(opts):
    """Its answers wait within bounds; when it does not even answer a ping it is gone."""
    with Server(opts) as server:
        server.start()
        for n in range(20):
            server.put('/v1/kv/big/%d' % n, os.urandom(300000))
        before = server.memory()
        at = len(server.log())
        s = server.dial(b'\x04')
        number = s.getsockname()[1]
        request = HEADER + rpcwire.pack({'Datacenter': 'dc1', 'Key': 'big/'})
        s.sendall(b''.join(frame(WINDOW, SYN, n, 0) + frame(WINDOW, 0, n, 100 << 20) +
                           frame(DATA, 0, n, len(request), request) for n in range(1, 800, 2)))

        def over():
            server.unharmed()
            grown = server.memory() - before
            assert grown < 500 << 20, grown  # all answers: 2.4 GB; a sanitizer keeps 256 MB for itself
            return 'keepalive timeout' in server.log()[at:]

        agent.eventually(over, 'the end of the session', 4 * agent.DEADLINE, 0.5)
        one_line(server, number, 'keepalive timeout', at)
        server.unharmed()
        s.close()
        server.finish()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
