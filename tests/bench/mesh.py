#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What mesh gateways cost: two datacenters behind two haproxies beside two that reach each other
directly, with the same certificates, measured in turns in one run.

    mesh.py --binary PATH [--seconds N] [--rounds N] [--bind ADDRESS]

Reads of a key of the other datacenter (wrk), gossip pings and the packets a server takes a second;
what the gateways themselves add is measured with a TLS echo behind them. Dials are counted while
the load runs. Nothing is asserted. Status 77: wrk or haproxy is missing.
"""
import argparse
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
for folder in ('interop', 'e2e'):
    sys.path.insert(0, os.path.join(SCRIPTS, '..', folder))
import agent  # noqa: E402
import federation  # noqa: E402
import mesh  # noqa: E402
import rpcwire  # noqa: E402
import wanfed_gateways  # noqa: E402
from agent import eventually  # noqa: E402

HAPROXY = shutil.which('haproxy') or '/usr/sbin/haproxy'
ECHO = 'echo.server.dc2.consul'
PACKETS = 20000


class Haproxy:
    """In the place of tests/e2e's gateway: routes are read when it starts."""

    def __init__(self, address, port=8443, routes=None):
        self.address, self.port, self.routes = address, port, dict(routes or {})

    def __str__(self):
        return '%s:%d' % (self.address, self.port)

    def __enter__(self):
        return self

    def start(self, folder):
        lines = ['defaults', ' mode tcp', ' timeout connect 2s', ' timeout client 1h',
                 ' timeout server 1h', 'frontend mesh', ' bind ' + str(self),
                 ' tcp-request inspect-delay 5s',
                 ' tcp-request content accept if { req.ssl_hello_type 1 }']
        names = sorted(self.routes, key=lambda name: name.startswith('*'))
        for i, name in enumerate(names):
            lines.append(' use_backend b%d if { req.ssl_sni -i -m %s %s }' % (
                i, 'end' if name[0] == '*' else 'str', name.lstrip('*')))
        for i, name in enumerate(names):
            lines += ['backend b%d' % i, ' server s %s:%d' % self.routes[name]]
        path = os.path.join(folder, self.address)
        with open(path, 'w') as f:
            f.write('\n'.join(lines) + '\n')
        self.proc = subprocess.Popen([HAPROXY, '-f', path], stderr=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()


def echo_server(m):
    """A TLS server of dc2 that gives back what it gets."""
    ctx = wanfed_gateways.credentials(m, ssl.PROTOCOL_TLS_SERVER)
    listener = socket.create_server((m.at(5), 0))

    def serve(sock):
        try:
            sock = ctx.wrap_socket(sock, server_side=True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := sock.recv(4096):
                sock.sendall(data)
        except OSError:
            pass

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()


def tls(m, at, name, alpn=None):
    ctx = wanfed_gateways.credentials(m, ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    if alpn:
        ctx.set_alpn_protocols([alpn])
    sock = ctx.wrap_socket(socket.create_connection(at), server_hostname=name)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def round_trips(step, seconds):
    """Median in milliseconds."""
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        step()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def echo(m, at, seconds):
    sock = tls(m, at, ECHO)

    def step():
        sock.sendall(b'x' * 100)
        sock.recv(4096)
    return round_trips(step, seconds)


def wrk(a, connections, seconds):
    """(requests a second, median in milliseconds) of reading the other datacenter's key."""
    ran = subprocess.run(['wrk', '-t1', '-c%d' % connections, '-d%ds' % seconds, '--latency',
                          'http://%s:%d/v1/kv/k?raw&dc=dc2' % (a.address, a.port)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    rate, half = re.search(r'Requests/sec:\s+([\d.]+)', ran), re.search(r'50%\s+([\d.]+)(us|ms|s)', ran)
    assert rate and 'Non-2xx' not in ran, ran
    return float(rate.group(1)), float(half.group(1)) * {'us': 1e-3, 'ms': 1, 's': 1e3}[half.group(2)]


# --- gossip: the test is a member that nobody knows

def packets_per_second(m, at):
    """Of answers that nobody waits for, over one connection."""
    took = lambda: int(m.s1.get('/v1/agent/self').json()['Stats']['wan_federation'][
        'packets_received'])
    body = b'\x02' + rpcwire.pack({'SeqNo': 4000000000, 'Payload': None})
    frame = len(body).to_bytes(4, 'big') + body
    sock = tls(m, at, 's1.server.dc1.consul', wanfed_gateways.PACKET)
    before, began = took(), time.monotonic()
    sock.sendall(frame * PACKETS)
    eventually(lambda: took() >= before + PACKETS, 'all packets', every=0.002)
    return PACKETS / (time.monotonic() - began)


def ping(number, node, address, port):
    return b'\x00' + rpcwire.pack({'SeqNo': number, 'Node': 's1.dc1', 'SourceNode': node,
                                   'SourceAddr': socket.inet_aton(address), 'SourcePort': port})


def ping_directly(a, address, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    port = sock.getsockname()[1]

    def step():
        sock.sendto(ping(7, 'far.dc1', address, port), (a.address, a.config['ports']['serf_wan']))
        sock.recv(4096)
    return round_trips(step, seconds)


def ping_through_gateways(m, seconds):
    """There through both gateways, the answer back through both."""
    subprocess.run([os.path.abspath(m.s1.binary), 'tls', 'cert', 'create', '-server', '-dc', 'dc2',
                    '-node', 'far'], cwd=m.folder.name, stdout=subprocess.DEVNULL, check=True)
    newest = max(n for n in os.listdir(m.folder.name) if n.startswith('dc2-') and '-key' not in n)
    ctx = wanfed_gateways.credentials(m, ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(os.path.join(m.folder.name, newest),
                        os.path.join(m.folder.name, newest.replace('.pem', '-key.pem')))
    ctx.set_alpn_protocols([wanfed_gateways.PACKET])
    out = tls(m, (m.at(4), 8443), 's1.server.dc1.consul', wanfed_gateways.PACKET)
    back = []

    def step():
        body = ping(7, 'far.dc2', m.at(6), 8302)
        out.sendall(len(body).to_bytes(4, 'big') + body)
        if not back:
            back.append(ctx.wrap_socket(m.far.accept()[0], server_side=True))
        wanfed_gateways.read(back[0], int.from_bytes(wanfed_gateways.read(back[0], 4), 'big'))
    return round_trips(step, seconds)


# --- all together

def dials(m):
    return sum(int(a.get('/v1/agent/self').json()['Stats']['wan_federation']['dials'])
               for a in (m.s1, m.s2))


def line(what, unit, direct, through):
    print('%-44s %10.3f %10.3f %s, ratio %.2f' % (what, direct, through, unit, through / direct))


def measure(opts, m, d, at_echo):
    n, seconds = opts.rounds, opts.seconds
    rows = {k: ([], []) for k in ('echo', 'one', 'many', 'ping', 'packets')}
    for _ in range(n):
        for k, direct, through in (
                ('echo', lambda: echo(m, at_echo, seconds), lambda: echo(m, (m.at(3), 8443), seconds)),
                ('one', lambda: wrk(d.s1, 1, seconds)[1], lambda: wrk(m.s1, 1, seconds)[1]),
                ('many', lambda: wrk(d.s1, 64, seconds)[0], lambda: wrk(m.s1, 64, seconds)[0]),
                ('ping', lambda: ping_directly(m.s1, m.at(6), seconds),
                 lambda: ping_through_gateways(m, seconds)),
                ('packets', lambda: packets_per_second(m, (m.at(1), 8300)),
                 lambda: packets_per_second(m, (m.at(4), 8443)))):
            rows[k][0].append(direct())
            rows[k][1].append(through())
    return {k: tuple(map(statistics.median, v)) for k, v in rows.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--binary', required=True)
    ap.add_argument('--bind', default='127.0.53.1', help='an address of a /24 that nobody uses')
    ap.add_argument('--seconds', type=int, default=5)
    ap.add_argument('--rounds', type=int, default=3)
    opts = ap.parse_args()
    if not shutil.which('wrk') or not os.path.exists(HAPROXY):
        print('wrk and haproxy are needed')
        return agent.SKIPPED
    mesh.Gateway = Haproxy
    with mesh.Mesh(opts, encrypt=False, log_level='INFO', gossip_wan={}) as m:
        m.far = socket.create_server((m.at(6), 8302))
        at_echo = echo_server(m)
        m.gateways['dc2'].routes.update({ECHO: at_echo, 'far.server.dc2.consul': (m.at(6), 8302)})
        for g in m.gateways.values():
            g.start(m.folder.name)
        own = {k: m.servers['dc1'].config[k] for k in (
            'ca_file', 'cert_file', 'key_file', 'verify_incoming', 'verify_outgoing')}
        other = {k: m.servers['dc2'].config[k] for k in own}
        pair = federation.Pair(mesh.Options(opts, m.at(11)), gossip_wan={}, gossip_lan={}, **own)
        pair.s2.config.update(other)
        pair.s2.write_config('base.json', pair.s2.config)
        with pair as d:
            m.start()
            m.wait_joined()
            m.wait_states()
            for a in (m.s2, d.s2):
                a.must(a.put('/v1/kv/k', 'v' * 100))
            wrk(m.s1, 8, 1), wrk(d.s1, 8, 1)
            got = measure(opts, m, d, at_echo)
            before, began = dials(m), time.monotonic()
            wrk(m.s1, 8, 4 * opts.seconds), wrk(m.s2, 8, 1)
            made = (dials(m) - before) / (time.monotonic() - began) * 60
        m.far.close()
    print('%-44s %10s %10s' % ('', 'direct', 'gateways'))
    line('TLS echo, median', 'ms', *got['echo'])
    line('key of the other datacenter, 1 reader, median', 'ms', *got['one'])
    line('key of the other datacenter, 64 readers', 'reads/s', *got['many'])
    line('gossip ping and its answer, median', 'ms', *got['ping'])
    line('gossip packets taken over one connection', '/s', *got['packets'])
    added = lambda k: got[k][1] - got[k][0]
    print('two gateways add %.3f ms to an echo and %.3f ms to a read' % (added('echo'), added('one')))
    print('dials under load: %.1f a minute' % made)
    return 0


if __name__ == '__main__':
    sys.exit(main())
