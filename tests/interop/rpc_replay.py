# SPDX-License-Identifier: Apache-2.0
"""Plays the recorded conversations of port 8300 against an agent and compares what it answers."""
import glob
import hashlib
import io
import json
import os
import re
import socket
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
import agent  # noqa: E402
import rpcwire  # noqa: E402

VECTORS = os.path.join(HERE, '..', 'vectors', 'rpc')
NOT_BUILT = 'is not available in this build yet'
RECORDED_IP = b'127.0.12.1'
UUID = re.compile(rb'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
# Raft indexes, and what the clock or the machine decides.
VOLATILE = {'Index', 'CreateIndex', 'ModifyIndex', 'LastContact', 'LastIndex', 'LastTerm',
            'PrimaryModifyIndex'}


class Replay:
    def __init__(self, server, address, port):
        self.address, self.port = address, port
        self.mux = rpcwire.Mux(address, port)
        self.streams, self.ids, self.indexes = {}, {}, {}
        self.server = server

    def known(self, raw):
        """The recording's identifiers, where this server gave out its own."""
        for old, new in self.ids.items():
            raw = raw.replace(old, new)
        return raw

    def index_known(self, body):
        """A cas repeats the index that the entry had."""
        for old, new in self.indexes.items():
            raw = b'\xabModifyIndex' + rpcwire.pack(old)
            body = body.replace(raw, b'\xabModifyIndex' + rpcwire.pack(new))
        return body

    def normal(self, v, own):
        if isinstance(v, dict):
            if 'SourceNS' in v and 'Hash' in v and v['Hash'] == intention_hash(v):
                v = dict(v, Hash='<of the fields>')
            return {k: '<volatile>' if k in VOLATILE else self.normal(v[k], own) for k in sorted(v)}
        if isinstance(v, list):
            return [self.normal(e, own) for e in v]
        if isinstance(v, float):
            return round(v, 9)
        if isinstance(v, bytes):
            if len(v) == 15 and v[:1] == b'\x01':
                return '<time>'
            v = v.replace(self.address.encode() if own else RECORDED_IP, b'<ip>')
            return UUID.sub(b'<uuid>', v)
        return v

    def stream(self, number):
        st = self.streams.get(number)
        if not st or st.ended or st.reset:
            st = self.streams[number] = self.mux.open()
        return st

    def learn(self, recorded, answered):
        if isinstance(recorded, bytes) and UUID.fullmatch(recorded):
            self.ids[recorded] = answered
        if isinstance(recorded, dict) and isinstance(answered, dict):
            entries = zip(recorded.get('Entries') or [], answered.get('Entries') or [])
            for old, new in entries:
                self.indexes[old['ModifyIndex']] = new['ModifyIndex']

    @staticmethod
    def unordered(c, answer):
        """Names of services come from a map, queries are sorted by their random ID."""
        if c['method'] == 'Catalog.ServiceList' and answer:
            answer['Services'].sort(key=lambda s: s['Name'])
        if c['method'] == 'PreparedQuery.List' and answer:
            answer['Queries'].sort(key=lambda q: q['Name'])
        return answer

    def call(self, c):
        """What was recorded and what is answered now, in comparable form."""
        request = bytes.fromhex(c['request']['header_hex'])
        body = self.index_known(self.known(bytes.fromhex(c['request']['body_hex'])))
        st = self.stream(c.get('stream'))
        st.send(request + body)
        header, answer, raw = st.reply()
        recorded_header, _ = rpcwire.unpack(bytes.fromhex(c['response']['header_hex']))
        recorded, _ = rpcwire.unpack(bytes.fromhex(c['response']['body_hex']))
        if not header['Error'] and not recorded_header['Error']:
            self.learn(recorded, answer)
        if header['Error'] and raw != b'\x80':
            raise AssertionError('%s: error with body %s' % (c['method'], raw.hex()))
        recorded, answer = comparable(c['method'], recorded), comparable(c['method'], answer)
        return ([self.normal(recorded_header, False),
                 self.unordered(c, self.normal(recorded, False))],
                [self.normal(header, True), self.unordered(c, self.normal(answer, True))])


def intention_hash(v):
    """It covers the ID, so it differs with each server; it must fit the fields it came with."""
    fields = ['ID', 'Description', 'SourceNS', 'SourceName', 'DestinationNS', 'DestinationName',
              'SourceType', 'Action', 'DefaultAddr']
    meta = v['Meta'] or {}
    text = b''.join(v[k] for k in fields) + b''.join(k.encode() + meta[k] for k in sorted(meta))
    return hashlib.blake2b(text, digest_size=32).digest()


def opened(v):
    """A raw that holds msgpack, as configuration entries travel: its values, and theirs."""
    if isinstance(v, dict):
        return {k: opened(v[k]) for k in v}
    if isinstance(v, list):
        return [opened(e) for e in v]
    if not isinstance(v, bytes) or not v or not (v[0] & 0xf0 == 0x80 or v[0] in (0xde, 0xdf)):
        return v
    return opened(unpack_all(v))


def unpack_all(raw):
    at, values = 0, []
    while at < len(raw):
        value, at = rpcwire.unpack(raw, at)
        values.append(value)
    return values


def comparable(method, answer):
    if method.startswith('ConfigEntry.') and isinstance(answer, bytes):
        return opened(unpack_all(answer))
    return answer


def recorded_calls():
    calls = []
    for path in glob.glob(os.path.join(VECTORS, '*.json')):
        with open(path) as f:
            content = json.load(f)
        if 'service' not in content:
            continue
        calls += [c for c in content['calls']
                  if c.get('run') == 'plain' and 'method' in c and c.get('response')]
    return sorted(calls, key=lambda c: c['order'])


def first_difference(a, b, path=''):
    if type(a) != type(b):
        return '%s: %r, recorded %r' % (path, b, a)
    if isinstance(a, dict):
        for k in sorted(set(a) | set(b)):
            if k not in a or k not in b:
                return '%s.%s: only in %s' % (path, k, 'the answer' if k in b else 'the recording')
            d = first_difference(a[k], b[k], path + '.' + k)
            if d:
                return d
    elif isinstance(a, list):
        if len(a) != len(b):
            return '%s: %d elements, recorded %d' % (path, len(b), len(a))
        for i, (x, y) in enumerate(zip(a, b)):
            d = first_difference(x, y, '%s[%d]' % (path, i))
            if d:
                return d
    elif a != b:
        return '%s: %r, recorded %r' % (path, b, a)
    return None


def new_agent(opts):
    return agent.Agent(opts, {'node_name': 'server-1', 'connect': {'enabled': True}, 'ports': {
        'http': agent.free_port(opts.bind), 'dns': -1, 'grpc': -1, 'https': -1, 'server': 8300,
        'serf_lan': agent.free_port(opts.bind), 'serf_wan': agent.free_port(opts.bind)}})


# What differs for a reason, by its order; an entry that passes is a fault too.
ALLOWED = {
    89: 'every cluster has a root of its own',
    91: 'the request is for the trust domain that was recorded',
    92: 'every cluster has a root of its own',
}
# The leader may or may not have put its own record right already.
EITHER = {151}
# What becomes true after a while: a batch is written, the leader puts its own record right.
AFTER_A_WHILE = {86, 155}


def judge(c, want, got):
    """None, or what is wrong with an answer."""
    absent = NOT_BUILT.encode() in got[0]['Error']
    difference = first_difference(want, got)
    if absent or c['order'] in EITHER:
        return None
    if bool(difference) == (c['order'] in ALLOWED):
        return None
    return '%d %s (%s): %s' % (c['order'], c['method'], c.get('note', ''),
                               difference or 'is answered as recorded: take it off the list')


def test_recorded_calls_get_the_recorded_answers(opts):
    calls = recorded_calls()
    assert len(calls) > 150
    with new_agent(opts) as a:
        a.port = a.config['ports']['http']
        a.start()
        replay = Replay(a, opts.bind, 8300)
        faults, absent = [], []
        for c in calls:
            want, got = replay.call(c)
            if c['order'] in AFTER_A_WHILE:
                agent.eventually(lambda: len(set(map(repr, replay.call(c)))) == 1,
                                 'the recorded answer to %d' % c['order'], every=0.2)
                want, got = replay.call(c)
            faults += filter(None, [judge(c, want, got)])
            if NOT_BUILT.encode() in got[0]['Error']:
                absent.append(c['method'])
        print('%d calls, %d of them not built: %s' % (
            len(calls), len(absent), ', '.join(sorted(set(absent)))))
        replay.mux.close()
        assert not faults, '\n'.join(faults)


def codec_case(opts, case):
    s = rpcwire.connect(opts.bind, 8300, int(case['marker_hex'], 16))
    rest = b''
    for step in case['steps']:
        try:
            s.sendall(bytes.fromhex(step['send_hex']))
            header, body, head_raw, raw, rest = rpcwire.read_reply(lambda: s.recv(65536), rest)
        except (rpcwire.Closed, ConnectionError):
            if step.get('result') != 'closed':
                return 'closed instead of an answer'
            break
        if 'result' in step:
            return 'answered %r instead of: %s' % (header, step['result'])
        recorded = bytes.fromhex(step['recv_hex'])
        if recorded[:len(head_raw)] != head_raw:
            return 'header %s' % head_raw.hex()
        want, _ = rpcwire.unpack(recorded, len(head_raw))
        difference = first_difference(blank(want), blank(body))
        if difference:
            return difference
    s.close()
    return None


def blank(v):
    if isinstance(v, dict):
        return {k: '<volatile>' if k in VOLATILE else blank(v[k]) for k in v}
    return [blank(e) for e in v] if isinstance(v, list) else v


def test_recorded_codec_cases(opts):
    with open(os.path.join(VECTORS, 'Codec.json')) as f:
        cases = json.load(f)['cases']
    with new_agent(opts) as a:
        a.port = a.config['ports']['http']
        a.start()
        faults = []
        for case in cases:
            fault = codec_case(opts, case)
            if fault:
                faults.append('%s: %s' % (case['name'], fault))
        print('%d codec cases' % len(cases))
        assert not faults, '\n'.join(faults)


def snapshot_exchange(opts, header, archive=b''):
    s = rpcwire.connect(opts.bind, 8300, 5)
    s.sendall(header)
    s.sendall(archive)
    s.shutdown(socket.SHUT_WR)
    data = b''
    while True:
        more = s.recv(1 << 16)
        if not more:
            break
        data += more
    s.close()
    answer, at = rpcwire.unpack(data)
    return answer, data[at:]


def test_recorded_snapshots(opts):
    with open(os.path.join(VECTORS, 'Snapshot.json')) as f:
        calls = [c for c in json.load(f)['calls'] if c.get('run') == 'plain']
    assert len(calls) >= 6
    with new_agent(opts) as a:
        a.port = a.config['ports']['http']
        a.start()
        a.request('PUT', '/v1/kv/kept', 'yes')
        for c in calls:
            answer, archive = snapshot_exchange(
                opts, bytes.fromhex(c['request']['header_hex']),
                bytes.fromhex(c['request']['stream_hex']))
            recorded, _ = rpcwire.unpack(bytes.fromhex(c['response']['header_hex']))
            fault = first_difference(blank(recorded), blank(answer))
            assert not fault, '%s: %s' % (c.get('note'), fault)
            assert bool(archive) == bool(c['response']['stream_hex']), c.get('note')
            if archive:
                names = tarfile.open(fileobj=io.BytesIO(archive)).getnames()
                assert sorted(names) == ['SHA256SUMS', 'meta.json', 'state.bin'], names
                assert answer['Index'] > 0
        print('%d snapshot exchanges' % len(calls))
        # the recorded archive is the state now
        assert a.get('/v1/kv/kept').status == 404
        assert a.get('/v1/kv/app/one').status == 200


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
