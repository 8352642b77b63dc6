#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a large gossip pool costs an idle client agent.

    pool.py --binary PATH [--members N] [--seconds N] [--rounds N] [--bind ADDRESS]

A server, a client and N simulated members on loopback addresses of their own, which answer pings and
push/pulls and ping the client as often as N real ones would. When all news has been told, the client's
memory and processor time are read. Nothing is asserted but that everybody is known and nobody dies.
"""
import os
import random
import selectors
import socket
import struct
import sys
import time
import uuid

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
for folder in ('interop', 'e2e'):
    sys.path.insert(0, os.path.join(SCRIPTS, '..', folder))
import agent  # noqa: E402
from rpcwire import Short, messages, pack, unpack  # noqa: E402

PING, ACK, PUSH_PULL = 0, 2, 6
VSN = bytes([1, 5, 2, 2, 5, 4])
PLACE = b'\x01' + pack({'Vec': [0.0] * 8, 'Error': 1.5, 'Adjustment': 0.0, 'Height': 1e-5})
QUIET = 3.0  # seconds without a large packet: all news has been told


class Members:
    """All simulated ones, behind two sockets."""

    def __init__(self, n):
        self.packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = agent.free_port('', 16000, 20000)  # of all addresses, where no test has agents
        self.packets.bind(('', self.port))
        self.streams = socket.socket()
        self.streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.streams.bind(('', self.port))
        self.streams.listen(64)
        for s in (self.packets, self.streams):
            s.setblocking(False)
        self.select = selectors.DefaultSelector()
        self.select.register(self.packets, selectors.EVENT_READ, self.packet)
        self.select.register(self.streams, selectors.EVENT_READ, self.accept)
        self.n, self.sequence, self.acks, self.pings, self.loud = n, 0, 0, 0, time.monotonic()
        self.waiting = {}
        self.state = {}

    def record(self, i):
        tags = {'role': 'node', 'dc': 'dc1', 'segment': '', 'id': str(uuid.UUID(int=i + 1)),
                'vsn': '2', 'vsn_min': '2', 'vsn_max': '3', 'build': '1.8.6:12345678',
                'acls': '0'}
        return {'Name': 'member-%05d' % i, 'Addr': socket.inet_aton(self.address(i)),
                'Port': self.port, 'Meta': b'\xff' + pack(tags), 'Incarnation': 1, 'State': 0,
                'Vsn': VSN}

    @staticmethod
    def address(i):
        return '127.77.%d.%d' % (i // 250, i % 250 + 1)

    def exchange(self, join):
        """Our side of a push/pull."""
        if join not in self.state:
            user = b'\x02' + pack({
                'LTime': 2, 'EventLTime': 1, 'QueryLTime': 1, 'LeftMembers': [], 'Events': [None] * 512,
                'StatusLTimes': {'member-%05d' % i: 1 for i in range(self.n)}})
            self.state[join] = bytes([PUSH_PULL]) + pack({
                'Nodes': self.n, 'UserStateLen': len(user), 'Join': join}) + b''.join(
                    pack(self.record(i)) for i in range(self.n)) + user
        return self.state[join]

    def push_pull(self, to, join=False):
        with socket.create_connection(to, timeout=10) as s:
            s.sendall(self.exchange(join))
            self.read_whole(s)

    @staticmethod
    def read_whole(s):
        data = b''
        while True:
            more = s.recv(1 << 16)
            data += more
            try:
                if not more or unpack(data, 1):
                    return
            except Short:
                pass

    # --- what comes in

    def packet(self, _):
        data, sender = self.packets.recvfrom(65536)
        if len(data) > 400:
            self.loud = time.monotonic()
        for kind, body in messages(data):
            if kind == ACK:
                self.acks += 1
            if kind != PING:
                continue
            ping = unpack(body)[0]
            self.pings += 1
            self.packets.sendto(bytes([ACK]) + pack({'SeqNo': ping['SeqNo'], 'Payload': PLACE}),
                                sender)

    def accept(self, _):
        s, _ = self.streams.accept()
        s.settimeout(10)
        try:
            self.read_whole(s)
            s.sendall(self.exchange(False))
        except OSError:
            pass
        s.close()

    def ping(self, name, to):
        self.sequence += 1
        i = random.randrange(self.n)
        self.packets.sendto(bytes([PING]) + pack({
            'SeqNo': self.sequence, 'Node': name, 'SourceAddr': socket.inet_aton(self.address(i)),
            'SourcePort': self.port, 'SourceNode': 'member-%05d' % i}), to)

    def serve(self, until, targets=()):
        """Until the time, or until `until` says so; each target is pinged once a second."""
        deadline = until if not callable(until) else time.monotonic() + 900
        ping = time.monotonic()
        while time.monotonic() < deadline and not (callable(until) and until()):
            for key, _ in self.select.select(0.1):
                key.data(key.fileobj)
            if time.monotonic() >= ping:
                ping += 1
                for name, to in targets:
                    self.ping(name, to)


def memory(a):
    """Resident bytes: all, and those that are not of files."""
    with open('/proc/%d/status' % a.proc.pid) as f:
        found = dict(line.split(':') for line in f)
    return [int(found[k].split()[0]) * 1024 for k in ('VmRSS', 'RssAnon')]


def lan(a):
    return a.address, a.config['ports']['serf_lan']


def known(a):
    return [m['Status'] for m in a.get('/v1/agent/members').json()]


def figures(client, members, before, opts):
    began, ticks = time.monotonic(), client.cpu_ticks()
    members.push_pull(lan(client))  # as often as a minute brings it from 180 and more members
    members.serve(began + opts.seconds, [(client.config['node_name'], lan(client))])
    spent = (client.cpu_ticks() - ticks) / os.sysconf('SC_CLK_TCK')
    rss, own = memory(client)
    print('%d members: %.2f MB resident, %.2f MB of them its own; %d bytes per member; '
          '%.3f %% of a core' % (members.n, rss / 1e6, own / 1e6,
                                 (own - before[1]) / members.n,
                                 100 * spent / (time.monotonic() - began)))


def measure(opts):
    members = Members(opts.members)
    # The news of so many who come at once is told faster than by default; without news there is no
    # gossip, so that idle the interval makes no difference.
    fast = {'gossip_interval': '20ms'}
    with agent.Agent(opts, {'node_name': 'server', 'gossip_lan': fast}) as server:
        server.start()
        client = agent.Agent(opts, {
            'node_name': 'client', 'server': False, 'bootstrap': False, 'gossip_lan': fast,
            'retry_join': ['%s:%d' % lan(server)], 'leave_on_terminate': False})
        with client:
            client.spawn().wait_http()
            agent.eventually(lambda: len(known(client)) == 2, 'the client joins')
            before = memory(client)
            for a in (client, server):
                members.push_pull(lan(a), True)
            both = [('client', lan(client)), ('server', lan(server))]
            began = time.monotonic()
            members.serve(lambda: time.monotonic() > max(began, members.loud) + QUIET and
                          known(client).count(1) == opts.members + 2, both)
            assert known(client).count(1) == opts.members + 2, 'not everybody is known'
            for _ in range(opts.rounds):
                figures(client, members, before, opts)
            assert known(client).count(1) == opts.members + 2, 'somebody died'
            client.kill()
        server.kill()
    assert members.acks > 0


def main():
    import argparse
    ap = argparse.ArgumentParser()
    ap.add_argument('--binary', required=True)
    ap.add_argument('--members', type=int, default=1000)
    ap.add_argument('--seconds', type=int, default=60)
    ap.add_argument('--rounds', type=int, default=2)
    ap.add_argument('--bind', default='127.0.39.110')
    measure(ap.parse_args())


if __name__ == '__main__':
    main()
