#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input at the gossip ports, over UDP and TCP, plain and encrypted: counted by peer and kind,
told in few lines, and the pool notices nothing."""
import random
import re
import socket
import struct
import sys
import zlib

import agent
from agent import eventually
from pool import ALIVE, FAST, Client, agree, lan, on, statuses

KEY = 'AQEBAQEBAQEBAQEBAQEBAQ=='
GARBAGE = 3000
STREAMS = 300
MEMORY_MAX = 320 << 20  # sanitizers hold what is freed for a while


def answers(a):
    assert a.alive(), a.tail()
    assert a.get('/v1/agent/members').status == 200


def raw(b):
    n = len(b)
    if n < 32:
        return bytes([0xa0 + n]) + b
    return (b'\xda' + struct.pack('>H', n) if n < 65536 else b'\xdb' + struct.pack('>I', n)) + b


def record(**fields):
    def value(v):
        if isinstance(v, bytes):
            return raw(v)
        return v.to_bytes(1, 'big') if 0 <= v < 128 else b'\xd3' + struct.pack('>q', v)
    names = sorted(fields)
    return bytes([0x80 + len(names)]) + b''.join(raw(k.encode()) + value(fields[k]) for k in names)


def lzw(literals, codes=()):
    """A stream of 9-bit codes: clear, literals, codes, end."""
    bits = held = 0
    out = bytearray()
    for code in (256, *literals, *codes, 257):
        bits |= code << held
        held += 9
        while held >= 8:
            out.append(bits & 255)
            bits >>= 8
            held -= 8
    return bytes(out + bytes([bits & 255]))


def compressed(plain):
    return b'\x09' + record(Algo=0, Buf=lzw(plain))


def compound(*parts):
    return bytes([7, len(parts)]) + b''.join(struct.pack('>H', len(p)) for p in parts) + \
        b''.join(parts)


def nested(message, depth):
    for _ in range(depth):
        message = compound(message)
    return message


def bomb():
    """Each code doubles what it stands for by one byte: quadratic growth."""
    return b'\x09' + record(Algo=0, Buf=lzw([0], range(258, 511)))


def crc(message, wrong=0):
    return b'\x0c' + struct.pack('>I', zlib.crc32(message) ^ wrong) + message


PING = b'\x00' + record(SeqNo=1, Node=b'server')
ALIVE_BODY = dict(Incarnation=1, Node=b'x', Addr=b'\x7f\x00\x00\x09', Port=1, Meta=b'')

# What is sent, the kind it is counted as.
PACKETS = [
    (bytes([0xf4, 5]) + b'label' + PING, 'type'),        # labels of younger versions
    (b'\x63', 'type'),
    (b'\x06' + bytes(20), 'type'),                       # push/pull has no place in a packet
    (b'\x00', 'record'),
    (b'\x00\xdf\xff\xff\xff\xff', 'record'),             # a map of four billion pairs
    (b'\x00\x81\xa4Node\xdb\xff\xff\xff\xff', 'record'),  # a text of four billion bytes
    (b'\x04' + b'\x91' * 2000, 'record'),
    (b'\x04' + record(**dict(ALIVE_BODY, Incarnation=-1)), 'record'),
    (b'\x07', 'compound'),
    (b'\x07\xff\x00', 'compound'),
    (b'\x07\x02\x00\x01\xff\xff\x63', 'compound'),
    (compound(b''), 'empty'),
    (nested(PING, 20), 'depth'),
    (b'\x09' + record(Algo=1, Buf=b'x'), 'compressed'),
    (b'\x09' + record(Algo=0, Buf=b'\xff' * 40), 'compressed'),
    (compressed(b''), 'compressed'),
    (crc(PING, wrong=1), 'crc'),
    (b'\x04' + record(**dict(ALIVE_BODY, Vsn=b'\x01')), 'value'),
]


class Server(agent.Agent):
    def __init__(self, opts, **config):
        super().__init__(opts, dict({'node_name': 'server', 'gossip_lan': FAST,
                                     'telemetry': {'prometheus_retention_time': '1h'}}, **config))

    def counter(self, kind):
        text = self.get('/v1/agent/metrics?format=prometheus').body.decode()
        found = re.search(r'^consul_memberlist_fault_%s (\d+)' % kind, text, re.M)
        return int(found.group(1)) if found else 0

    def of_peer(self, ip, kind):
        stats = self.get('/v1/agent/self').json()['Stats']
        return int(stats.get('serf_lan_faults', {}).get('%s %s' % (ip, kind), 0))


class Stranger:
    """Sends from an address of its own."""

    def __init__(self, opts, server):
        self.ip, self.to = on(opts, 9).bind, lan(server)
        self.packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.packets.bind((self.ip, 0))

    def send(self, data):
        self.packets.sendto(data, (self.to[:self.to.index(':')], int(self.to.split(':')[1])))

    def dial(self):
        host, port = self.to.split(':')
        return socket.create_connection((host, int(port)), agent.DEADLINE, (self.ip, 0))

    def answer(self, data, half_close=False):
        with self.dial() as s:
            got = b''
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    part = s.recv(65536)
                    if not part:
                        return got
                    got += part
            except (BrokenPipeError, ConnectionResetError):
                return got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.packets.close()


class Pool:
    """A server and a client, who stay alive to each other whatever happens."""

    def __init__(self, opts, **config):
        self.server = Server(opts, **config)
        self.client = Client(on(opts, 1), 'client', [lan(self.server)], **config)
        self.opts = opts

    def __enter__(self):
        self.server.start()
        self.client.spawn().wait_http()
        self.unharmed()
        return self

    def unharmed(self):
        agree([self.server, self.client], {'server': ALIVE, 'client': ALIVE}, 'both alive')

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.unharmed()
            for a in (self.server, self.client):
                assert 'EventMemberFailed' not in a.log(), a.tail()
        self.client.__exit__(kind, value, trace)
        self.server.__exit__(kind, value, trace)


def test_malformed_packets_are_counted_by_peer_and_kind(opts):
    with Pool(opts) as pool, Stranger(opts, pool.server) as stranger:
        for data, kind in PACKETS:
            before, own = pool.server.counter(kind), pool.server.of_peer(stranger.ip, kind)
            stranger.send(data)
            eventually(lambda: pool.server.of_peer(stranger.ip, kind) > own,
                       '%s counted for its sender: %r' % (kind, data[:40]))
            assert pool.server.counter(kind) > before
        assert 'labels of pools are not supported' in pool.server.log()
        stats = pool.server.get('/v1/agent/self').json()['Stats']['serf_lan_faults']
        assert all(k.startswith(stranger.ip + ' ') for k in stats), stats
        assert 'x' not in statuses(pool.server)


def test_compression_bombs_cost_nothing(opts):
    with Pool(opts) as pool, Stranger(opts, pool.server) as stranger:
        before = pool.server.memory()
        for _ in range(200):
            stranger.send(bomb())
            stranger.send(compound(*[bomb()] * 3))
        eventually(lambda: pool.server.get('/v1/agent/self').json()['Stats'].get(
            'serf_lan_faults'), 'bombs are counted')
        pool.unharmed()
        assert pool.server.memory() - before < MEMORY_MAX


def test_garbage_packets_are_told_in_few_lines(opts):
    rng = random.Random(7)
    for config in ({}, {'encrypt': KEY}):
        with Pool(opts, **config) as pool, Stranger(opts, pool.server) as stranger:
            for i in range(GARBAGE):
                size = rng.choice((1, 5, 40, 300, 1400, 60000 if i % 100 == 0 else 9))
                data = bytearray(rng.randbytes(size))
                if i % 2:
                    data[0] = rng.randrange(14)
                stranger.send(bytes(data))
                if i % 50 == 0:
                    pool.server.get('/v1/status/leader')
            eventually(lambda: pool.server.get('/v1/agent/self').json()['Stats'].get(
                'serf_lan_faults'), 'garbage is counted')
            pool.unharmed()
            lines = [x for x in pool.server.log().splitlines() if stranger.ip in x]
            assert 0 < len(lines) <= 200, len(lines)


def test_another_key_and_replays_are_dropped(opts):
    with Pool(opts, encrypt=KEY) as pool, Stranger(opts, pool.server) as stranger:
        plain = pool.server.of_peer(stranger.ip, 'open')
        sealed = [bytes([1]) + bytes(40), bytes([0]) + bytes(60), bytes([7]) + bytes(60), b'\x01',
                  PING]
        for data in sealed:
            stranger.send(data)
        eventually(lambda: pool.server.of_peer(stranger.ip, 'open') >= plain + len(sealed),
                   'packets that no key opens')
        log = pool.server.log()
        assert 'Unsupported encryption version' in log or 'primary_key=' in log, pool.server.tail()


STREAMS_BAD = [
    b'\x63\x63\x63',
    bytes([0xf4, 5]) + b'label' + b'\x06',
    b'\x0a\xff\xff\xff\xff' + bytes(100),
    b'\x0a\x00\x00\x00\x40' + bytes(64),
    b'\x06' + record(Nodes=2 ** 40, UserStateLen=0),
    b'\x06' + record(Nodes=-1, UserStateLen=0),
    b'\x06' + record(Nodes=0, UserStateLen=2 ** 50),
    b'\x06\xdf\xff\xff\xff\xff',
    b'\x06' + record(Nodes=1, UserStateLen=0) + b'\x81\xa4Name\xdb\xff\xff\xff\xff',
    b'\x08' + record(UserMsgLen=-5),
    b'\x09' + record(Algo=7, Buf=b'x'),
    b'\x09' + record(Algo=0, Buf=lzw(b'\x09\x09')),
    b'\x06' + b'\x91' * 5000,
]


def test_bad_streams_end_with_their_reason(opts):
    for config in ({}, {'encrypt': KEY}):
        with Pool(opts, **config) as pool, Stranger(opts, pool.server) as stranger:
            for data in STREAMS_BAD:
                stranger.answer(data, half_close=True)  # its end comes before the deadline
                answers(pool.server)
            eventually(lambda: pool.server.of_peer(stranger.ip, 'stream') >= len(STREAMS_BAD) // 2,
                       'bad streams are counted')
            if config:
                assert 'Encryption is configured but remote state is not encrypted' in \
                    pool.server.log()


def test_silent_streams_are_bounded_and_end(opts):
    with Pool(opts) as pool, Stranger(opts, pool.server) as stranger:
        before = pool.server.memory()
        silent = [stranger.dial() for _ in range(STREAMS)]
        for s in silent[::3]:
            s.sendall(b'\x06' + record(Nodes=100000, UserStateLen=20 << 20))
        pool.unharmed()
        assert pool.server.memory() - before < MEMORY_MAX

        def refused():
            text = pool.server.get('/v1/agent/metrics?format=prometheus').body.decode()
            return sum(map(int, re.findall(r'^consul_memberlist_tcp_refused (\d+)', text, re.M)))
        eventually(lambda: refused() >= STREAMS - 256 - 8, 'what is too much is refused')
        for s in silent:
            s.settimeout(agent.DEADLINE)
            try:
                while s.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            s.close()
        pool.server.must(pool.client.put('/v1/agent/join/' + lan(pool.server)))


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
