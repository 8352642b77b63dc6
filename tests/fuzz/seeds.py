#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes seeds of the fuzz targets out of the recorded data.

    seeds.py FOLDER      writes FOLDER/<target>/<number>

What each target expects stands in its source; most take one byte in front that picks something.
"""
import glob
import json
import os
import re
import ssl
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
VECTORS = os.path.join(TESTS, 'vectors')
LARGEST = 1 << 16


def files(pattern):
    return sorted(glob.glob(os.path.join(VECTORS, pattern)))


def objects(value):
    """All dicts in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from objects(one)


def lines(path):
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


def load(path):
    with open(path) as f:
        return json.load(f)


def cases():
    for path in sorted(glob.glob(os.path.join(TESTS, 'conformance', 'cases', '*.json'))):
        yield from load(path)['steps']


def methods():
    """Place of each method in the model's table."""
    with open(os.path.join(TESTS, '..', 'src', 'model', 'method.c')) as f:
        names = re.findall(r'^    \{ "([A-Za-z.]+)",', f.read(), re.M)
    return {name: i for i, name in enumerate(names)}


def msgpack():
    place = methods()
    for path in files('rpc/*.json'):
        for call in load(path).get('calls', []) if 'session' not in path else []:
            at = place.get(call.get('method'))
            if at is None or at > 127:
                continue
            for side, bit in (('request', 0), ('response', 0x80)):
                text = (call.get(side) or {}).get('body_hex')
                if text:
                    yield bytes([at | bit]) + bytes.fromhex(text)


def packet_frames():
    yield b'\x03' + b''.join(len(x).to_bytes(4, 'big') + x for x in (b'a', b'hello', b'\x00' * 300))
    yield b'\x01' + b'\x00\x40\x00\x01'
    yield b'\x00' + b'\x00\x00\x00\x05cut'


def rpc_frames():
    for path in files('rpc/*.json'):
        for call in load(path).get('calls', []) if 'session' not in path else []:
            for side in ('request', 'response'):
                one = call.get(side) or {}
                if one.get('body_hex'):
                    yield b'\x07' + bytes.fromhex(one['header_hex'] + one['body_hex'])


def yamux_bytes(direction):
    """One end of the recorded sessions, in parts; payloads that were cut are filled up."""
    for path in files('rpc/*-session.json'):
        part = b''
        for f in load(path)['frames']:
            if f['dir'] != direction:
                continue
            payload = bytes.fromhex(f.get('payload_hex') or '')
            length = f['length'] if f['type'] == 'Data' else 0
            part += bytes.fromhex(f['header_hex']) + payload + bytes(length - len(payload))
            if len(part) > 20000:
                yield part
                part = b''
        yield part


def yamux():
    for direction, role in (('c2s', b'\x00'), ('s2c', b'\x01')):
        for part in yamux_bytes(direction):
            yield b'\x3f' + role + part


def rpc_port():
    for part in yamux_bytes('c2s'):
        yield b'\xff\x04' + part
    for n, message in enumerate(rpc_frames()):
        if n % 5 == 0:
            yield b'\x10\x00' + message[1:]
    for first in range(9):
        yield bytes([1, first, first])


def json_texts():
    for path, key in (('api/inputs.jsonl', 'body'), ('api/samples.jsonl', 'json')):
        for n, sample in enumerate(lines(os.path.join(VECTORS, path))):
            text = sample[key] if isinstance(sample[key], str) else json.dumps(sample[key])
            yield bytes([n % 256]) + text.encode()


def configurations():
    """(name, text) of configuration files."""
    for path in files('agent/*.json'):
        for case in load(path)['cases']:
            for name, text in (case.get('files') or {}).items():
                if isinstance(text, str):
                    yield name, text
            words = case.get('args', []) + case.get('cmd', [])
            for flag, text in zip(words, words[1:]):
                if flag == '-hcl':
                    yield 'fragment.hcl', text
    for path in sorted(glob.glob(os.path.join(TESTS, '..', 'configs', '*', '*'))):
        with open(path) as f:
            yield path, f.read()


def hcl():
    for name, text in configurations():
        if name.endswith('.hcl'):
            yield text.encode()


