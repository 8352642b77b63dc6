# SPDX-License-Identifier: Apache-2.0
"""A client agent whose server is another program: one made of Consul's own RPC packages, and one
that breaks the rules. The server is made known by a serf agent that carries a server's tags."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import go_peer  # noqa: E402
import rpcwire  # noqa: E402
import serf  # noqa: E402
from go_peer import agent  # noqa: E402
from rpcwire import ACK, DATA, FIN, GOAWAY, PING, SYN, WINDOW  # noqa: E402

PACKAGES = ('yamux', 'net-rpc-msgpackrpc', 'go-msgpack')


class Known:
    """A serf agent that says that a server listens on `port`, and a client agent that hears it."""

    def __init__(self, opts, port):
        if not shutil.which('serf'):
            raise agent.Skip('serf is not installed')
        self.folder = tempfile.mkdtemp(prefix='consuld-known-')
        tags = {'role': 'consul', 'dc': 'dc1', 'id': str(uuid.uuid4()), 'port': port, 'vsn': 2,
                'vsn_min': 2, 'vsn_max': 3, 'raft_vsn': 3, 'build': '1.8.6:', 'bootstrap': 1,
                'segment': '', 'acls': 0}
        self.peer = serf.Peer(opts, 'other', self.folder, tags=['%s=%s' % t for t in tags.items()])
        self.client = agent.Agent(opts, {
            'server': False, 'bootstrap': False, 'node_name': 'client', 'retry_interval': '1s',
            'retry_join': [self.peer.bind], 'performance': {'rpc_hold_timeout': '2s'},
            'leave_on_terminate': False})
        self.client.config['ports']['server'] = port
        self.client.write_config('base.json', self.client.config)

    def __enter__(self):
        agent.eventually(self.peer.members, 'the serf agent')
        self.client.spawn()
        self.client.wait_http()
        self.client.wait_log('adding server')
        return self.client

    def __exit__(self, kind, value, trace):
        self.client.__exit__(kind, value, trace)
        self.peer.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def test_a_server_of_consuls_own_packages(opts):
    program = go_peer.build('rpc', PACKAGES)
    port = agent.free_port(opts.bind)
    with subprocess.Popen([program, 'serve', '%s:%d' % (opts.bind, port)], text=True,
                          stdout=subprocess.PIPE) as served:
        try:
            assert served.stdout.readline() == 'listening\n'
            with Known(opts, port) as client:
                wide(client)
                client.wait_log('Synced node info')
                client.signal(15)
                assert client.wait_end() in (0, 1)
        finally:
            served.kill()
        lines = served.stdout.read().split('\n')
        assert lines.count('session') == 1, 'one connection: %s' % lines.count('session')
        assert 'register client' in lines, lines[:20]


def wide(client):
    assert client.get('/v1/catalog/nodes').json()[0]['Node'] == 'served-by-the-peer'
    answer = client.get('/v1/kv/x?raw')
    assert answer.body == b'served' and answer.index == 7, answer.headers
    assert client.get('/v1/status/leader').json() == '127.0.0.1:8300'
    refused = client.get('/v1/kv/fails')
    assert refused.status == 403 and refused.text() == 'rpc error making call: Permission denied', \
        (refused.status, refused.text())
    held = client.get('/v1/kv/leaderless')
    assert held.status == 500 and 'No cluster leader' in held.text(), held.text()
    unknown = client.get('/v1/session/list')
    assert unknown.status == 500 and "rpc: can't find service Session.List" in unknown.text()
    assert client.get('/v1/kv/x?raw').body == b'served'
    faults = []

    def ask():
        connection = client.connect()
        for n in range(40):
            if client.get('/v1/kv/key-%d?raw' % n, connection=connection).body != b'served':
                faults.append(n)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(agent.DEADLINE)
    assert not faults, faults
    agent.eventually(lambda: client.get('/v1/agent/self').status == 200, 'the agent')


# --- a server that breaks the rules -------------------------------------------------------------

def frame(kind, flags, stream, length, payload=b''):
    return struct.pack('>BBHII', 0, kind, flags, stream, length) + payload


def answer_to(header, body=b'\x80', **change):
    reply = dict({'Error': '', 'Seq': header['Seq'], 'ServiceMethod': header['ServiceMethod']},
                 **change)
    return rpcwire.pack(reply) + body


def data(stream, payload):
    return frame(DATA, 0, stream, len(payload), payload)


ENTRY = rpcwire.pack({'Entries': [{'Key': 'x', 'Value': b'fine', 'CreateIndex': 1, 'ModifyIndex': 7,
                                   'LockIndex': 0, 'Flags': 0, 'Session': ''}], 'Index': 7,
                      'KnownLeader': True, 'LastContact': 0, 'ConsistencyLevel': ''})
# What is sent for a request, given its stream and header. None: the connection is closed.
BROKEN = {
    'no msgpack': lambda st, h: data(st, b'\xc1\xc1\xc1'),
    'a header of four billion entries': lambda st, h: data(st, b'\xdf\xff\xff\xff\xff'),
    'a body of four billion elements': lambda st, h: data(
        st, answer_to(h, b'\x81\xa7Entries\xdd\xff\xff\xff\xff')),
    'a raw of four gigabytes': lambda st, h: data(st, answer_to(h, b'\xdb\xff\xff\xff\xff')),
    'a body of another kind': lambda st, h: data(st, answer_to(h, b'\xa3abc')),
    'more than the window': lambda st, h: frame(DATA, 0, st, 262145, bytes(262145)),
    'an unknown frame': lambda st, h: frame(9, 0, st, 0),
    'an end instead of an answer': lambda st, h: frame(WINDOW, FIN, st, 0),
    'a reset': lambda st, h: frame(WINDOW, rpcwire.RST, st, 0),
    'an error of the protocol': lambda st, h: frame(GOAWAY, 0, 0, 1),
    'half an answer, then the end': lambda st, h: data(st, answer_to(h, ENTRY)[:40]) +
                                                  frame(WINDOW, FIN, st, 0),
    'nothing any more': lambda st, h: None,
}
# What an agent takes although it should not be sent.
ODD = {
    'another sequence number': lambda st, h: data(st, answer_to(h, ENTRY, Seq=4242)),
    'another name': lambda st, h: data(st, answer_to(h, ENTRY, ServiceMethod='Nope.Nope')),
    'data of unknown streams first': lambda st, h: data(77777, b'abc') + frame(WINDOW, 0, 99999, 5) +
                                                   data(st, answer_to(h, ENTRY)),
    'streams of its own': lambda st, h: b''.join(
        frame(WINDOW, SYN, 2 * n, 0) for n in range(1, 600)) + data(st, answer_to(h, ENTRY)),
    'byte by byte': lambda st, h: b''.join(data(st, bytes([b])) for b in answer_to(h, ENTRY)),
}


class Breaker:
    """Answers KVS.Get as `behave` says and everything else with nothing."""

    def __init__(self, address):
        self.listener = socket.create_server((address, 0))
        self.port, self.behave = self.listener.getsockname()[1], None
        self.sessions = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            if conn.recv(1) == b'\x04':
                self.session(conn, conn.makefile('rb'))
        except (OSError, ValueError, struct.error):
            pass
        finally:
            conn.close()

    def session(self, conn, stream):
        pending = {}
        while True:
            _, kind, flags, number, length = struct.unpack('>BBHII', stream.read(12))
            if kind == PING and flags & SYN:
                conn.sendall(frame(PING, ACK, 0, length))
            if kind == WINDOW and flags & SYN:
                pending[number] = b''
                conn.sendall(frame(WINDOW, ACK, number, 0))
            if kind != DATA or number not in pending:
                continue
            pending[number] += stream.read(length)
            try:
                header, at = rpcwire.unpack(pending[number])
                _, at = rpcwire.unpack(pending[number], at)
            except rpcwire.Short:
                continue
            pending[number] = b''
            out = self.reply(number, header)
            if out is None:
                return
            conn.sendall(out)

    def reply(self, number, header):
        header = {k: v for k, v in header.items()}
        if header['ServiceMethod'] == b'KVS.Get':
            return self.behave(number, header)
        return data(number, answer_to(header))

    def close(self):
        self.listener.close()


def test_a_server_that_breaks_the_rules(opts):
    breaker = Breaker(opts.bind)
    good = lambda st, h: data(st, answer_to(h, ENTRY))
    with Known(opts, breaker.port) as client:
        for what, behave in BROKEN.items():
            breaker.behave = behave
            answer = client.get('/v1/kv/x?raw')
            assert answer.status == 500 and 'rpc error' in answer.text(), (what, answer.text())
            breaker.behave = good
            answer = client.get('/v1/kv/x?raw')
            assert answer.body == b'fine', (what, answer.status, answer.text())
        for what, behave in ODD.items():
            breaker.behave = behave
            assert client.get('/v1/kv/x?raw').body == b'fine', what
        for why in ('more data than the window allows', 'unknown frame type',
                    'the peer reported a protocol error'):
            assert client.log().count(why) == 1, why
        client.signal(15)
        assert client.wait_end() in (0, 1)
    breaker.close()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
