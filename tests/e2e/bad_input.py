#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input over sockets and in files: an answer that says what is wrong where one is due, a closed
connection otherwise, and an agent that lives on and serves the others."""
import os
import random
import resource
import socket
import struct
import subprocess
import sys

import agent


def exchange(server, data, half_close=False, deadline=agent.DEADLINE):
    """Sends bytes and reads until the end of the connection, or until one whole answer came."""
    with server.socket(deadline) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b''
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
                if not half_close and whole(got):
                    break
        except ConnectionResetError:
            pass
        return got


def whole(got):
    head, sep, body = got.partition(b'\r\n\r\n')
    if not sep:
        return False
    for line in head.split(b'\r\n'):
        name, _, value = line.partition(b':')
        if name.lower() == b'content-length':
            return len(body) >= int(value)
    return b'chunked' not in head.lower() or body.endswith(b'0\r\n\r\n')


def status(got):
    return int(got.split(b' ', 2)[1]) if got.startswith(b'HTTP/1.') else 0


def lives(server):
    assert server.alive(), server.tail()
    assert server.put('/v1/kv/alive', 'x').body == b'true'
    assert server.get('/v1/kv/alive?raw').body == b'x'


MALFORMED = [
    b'\r\n\r\n\r\n',
    b'GET\r\n\r\n',
    b'GET /v1/kv/a\r\n\r\n',
    b'GET /v1/kv/a HTTP/9.9\r\n\r\n',
    b'GET  /v1/kv/a  HTTP/1.1\r\nHost: x\r\n\r\n',
    b'G\x00T /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n',
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(range(200)),
    b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\nno colon here\r\n\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\n: empty name\r\n\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n folded: line\r\n\r\n',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\nx',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\nx',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n',
    b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nx',
    b'GET /' + b'a' * (2 << 20) + b' HTTP/1.1\r\nHost: x\r\n\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n' + b'X-A: b\r\n' * 200000 + b'\r\n',
    b'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\nX-Long: ' + b'b' * (2 << 20) + b'\r\n\r\n',
    b'GET /v1/kv/%zz HTTP/1.1\r\nHost: x\r\n\r\n',
    b'GET /v1/kv/a?%zz HTTP/1.1\r\nHost: x\r\n\r\n',
    b'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
    b'CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n',
]


def test_malformed_http(opts):
    with agent.Agent(opts) as server:
        server.start()
        for data in MALFORMED:
            got = exchange(server, data, half_close=True)
            assert not got or status(got) >= 200, (data[:60], got[:200])
            if status(got) == 200:
                assert data.split(b' ')[0] in (b'OPTIONS', b'CONNECT', b'GET'), (data[:60], got[:200])
            lives(server)


def test_random_bytes(opts):
    dice = random.Random(opts.seed)
    print('seed %d' % opts.seed)
    valid = (b'PUT /v1/txn HTTP/1.1\r\nHost: x\r\nContent-Length: 70\r\n\r\n'
             b'[{"KV": {"Verb": "set", "Key": "a", "Value": "dGVzdA=="}}]            ')
    with agent.Agent(opts) as server:
        server.start()
        for _ in range(2000 if agent.full() else 200):
            data = bytearray(valid)
            for _ in range(dice.randrange(1, 12)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            exchange(server, bytes(data[:dice.randrange(1, len(data) + 1)]), half_close=True)
        lives(server)


# --- bodies

WRITES = [
    ('PUT', '/v1/agent/service/register'), ('PUT', '/v1/agent/check/register'),
    ('PUT', '/v1/agent/check/update/x'), ('PUT', '/v1/catalog/register'),
    ('PUT', '/v1/catalog/deregister'), ('PUT', '/v1/session/create'), ('PUT', '/v1/txn'),
    ('POST', '/v1/query'), ('PUT', '/v1/coordinate/update'),
    ('PUT', '/v1/operator/autopilot/configuration'),
]
BODIES = [
    b'', b'{', b'[', b'}', b'"', b'nul', b'null', b'true', b'0', b'"text"', b'[]', b'[1]', b'[[]]',
    b'{}', b'{"Name"', b'{"Name":', b'{"Name":}', b'{"Name": "a",}', b'{"Name": 1}', b'{"ID": []}',
    b'{"Name": "a", "Port": "b"}', b'{"Name": "a", "Port": 1e400}', b'{"Name": "a", "Port": -1}',
    b'{"Name": "a", "Port": 99999999999999999999}', b'{"Name": "a", "Tags": "x"}',
    b'{"Name": "\xff\xfe"}', b'{"Name": "\\ud800"}', b'{"Name": "\\u12"}', b'{"Name": "a\x01b"}',
    b'\xef\xbb\xbf{}', b'{}{}', b'{"\x00": 1}', b'{"Name": "a", "Check": {"TTL": "1 parsec"}}',
    b'{"Name": "a", "Check": {"TTL": -5}}', b'{"Name": "a", "Check": {"Interval": "99999999h"}}',
    b'{"Node": "n", "Address": "a", "Check": 5}', b'{"Node": "n", "Address": "a", "Service": []}',
    b'{"Node": "n", "Address": "a", "Coord": {"Vec": ["x"]}}', b'{"Node": {"Node": {}}}',
    b'[{"KV": null}]', b'[{"KV": {}}]', b'[null]', b'[{"KV": {"Verb": "no", "Key": "k"}}]',
    b'[{"KV": {"Verb": "set", "Key": "k", "Value": "*"}}]', b'[{"Node": {"Verb": "set"}}]',
    b'{"TTL": "5"}', b'{"TTL": "99999999999h"}', b'{"Checks": 3}', b'{"LockDelay": {}}',
    b'[' * 100000, b'{"a":' * 100000, b'[' * 100000 + b']' * 100000,
    b'{"Name": "' + b'n' * 200000 + b'"}', b'{"Meta": {' + b','.join(
        b'"k%d": "v"' % n for n in range(20000)) + b'}, "Name": "many"}',
]


def test_bad_bodies(opts):
    with agent.Agent(opts) as server:
        server.start()
        conn = server.connect()
        for method, path in WRITES:
            for body in BODIES:
                answer = server.request(method, path, body, connection=conn)
                what = (method, path, body[:60], answer.status, answer.text()[:200])
                assert answer.status in (200, 400, 404, 409, 413, 500), what
                assert answer.status == 200 or answer.body, what
        conn.close()
        lives(server)


def test_bad_parameters(opts):
    paths = [
        '/v1/kv/alive?index=-1', '/v1/kv/alive?index=18446744073709551616', '/v1/kv/alive?index=x',
        '/v1/kv/alive?wait=-5s', '/v1/kv/alive?wait=1y', '/v1/kv/alive?wait=9999999999999h',
        '/v1/kv/alive?stale&consistent', '/v1/kv/alive?dc=' + 'd' * 5000, '/v1/kv/' + 'k' * 20000,
        '/v1/catalog/nodes?filter=', '/v1/catalog/nodes?filter=' + '(' * 5000,
        '/v1/catalog/nodes?filter=' + 'not%20' * 5000 + 'a', '/v1/catalog/nodes?filter=Node+==',
        '/v1/catalog/nodes?filter=Node+matches+%22(a%2B)%2B$%22',
        '/v1/catalog/nodes?filter=Node+matches+%22' + '(' * 3000 + '%22',
        '/v1/catalog/nodes?filter=Node+matches+%22(((a{1,1000}){1,1000}){1,1000}%22',
        '/v1/catalog/nodes?filter=%ff%fe', '/v1/catalog/nodes?near=' + 'n' * 5000,
        '/v1/catalog/nodes?node-meta=' + ':' * 5000, '/v1/session/info/not-a-uuid',
        '/v1/health/state/nonsense', '/v1/agent/metrics?format=' + 'x' * 999,
    ]
    with agent.Agent(opts) as server:
        server.start()
        server.put('/v1/kv/alive', 'x')
        for path in paths:
            answer = server.get(path)
            assert answer.status in (200, 400, 404, 413, 414, 500), (path[:60], answer.status)
            lives(server)


def test_oversize_bodies(opts):
    with agent.Agent(opts) as server:
        server.start()
        assert server.put('/v1/kv/big', b'x' * (512 << 10)).body == b'true'
        assert server.put('/v1/kv/big', b'x' * ((512 << 10) + 1)).status == 413
        before = server.memory()
        # announced, never sent
        for path in ('/v1/kv/big', '/v1/txn', '/v1/catalog/register', '/v1/agent/service/register'):
            head = ('PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % (path, 1 << 40)).encode()
            got = exchange(server, head + b'x' * 1000, half_close=True)
            assert not got or 400 <= status(got) < 600, (path, got[:200])
        # sent as chunks that do not end: refused at the limit, whatever still comes is not kept
        for path in ('/v1/kv/big', '/v1/txn', '/v1/catalog/register', '/v1/agent/service/register'):
            head = 'PUT %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' % path
            got = exchange(server, head.encode() + (b'8000\r\n' + b'[' * 0x8000 + b'\r\n') * 3000)
            assert not got or 400 <= status(got) < 600, (path, got[:200])
        grown = server.memory() - before
        assert grown < 400 << 20, 'grew by %d MB' % (grown >> 20)
        lives(server)


# --- connections

def test_half_closed(opts):
    with agent.Agent(opts) as server:
        server.start()
        server.put('/v1/kv/a', 'value')
        got = exchange(server, b'GET /v1/kv/a?raw HTTP/1.1\r\nHost: x\r\n\r\n', half_close=True)
        assert status(got) == 200 and got.endswith(b'value'), got
        got = exchange(server, b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew', half_close=True)
        assert status(got) == 200 and got.endswith(b'true'), got
        # in the middle of a request
        for cut in (b'', b'GE', b'GET /v1/kv/a HTTP/1.1\r\nHost', b'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nxx'):
            got = exchange(server, cut, half_close=True)
            assert status(got) in (0, 400), got
        assert server.get('/v1/kv/a?raw').body == b'new'
        # reset while parked
        index = server.get('/v1/kv/a').index
        for _ in range(50):
            s = server.socket()
            s.sendall(b'GET /v1/kv/a?index=%d HTTP/1.1\r\nHost: x\r\n\r\n' % index)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            s.close()
        assert server.put('/v1/kv/a', 'again').body == b'true'
        lives(server)


def test_slow_clients_do_not_hold_up_others(opts):
    with agent.Agent(opts) as server:
        server.start()
        request = b'PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n' + b's' * 20
        slow = [server.socket() for _ in range(60)]
        for at in range(len(request)):
            for s in slow:
                s.sendall(request[at:at + 1])
            if at % 10 == 0:
                lives(server)
        for s in slow:
            got = b''
            while not whole(got):
                part = s.recv(1000)
                assert part, got
                got += part
            assert status(got) == 200, got
            s.close()


def test_clients_that_do_not_read(opts):
    """Answers pile up for a client that asks on and on and reads nothing: its requests wait, the
    memory does not grow with them."""
    with agent.Agent(opts) as server:
        server.start()
        server.put('/v1/kv/big', b'x' * (500 << 10))
        before = server.memory()
        request = b'GET /v1/kv/big?raw HTTP/1.1\r\nHost: x\r\n\r\n' * 500
        deaf = []
        for _ in range(20):
            s = server.socket()
            s.setblocking(False)
            deaf.append(s)
            try:
                s.send(request)
            except BlockingIOError:
                pass
        for _ in range(30):
            lives(server)
        grown = server.memory() - before
        assert grown < 200 << 20, 'grew by %d MB' % (grown >> 20)
        for s in deaf:
            s.close()
        lives(server)


def test_connection_limit_of_a_client(opts):
    with agent.Agent(opts, {'limits': {'http_max_conns_per_client': 30},
                            'telemetry': {'prometheus_retention_time': '1h', 'disable_hostname': True}}) as server:
        server.start()
        held = agent.eventually(lambda: hold(server, 30), 'room for 30 connections')
        assert status(exchange(server, b'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n')) == 429
        for s in held:
            s.close()

        def taken():
            return status(exchange(server, b'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n')) == 200
        agent.eventually(taken, 'a connection after the others went')
        told = server.get('/v1/agent/metrics?format=prometheus').body.decode()
        assert 'consul_http_refused_client{client="127.0.0.1"} ' in told, told
        counts = [line.split()[1] for line in told.splitlines() if line.startswith('consul_http_refused')]
        assert len(counts) == 2 and counts[0] == counts[1] and int(counts[0]) > 0, counts


def hold(server, n):
    """n connections that were answered on, or None when they were not all taken."""
    held = [server.socket() for _ in range(n)]
    try:
        for s in held:
            s.sendall(b'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n')
        if all([status(s.recv(1000)) == 200 for s in held]):
            return held
    except OSError:
        pass
    for s in held:
        s.close()
    return None


def test_thousands_of_idle_connections(opts):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3000
    if hard != resource.RLIM_INFINITY and hard < wanted + 200:
        raise agent.Skip('only %d open files allowed' % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 200), hard))
    with agent.Agent(opts, {'limits': {'http_max_conns_per_client': wanted + 50}}) as server:
        server.start()
        before = server.memory()
        idle = [server.socket() for _ in range(wanted)]
        for s in idle[::3]:  # some have asked before
            s.sendall(b'GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n')
        for s in idle[::3]:
            assert status(s.recv(1000)) == 200
        lives(server)
        print('%d bytes for a connection' % ((server.memory() - before) // wanted))
        for s in idle:
            s.close()
        lives(server)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- files

FILES = {
    'open.hcl': b'service {\n',
    'value.hcl': b'datacenter = }\n',
    'string.hcl': b'datacenter = "abc\n',
    'binary.hcl': bytes(range(256)),
    'deep.hcl': b'a {\n' * 20000,
    'deep.json': b'{"a":' * 100000,
    'trailing.json': b'{} x',
    'list.json': b'[1, 2]',
    'type.json': b'{"server": "perhaps"}',
    'unknown.json': b'{"never_heard_of": 1}',
    'number.hcl': b'ports { http = 99999999999999999999999 }\n',
    'heredoc.hcl': b'node_name = <<EOF\nnever ended\n',
    'utf8.json': b'{"node_name": "\xff\xfe\x00"}',
    'port.json': b'{"ports": {"http": 70000}}',
    'duration.json': b'{"performance": {"rpc_hold_timeout": "soon"}}',
}


def test_bad_configuration_files(opts):
    with agent.Agent(opts) as server:
        server.start()  # for its folders
        for name, content in FILES.items():
            path = os.path.join(server.folder, name)
            with open(path, 'wb') as f:
                f.write(content)
            ran = subprocess.run(
                [server.binary, 'agent', '-server', '-bind', server.address, '-client', server.address,
                 '-data-dir', os.path.join(server.folder, 'other'), '-config-file', path],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            text = ran.stdout.decode('utf-8', 'replace')
            assert ran.returncode == 1, (name, ran.returncode, text[-2000:])
            assert text.strip() and not any(word in text for word in agent.REPORTS), (name, text)
        lives(server)


def options(ap):
    ap.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 30))


if __name__ == '__main__':
    sys.exit(agent.main(globals(), options))