def config():
    for name, text in configurations():
        yield (b'\1' if name.endswith('.json') else b'\0') + text.encode()


def filters():
    for step in cases():
        query = urllib.parse.urlsplit(step.get('path', '')).query if '{' not in step.get('path', '') else ''
        for text in urllib.parse.parse_qs(query).get('filter', []):
            yield text.encode()


def http_server():
    for n, step in enumerate(cases()):
        if 'raw' in step:
            yield bytes([n % 256]) + step['raw'].encode('latin-1', 'replace')
        elif 'path' in step:
            body = json.dumps(step['body']).encode() if 'body' in step else step.get('text', '').encode()
            head = '%s %s HTTP/1.1\r\nHost: localhost\r\n' % (step.get('method', 'GET'), step['path'])
            for name, value in step.get('headers', {}).items():
                head += '%s: %s\r\n' % (name, value)
            if step.get('chunked'):
                rest = b'Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n' % (len(body), body)
            else:
                rest = b'Content-Length: %d\r\n\r\n%s' % (len(body), body)
            yield bytes([n % 256]) + head.encode() + rest


def http_client():
    for n, step in enumerate(cases()):
        expect = step.get('expect', {})
        if 'status' not in expect:
            continue
        body = json.dumps(expect['json']) if 'json' in expect else expect.get('text', '')
        head = 'HTTP/1.1 %d Text\r\n' % expect['status']
        for name, value in expect.get('headers', {}).items():
            head += '%s: %s\r\n' % (name, value)
        if n % 3 == 0:
            rest = 'Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n' % (len(body.encode()), body)
        elif n % 3 == 1:
            rest = 'Content-Length: %d\r\n\r\n%s' % (len(body.encode()), body)
        else:
            rest = 'Connection: close\r\n\r\n' + body
        yield bytes([n % 256]) + (head + rest).encode()
    for url in ('http://localhost:8500/v1/kv/a?b=c', 'https://[::1]/', 'http://a.b'):
        yield b'\0' + url.encode()


ANSWERED = {'AppendEntries': 0, 'RequestVote': 1, 'InstallSnapshot': 2, 'TimeoutNow': 3}


def raft_message():
    for path in files('raft/*.jsonl'):
        for one in lines(path):
            asked = ANSWERED.get(one.get('rpc'), 0)
            for key in ('request_hex', 'hex'):
                if one.get(key):
                    yield b'\1' + bytes.fromhex(one[key])
            if one.get('response_hex'):
                yield bytes([asked << 1]) + bytes.fromhex(one['response_hex'])


def apply():
    for path in files('fsm/*/log.jsonl'):
        for entry in lines(path):
            if entry.get('data_hex'):
                yield b'\0' + bytes.fromhex(entry['data_hex'])


def whole(pattern):
    for path in files(pattern):
        with open(path, 'rb') as f:
            yield f.read()


def hex_texts(pattern):
    """Every *_hex text of a set of recordings."""
    for path in files(pattern):
        for one in objects(load(path)):
            for key, text in one.items():
                if key.endswith('hex') and isinstance(text, str) and re.fullmatch('([0-9a-f]{2})+', text):
                    yield bytes.fromhex(text)


def serf_messages():
    """What stands behind the type byte of user messages; push/pull states; node metadata; coordinates."""
    for path in files('gossip/serf-*.json'):
        for packet in hex_texts(os.path.relpath(path, VECTORS)):
            at = packet.find(8) + 1 if packet[:1] in (b'\x08', b'\x0c') else 0
            yield b'\0' + packet[at:]
    for path in files('gossip/*.json'):
        for one in objects(load(path)):
            for key, first in (('user_state', 1), ('Meta', 2), ('Payload', 3)):
                text = one.get(key)
                text = text.get('$hex') if isinstance(text, dict) else text
                if isinstance(text, str) and re.fullmatch('([0-9a-f]{2})+', text):
                    yield bytes([first]) + bytes.fromhex(text)


