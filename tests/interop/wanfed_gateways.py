# SPDX-License-Identifier: Apache-2.0
"""What two servers of Consul said to each other through mesh gateways, said again to an agent behind a
gateway, by a test that stands where the other datacenter's server would: gossip packets and streams,
calls; and what both told over HTTP."""
import base64
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../e2e'))

import agent  # noqa: E402
import rpcwire  # noqa: E402
from agent import eventually  # noqa: E402
from mesh import Mesh  # noqa: E402

VECTORS = os.path.join(HERE, '../vectors')
PACKET, STREAM, RPC = 'consul/wan-gossip/packet', 'consul/wan-gossip/stream', 'consul/rpc-multi'
UUID = re.compile('[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
NOT_BUILT = b'is not available in this build yet'


def recorded(name):
    with open(os.path.join(VECTORS, name)) as f:
        return json.load(f) if name.endswith('.json') else f.read()


# --- the other datacenter's server

def credentials(m, purpose):
    own = m.servers['dc2'].config
    ctx = ssl.SSLContext(purpose)
    ctx.load_verify_locations(own['ca_file'])
    ctx.load_cert_chain(own['cert_file'], own['key_file'])
    ctx.verify_mode = ssl.CERT_REQUIRED
    return ctx


def through_gateway(m, name, alpn):
    """A stream of server s2 to one of dc1."""
    ctx = credentials(m, ssl.PROTOCOL_TLS_CLIENT)
    ctx.set_alpn_protocols([alpn])
    gateway = m.gateways['dc1']
    sock = ctx.wrap_socket(socket.create_connection((gateway.address, gateway.port), 10),
                           server_hostname=name)
    assert sock.selected_alpn_protocol() == alpn
    return sock


class Elsewhere:
    """Takes what the agent sends to s2.dc2, behind the gateway that the agent uses."""

    def __init__(self, m):
        self.datagrams, self.calls, self.lock = [], [], threading.Lock()
        self.ctx = credentials(m, ssl.PROTOCOL_TLS_SERVER)
        self.ctx.set_alpn_protocols([RPC, PACKET, STREAM])
        self.listener = socket.create_server((m.at(5), 0))
        at = self.listener.getsockname()
        m.gateways['dc1'].routes.update({'server.dc2.consul': at, '*.server.dc2.consul': at})
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            sock = self.ctx.wrap_socket(sock, server_side=True)
            if sock.selected_alpn_protocol() == RPC:
                data = b''
                while len(data) < 200:
                    data += sock.recv(4096) or b'\0' * 200
                with self.lock:
                    self.calls.append(data)
                return
            while sock.selected_alpn_protocol() == PACKET:
                head = read(sock, 4)
                body = read(sock, int.from_bytes(head, 'big'))
                with self.lock:
                    self.datagrams.append(body)
        except (OSError, EOFError):
            pass
        finally:
            sock.close()

    def close(self):
        self.listener.close()


def read(sock, n):
    data = b''
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


# --- gossip

PING, ACK = 0, 2


def said(datagrams, kind):
    return [rpcwire.unpack(body)[0] for d in list(datagrams)
            for k, body in rpcwire.messages(d) if k == kind]


def gossip(opts, name, key):
    with Mesh(opts, encrypt=key) as m:
        other = Elsewhere(m)
        m.s1.start()
        m.register('dc1')
        mine = lambda e: '-%s-' % name in e['id'] and 's1.' in e['sni']
        joins = [e for e in recorded('gossip/wan-stream.json')['entries']
                 if '-%s-' % name in e['id'] and e['direction'] == 'client_to_server']
        packets = [e for e in recorded('gossip/wan-packet.json')['entries'] if mine(e)]
        assert len(joins) == 1 and len(packets) >= 6
        sock = through_gateway(m, joins[0]['sni'], STREAM)
        sock.sendall(bytes.fromhex(joins[0]['hex']))
        answer = sock.recv(65536)
        assert answer[0] == (10 if key else 9), answer[:20].hex()
        m.wait_joined_by('dc1', 's2.dc2')
        sock = through_gateway(m, packets[0]['sni'], PACKET)
        frames = b''.join(bytes.fromhex(e['frame'] + e['hex']) for e in packets)
        for i in range(0, len(frames), 7):  # any split will do
            sock.sendall(frames[i:i + 7])
        took = lambda: int(m.s1.get('/v1/agent/self').json()['Stats']['wan_federation'][
            'packets_received'])
        eventually(lambda: took() >= len(packets), 'all packets taken')
        if not key:
            asked = {x['SeqNo'] for x in said([bytes.fromhex(e['hex']) for e in packets], PING)}
            eventually(lambda: asked <= {x['SeqNo'] for x in said(other.datagrams, ACK)},
                       'an answer to each ping')
            ping = eventually(lambda: said(other.datagrams, PING), 'a ping of its own')[0]
            assert (ping['Node'], ping['SourceNode'], ping['SourcePort']) == (
                b's2.dc2', b's1.dc1', 8302), ping
            assert ping['SourceAddr'] == socket.inet_aton(m.at(8)), ping
        else:
            eventually(lambda: len(other.datagrams) >= 3, 'answers')
            assert {d[0] for d in other.datagrams} == {1}, 'a packet is not sealed'
        known = {x['Name']: x for x in m.s1.get('/v1/agent/members?wan=1').json()}['s2.dc2']
        assert (known['Addr'], known['Port'], known['Tags']['dc']) == ('127.0.15.9', 8302, 'dc2')
        other.close()
        assert m.trespasses('dc1') == 0


def test_recorded_gossip_joins_and_is_answered(opts):
    gossip(opts, 'plain', False)


def test_recorded_gossip_under_its_key_joins_and_is_answered(opts):
    entries = recorded('gossip/wan-stream.json')['entries']
    key = [e for e in entries if 'keys' in e][0]['keys'][0]
    gossip(opts, 'encrypted', base64.b64encode(bytes.fromhex(key)).decode())


# --- calls

def shape(v):
    """Of which fields and kinds a value is made; nil and empty stand for either."""
    if isinstance(v, dict):
        return {k: shape(v[k]) for k in v}
    if isinstance(v, list):
        return [shape(v[0])] if v else None
    if isinstance(v, bytes):
        return 'text' if v else None
    return None if v is None else type(v).__name__


def differ(a, b, path=''):
    """Where two shapes differ, None if they do not."""
    if a is None or b is None:
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys() and not path.endswith(('Addresses', 'Meta')):
            return '%s: %s' % (path, sorted(a.keys() ^ b.keys()))
        return next((d for k in a if k in b for d in [differ(a[k], b[k], path + '.' + k)] if d),
                    None)
    if isinstance(a, list) and isinstance(b, list):
        return differ(a[0], b[0], path + '[]')
    return None if a == b else '%s: %s, recorded %s' % (path, b, a)


def test_recorded_calls_are_answered_in_the_same_form(opts):
    with Mesh(opts, log_level='INFO') as m:
        m.s1.start()
        m.register('dc1')
        m.s1.must(m.s1.put('/v1/agent/service/register', {'Name': 'web', 'Port': 80}))
        eventually(lambda: m.s1.get('/v1/catalog/service/web').json(), 'the service')
        sessions, streams, answered = {}, {}, 0
        for i, c in enumerate(recorded('wanfed/rpc-through-gateways.json')['rpcs']):
            request, _ = rpcwire.unpack(bytes.fromhex(c['request_body_hex']))
            if c['to'] != 'dc1' or not c['response_body_hex'] or request.get('MinQueryIndex'):
                continue
            session = sessions.setdefault(c['connection'], None) or rpcwire.Mux(
                None, None, sock=through_gateway(m, 's1.server.dc1.consul', RPC))
            sessions[c['connection']] = session
            at = (c['connection'], c['stream'])
            stream = streams[at] = streams.get(at) or session.open()
            stream.send(bytes.fromhex(c['request_header_hex'] + c['request_body_hex']))
            header, body, raw = stream.reply()
            if NOT_BUILT in header['Error']:
                continue
            if c['method'] == 'ConnectCA.SignIntermediate':
                assert header['Error'], 'the recorded request is for another trust domain'
                continue
            want, _ = rpcwire.unpack(bytes.fromhex(c['response_body_hex']))
            assert (header['Error'], header['ServiceMethod']) == (b'', c['method'].encode()), header
            fault = differ(shape(want), shape(body))
            assert not fault, '%d %s: %s' % (i, c['method'], fault)
            if not isinstance(want, (dict, bytes)):
                assert raw.hex() == c['response_body_hex'], (c['method'], raw.hex())
            answered += 1
        assert answered >= 12, answered
        assert m.s1.get('/v1/kv/wanfed/from?raw').text() == '127.0.15.2'
        assert 'dc2' in m.states('dc1')


def test_a_call_begins_as_recorded(opts):
    """No type byte: the first bytes are a session's, with one call in its first stream."""
    with Mesh(opts, encrypt=False) as m:
        other = Elsewhere(m)
        m.s1.start()
        m.register('dc1')
        join = [e for e in recorded('gossip/wan-stream.json')['entries']
                if e['id'] == 'wan-plain-1-client_to_server'][0]
        through_gateway(m, join['sni'], STREAM).sendall(bytes.fromhex(join['hex']))
        m.wait_joined_by('dc1', 's2.dc2')
        m.s1.get('/v1/catalog/nodes?dc=dc2')
        eventually(lambda: other.calls, 'a call')
        want = [bytes.fromhex(p['first_client_bytes_hex'])
                for p in recorded('wanfed/rpc-through-gateways.json')['preamble']
                if p['sni'] == 's2.server.dc2.consul'][0]
        got = other.calls[0]
        assert got[:12] == want[:12], got[:24].hex()
        assert got[12:20] == want[12:20], got[:24].hex()
        header, at = rpcwire.unpack(got, 24)
        assert header['ServiceMethod'] == b'Catalog.ListNodes', header
        assert rpcwire.unpack(want, 24)[0].keys() == header.keys()
        other.close()


# --- HTTP

VOLATILE = {'CreateIndex', 'ModifyIndex', 'PrimaryModifyIndex', 'Index', 'UpdatedAt', 'rev'}


def normal(v, net):
    if isinstance(v, dict):
        return {k: '<volatile>' if k in VOLATILE else normal(v[k], net) for k in v if k != 'rev'}
    if isinstance(v, list):
        return [normal(e, net) for e in v]
    return UUID.sub('<uuid>', v.replace(net + '.', '<net>.')) if isinstance(v, str) else v


def test_both_tell_what_was_recorded(opts):
    with Mesh(opts) as m:
        m.start()
        m.wait_joined()
        m.wait_states()
        m.s1.must(m.s1.put('/v1/kv/k?dc=dc2', 'v'))
        m.s2.must(m.s2.put('/v1/kv/k?dc=dc1', 'v'))
        for path, name in (('/v1/internal/federation-states', 'federation-states-dc1'),
                           ('/v1/internal/federation-states/mesh-gateways',
                            'federation-states-mesh-gateways-dc1'),
                           ('/v1/internal/federation-state/dc2', 'federation-state-dc2-from-dc1'),
                           ('/v1/agent/members?wan=1', 'members-wan-dc1')):
            want = normal(recorded('wanfed/%s.json' % name), '127.0.15')
            got = m.s1.get(path)
            have = normal(got.json(), m.net)
            if 'members' in name:
                have.sort(key=lambda x: x['Name'])
            assert have == want, (name, have, want)
            if name == 'federation-state-dc2-from-dc1':
                lines = recorded('wanfed/%s.headers.txt' % name).splitlines()[1:]
                wanted = {x.split(':')[0].lower() for x in lines if x}
                assert {k.lower() for k in got.headers} == wanted, got.headers
        told = ''
        for flags in ([], ['-detailed']):
            told += subprocess.run([os.path.abspath(opts.binary), 'members', '-wan', *flags,
                                    '-http-addr=%s:8500' % m.at(1)],
                                   capture_output=True, text=True, check=True).stdout
        assert normal(told, m.net) == normal(recorded('wanfed/members-wan-dc1.txt'), '127.0.15'), told
        was = {(e['gateway'], e['sni'], e['alpn'][0])
               for e in recorded('wanfed/gateway-connections.json') if e['ev'] == 'open'}
        roads = lambda: {(n, *pair) for n in (1, 2) for pair in m.gateways['dc%d' % n].pairs()}
        eventually(lambda: was <= roads(), 'all roads that were recorded')
        assert {alpn for _, _, alpn in roads()} == {PACKET, STREAM, RPC}


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