def serf_snapshots():
    for path in files('gossip/*.json'):
        for one in objects(load(path)):
            for text in (one.get('text'), one.get('snapshot_after')):
                if isinstance(text, str) and 'alive: ' in text:
                    for first in (0, 1):
                        yield bytes([first]) + text.encode()
                        yield bytes([first]) + text.encode() + b'leave\nclock: 99\n'


def recorded_bytes(transports):
    """Bytes on the wire, and what was within a seal."""
    for path in files('gossip/*.json'):
        for entry in load(path)['entries']:
            if entry.get('transport') not in transports:
                continue
            decoded = entry.get('decoded') or {}
            sealed = decoded.get('layer', '').startswith('encrypt')
            yield bytes.fromhex(decoded['plain'] if sealed else entry['hex'])


def open_seal(plain):
    """Sealed as tests/world/open_cipher.h does, under the key of gossip_core.h."""
    tag = bytearray(b'0' * 16)
    tag[0] = (tag[0] + sum(plain)) % 256
    return b'\x01' + b'\x07' * 12 + plain + bytes(tag)


def gossip_packets():
    for plain in recorded_bytes(('packet', 'fragment')):
        yield b'\0' + plain
        yield b'\1' + open_seal(plain)
        yield b'\3' + plain
    for case in load(os.path.join(VECTORS, 'gossip/tolerance.json'))['entries'][0]['data']['cases']:
        yield b'\0' + bytes.fromhex(case['hex'])


def gossip_streams():
    for n, plain in enumerate(recorded_bytes(('stream',))):
        piece = bytes([n % 256])
        sealed = open_seal(plain)
        yield b'\0' + piece + plain
        yield b'\1' + piece + b'\x0a' + len(sealed).to_bytes(4, 'big') + sealed


def lzw():
    for path in files('gossip/*.json'):
        for one in objects(load(path)):
            if isinstance(one.get('lzw'), str):
                yield bytes.fromhex(one['lzw'])


def tls():
    """What a client says first, with several settings."""
    for n, latest in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
        for names in (None, ['http/1.1'], ['h2', 'http/1.1']):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.maximum_version = latest
            if names:
                context.set_alpn_protocols(names)
            out = ssl.MemoryBIO()
            try:
                context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='a').do_handshake()
            except ssl.SSLWantReadError:
                pass
            yield bytes([255 - 64 * n]) + out.read()
    yield b'\x01GET / HTTP/1.1\r\n\r\n'


TARGETS = {
    'fuzz_tls': tls,
    'fuzz_gossip_packet': gossip_packets,
    'fuzz_gossip_stream': gossip_streams,
    'fuzz_lzw': lzw,
    'fuzz_msgpack': msgpack,
    'fuzz_packet_frame': packet_frames,
    'fuzz_rpc_frame': rpc_frames,
    'fuzz_rpc_port': rpc_port,
    'fuzz_yamux': yamux,
    'fuzz_json': json_texts,
    'fuzz_hcl': hcl,
    'fuzz_config': config,
    'fuzz_filter': filters,
    'fuzz_http_server': http_server,
    'fuzz_http_client': http_client,
    'fuzz_raft_message': raft_message,
    'fuzz_serf_message': serf_messages,
    'fuzz_serf_snapshot': serf_snapshots,
    'fuzz_apply': apply,
    'fuzz_snapshot': lambda: whole('fsm/*/state.bin'),
    'fuzz_archive': lambda: whole('fsm/*/snapshot.tgz'),
}


def main():
    out = sys.argv[1]
    present = {os.path.basename(path)[:-2] for path in glob.glob(os.path.join(HERE, 'fuzz_*.c'))}
    for target in sorted(present):
        folder = os.path.join(out, target)
        os.makedirs(folder, exist_ok=True)
        make = TARGETS.get(target)
        if not make and 'gossip' in target:
            make = lambda: hex_texts('gossip/*.json')
        seeds = sorted({seed for seed in make() if 0 < len(seed) <= LARGEST}) if make else []
        for n, seed in enumerate(seeds):
            with open(os.path.join(folder, '%05d' % n), 'wb') as f:
                f.write(seed)
        print('%-24s %d seeds' % (target, len(seeds)))


if __name__ == '__main__':
    main()
