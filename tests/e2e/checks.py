#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks against services of the test's own: gRPC over clear text and TLS, Docker's engine on a unix
socket, HTTP with thresholds, scripts that leave processes behind."""
import gzip
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading

import agent

CONFIG = {'enable_script_checks': True, 'check_update_interval': '0s'}


def check(server, check_id):
    return server.get('/v1/agent/checks').json().get(check_id)


def register(server, body, status=200):
    server.must(server.put('/v1/agent/check/register', body), status)


def becomes(server, check_id, status, output):
    """Waits for the check's result; `output` is a part of it."""
    def there():
        c = check(server, check_id)
        return c and c['Status'] == status and output in c['Output']
    try:
        agent.eventually(there, 'the result')
    except AssertionError:
        raise AssertionError('%s is %s' % (check_id, check(server, check_id)))


# --- gRPC ---------------------------------------------------------------------------------------


def frame(kind, flags, stream, payload=b''):
    return len(payload).to_bytes(3, 'big') + bytes([kind, flags]) + stream.to_bytes(4, 'big') + payload


def literal(name, value):
    return b'\0' + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Ends:
    """A server whose thread ends with it."""

    def server_close(self):
        self.shutdown()
        super().server_close()


class Health(Ends, socketserver.ThreadingTCPServer):
    """Answers the health service in hand-made HTTP/2 frames."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, address, context=None):
        self.answer, self.asked, self.context = 'serving', [], context
        super().__init__((address, 0), HealthConnection)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def target(self):
        return '%s:%d' % self.server_address

    def handle_error(self, *_):
        pass


class HealthConnection(socketserver.BaseRequestHandler):
    def take(self, n):
        data = b''
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def handle(self):
        self.sock = self.request
        if self.server.context:
            self.sock = self.server.context.wrap_socket(self.request, server_side=True)
        try:
            assert self.take(24).startswith(b'PRI * HTTP/2.0')
            self.sock.sendall(frame(4, 0, 0))
            while True:
                head = self.take(9)
                payload = self.take(int.from_bytes(head[:3], 'big'))
                if head[3] == 4 and not head[4] & 1:
                    self.sock.sendall(frame(4, 1, 0))
                if head[3] == 0 and head[4] & 1:
                    self.server.asked.append(payload[5:])
                    self.reply(int.from_bytes(head[5:], 'big'))
        except (EOFError, OSError):
            pass

    def reply(self, stream):
        answer = self.server.answer
        headers = b'\x88' + literal('content-type', 'application/grpc')
        if answer == 'silent':
            return
        if answer in ('serving', 'not serving'):
            message = b'\x08' + (b'\x01' if answer == 'serving' else b'\x02')
            self.sock.sendall(frame(1, 4, stream, headers) +
                              frame(0, 0, stream, b'\0' + len(message).to_bytes(4, 'big') + message) +
                              frame(1, 5, stream, literal('grpc-status', '0')))
        else:
            self.sock.sendall(frame(1, 5, stream, headers + literal('grpc-status', '5') +
                                    literal('grpc-message', 'unknown%20service')))


def test_grpc_follows_the_health_service(opts):
    with agent.Agent(opts, CONFIG) as server, Health(opts.bind) as health:
        server.start()
        register(server, {'ID': 'g', 'Name': 'g', 'GRPC': health.target + '/web', 'Interval': '1s'})
        becomes(server, 'g', 'passing', 'gRPC check %s/web: success' % health.target)
        assert health.asked[0] == b'\x0a\x03web', health.asked
        health.answer = 'not serving'
        becomes(server, 'g', 'critical', "gRPC application didn't report service healthy")
        health.answer = 'unknown'
        becomes(server, 'g', 'critical', 'rpc error: code = NotFound desc = unknown service')
        health.answer = 'serving'
        becomes(server, 'g', 'passing', 'success')
        assert check(server, 'g')['Type'] == 'grpc'


def test_grpc_failures_have_their_texts(opts):
    with agent.Agent(opts, CONFIG) as server, Health(opts.bind) as health:
        server.start()
        health.answer = 'silent'
        port = agent.free_port(opts.bind)
        reached = 'rpc error: code = Unavailable desc = all SubConns are in TransientFailure, ' \
            'latest connection error: '
        for check_id, target in (('refused', '%s:%d' % (opts.bind, port)), ('slow', health.target),
                                 ('http', '%s:%d' % (opts.bind, server.port)), ('portless', 'here')):
            register(server, {'ID': check_id, 'Name': check_id, 'GRPC': target, 'Interval': '1s',
                              'Timeout': '500ms'})
        becomes(server, 'refused', 'critical', reached + 'connection error: desc = "transport: Error '
                'while dialing dial tcp %s:%d: connect: connection refused"' % (opts.bind, port))
        becomes(server, 'slow', 'critical',
                'rpc error: code = DeadlineExceeded desc = context deadline exceeded')
        becomes(server, 'http', 'critical', reached + 'connection closed')
        becomes(server, 'portless', 'critical', reached + 'connection error: desc = "transport: Error '
                'while dialing dial tcp: address here: missing port in address"')


def tls_context(alpn=()):
    """With a certificate that nobody trusts."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
                               '-subj', '/CN=other', '-keyout', folder + '/key', '-out', folder + '/cert'],
                              capture_output=True)
        assert made.returncode == 0, made.stderr
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + '/cert', folder + '/key')
        context.set_alpn_protocols(list(alpn))
        return context


def test_grpc_speaks_tls(opts):
    with agent.Agent(opts, CONFIG) as server, Health(opts.bind, tls_context(['h2'])) as health:
        server.start()
        for check_id, skip in (('any', True), ('verified', False)):
            register(server, {'ID': check_id, 'Name': check_id, 'GRPC': health.target,
                              'GRPCUseTLS': True, 'TLSSkipVerify': skip, 'Interval': '1s'})
        becomes(server, 'any', 'passing', 'success')
        becomes(server, 'verified', 'critical', 'transport: authentication handshake failed: x509: ')


# --- Docker -------------------------------------------------------------------------------------


class Engine(Ends, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The three requests of an exec."""
    daemon_threads = True

    def __init__(self, path):
        self.exit_code, self.output, self.calls, self.reset = 0, b'fine\n', [], False
        super().__init__(path, EngineRequest)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


class EngineRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return ''

    def send(self, status, body, sized=True):
        self.send_response(status)
        if sized:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.server.calls.append((self.path, body))
        if self.path == '/containers/paused/exec':
            self.send(409, b'{"message":"no"}')
        elif self.path == '/containers/broken/exec':
            self.send(500, b'oops')
        elif self.path == '/containers/c+1%2F2/exec':
            self.send(201, b'{"Id":"e1"}')
        elif self.path == '/exec/e1/start':
            self.send(200, self.server.output, sized=False)
        else:
            self.send(404, b'{"message":"No such container"}')

    def do_GET(self):
        self.server.calls.append((self.path, None))
        self.send(200, json.dumps({'ID': 'e1', 'ExitCode': self.server.exit_code}).encode())


def docker(container, check_id):
    return {'ID': check_id, 'Name': check_id, 'DockerContainerID': container, 'Args': ['probe', 'a b'],
            'Interval': '1s', 'OutputMaxSize': 32}


def test_docker_runs_a_command_in_a_container(opts):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/docker.sock'
        os.environ['DOCKER_HOST'] = 'unix://' + path
        try:
            with agent.Agent(opts, CONFIG) as server, Engine(path) as engine:
                server.start()
                register(server, docker('c 1/2', 'd'))
                becomes(server, 'd', 'passing', 'fine\n')
                (at, body), (started, how), (inspected, _) = engine.calls[:3]
                assert at == '/containers/c+1%2F2/exec', at
                assert body['Cmd'] == ['probe', 'a b'] and body['AttachStdout'], body
                assert (started, how['Detach'], inspected) == ('/exec/e1/start', False, '/exec/e1/json')
                engine.exit_code, engine.output = 1, b'x' * 100 + b'the end'
                becomes(server, 'd', 'warning', 'Captured 32 of 107 bytes\n...\n')
                assert check(server, 'd')['Output'].endswith('the end')
                engine.exit_code = 2
                becomes(server, 'd', 'critical', 'the end')
                for container, why in (('gone', 'create exec failed for unknown container gone'),
                                       ('paused', 'create exec failed since container paused is paused '
                                        'or stopped'),
                                       ('broken', 'create exec failed for container broken with status '
                                        '500: oops')):
                    register(server, docker(container, container))
                    becomes(server, container, 'critical', why)
            with agent.Agent(opts, CONFIG) as server:
                os.remove(path)
                server.start()
                register(server, docker('c', 'd'))
                becomes(server, 'd', 'critical', 'dial unix %s: connect: no such file' % path)
        finally:
            del os.environ['DOCKER_HOST']


# --- HTTP and scripts ---------------------------------------------------------------------------


class Web(Ends, http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, port=0):
        self.status, self.given = 200, []  # the status of each answer
        super().__init__((address, port), WebRequest)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return 'http://%s:%d/health' % self.server_address


class WebRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        special = getattr(self, 'get' + self.path.replace('/', '_'), None)
        if special:
            special()
            return
        self.server.given.append(self.server.status)
        self.send_response(self.server.given[-1])
        self.end_headers()
        self.wfile.write(b'body')


    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)

    def get_packed(self):
        assert self.headers['Accept-Encoding'] == 'gzip'
        self.answer(200, gzip.compress(b'many words ' * 1000 + b'the end'), Content_Encoding='gzip')

    def get_bytes(self):
        self.answer(200, bytes(range(256)))

    def get_short(self):
        self.answer(200, b'abc', Content_Length='10')

    def get_folder_moved(self):
        self.answer(302, b'', Location='there?x=1')

    def do_POST(self):
        self.answer(301, b'', Location='/after')

    def get_after(self):
        self.answer(200, b'as GET')


def test_http_answers_of_every_kind_are_taken(opts):
    with agent.Agent(opts, CONFIG) as server, Web(opts.bind) as web:
        server.start()
        base = web.url[:-len('/health')]
        for check_id, more in (('packed', {}), ('bytes', {}), ('short', {}), ('folder/moved', {}),
                               ('post', {'Method': 'POST', 'Body': 'x'}), ('odd', {'Method': 'G ET'}),
                               ('split', {'Header': {'A': ['b\r\nC: d']}})):
            register(server, dict(more, ID=check_id, Name=check_id, Interval='1s',
                                  HTTP='%s/%s' % (base, check_id)))
        becomes(server, 'packed', 'passing', 'many words the end')
        becomes(server, 'bytes', 'passing', '200 OK Output: \x00\x01\x02')
        becomes(server, 'short', 'passing', '200 OK Output: abc')
        becomes(server, 'folder/moved', 'passing', 'moved: 200 OK Output: body')
        becomes(server, 'post', 'passing', 'HTTP POST %s/post: 200 OK Output: as GET' % base)
        becomes(server, 'odd', 'critical', 'net/http: invalid method "G ET"')
        becomes(server, 'split', 'critical', 'net/http: invalid header field value "b\\r\\nC: d"')


# --- proxies ------------------------------------------------------------------------------------


class Proxy(Ends, socketserver.ThreadingTCPServer):
    """Answers requests itself, and leads tunnels to `inner`, whatever they are for."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, address, context=None, inner=None):
        self.heads, self.context, self.inner = [], context, inner
        super().__init__((address, 0), ProxyConnection)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return '%s://us:pa%%40ss@%s:%d' % (('https' if self.context else 'http',) + self.server_address)

    def asked(self, line):
        return [head for head in self.heads if head[0] == line]

    def handle_error(self, *_):
        pass


class ProxyConnection(socketserver.BaseRequestHandler):
    def handle(self):
        sock = self.request
        if self.server.context:
            sock = self.server.context.wrap_socket(sock, server_side=True)
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            byte = sock.recv(1)
            if not byte:
                return
            head += byte
        lines = head.decode().split('\r\n')
        self.server.heads.append(lines)
        if not lines[0].startswith('CONNECT'):
            sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        elif lines[0].startswith('CONNECT refused'):
            sock.sendall(b'HTTP/1.1 403 Not For You\r\n\r\n')
        else:
            with socket.create_connection(self.server.inner) as inner:
                sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
                back = threading.Thread(target=copy, args=(inner, sock), daemon=True)
                back.start()
                copy(sock, inner)
                back.join(5)


def copy(source, to):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_requests_go_through_the_proxy_of_the_environment(opts):
    credentials = 'Proxy-Authorization: Basic dXM6cGFAc3M='
    context = tls_context()
    with Web(opts.bind) as web, Proxy(opts.bind, None, web.server_address) as plain, \
            Proxy(opts.bind, context, web.server_address) as secure:
        web.socket = context.wrap_socket(web.socket, server_side=True)
        for proxy in (plain, secure):
            env = {'HTTP_PROXY': proxy.url, 'https_proxy': proxy.url, 'NO_PROXY': '.direct.test'}
            watch = {'type': 'services', 'handler_type': 'http', 'http_handler_config': {
                'path': 'http://hook.test/told', 'tls_skip_verify': True}}
            with agent.Agent(opts, dict(CONFIG, watches=[watch]), env=env) as server:
                server.start()
                for check_id, target in (('plain', 'http://web.test/a?b=c'), ('tls', 'https://web.test/health'),
                                         ('refused', 'https://refused.test:8443/'),
                                         ('direct', 'http://no.direct.test/')):
                    register(server, {'ID': check_id, 'Name': check_id, 'HTTP': target, 'Interval': '1s',
                                      'Timeout': '30s', 'TLSSkipVerify': True})
                becomes(server, 'plain', 'passing', 'HTTP GET http://web.test/a?b=c: 200 OK Output: ok')
                becomes(server, 'tls', 'passing', 'HTTP GET https://web.test/health: 200 OK Output: body')
                becomes(server, 'refused', 'critical', 'Get "https://refused.test:8443/": Not For You')
                becomes(server, 'direct', 'critical', 'no.direct.test')
                head = proxy.asked('GET http://web.test/a?b=c HTTP/1.1')[0]
                assert head[1] == 'Host: web.test' and head[-3] == credentials, head
                assert proxy.asked('CONNECT web.test:443 HTTP/1.1')[0][1:] == [
                    'Host: web.test:443', 'User-Agent: Go-http-client/1.1', credentials, '', '']
                agent.eventually(lambda: proxy.asked('POST http://hook.test/told HTTP/1.1'), 'the watch')
                assert not [head for head in proxy.heads if 'direct' in head[0]]


def test_grpc_goes_through_a_tunnel(opts):
    with Health(opts.bind) as health, Proxy(opts.bind, None, health.server_address) as proxy:
        with agent.Agent(opts, CONFIG, env={'HTTPS_PROXY': proxy.url}) as server:
            server.start()
            register(server, {'ID': 'g', 'Name': 'g', 'GRPC': 'web.test:50/x', 'Interval': '1s'})
            becomes(server, 'g', 'passing', 'gRPC check web.test:50/x: success')
            assert proxy.heads[0][:3] == ['CONNECT web.test:50 HTTP/1.1', 'Host: web.test:50',
                                          'User-Agent: grpc-go/1.25.1'], proxy.heads


def test_tcp_addresses_of_every_form(opts):
    with agent.Agent(opts, CONFIG) as server, socket.create_server(('127.0.0.1', 0)) as heard:
        server.start()
        port = heard.getsockname()[1]
        for number, (address, status, output) in enumerate((
                ('127.0.0.1:%d' % port, 'passing', 'TCP connect 127.0.0.1:%d: Success' % port),
                ('[127.0.0.1]:%d' % port, 'passing', 'Success'),
                (':%d' % port, 'passing', 'TCP connect :%d: Success' % port),
                (':1', 'critical', 'dial tcp :1: connect: connection refused'),
                (opts.bind + ':', 'critical', 'dial tcp %s:0: connect: connection refused' % opts.bind),
                (opts.bind, 'critical', 'address %s: missing port in address' % opts.bind),
                ('::1:80', 'critical', 'address ::1:80: too many colons in address'),
                (opts.bind + ':99999', 'critical', 'address 99999: invalid port'),
                (opts.bind + ':TcpMux', 'critical', 'dial tcp %s:1: connect: connection refused' % opts.bind),
                (opts.bind + ':nobodys', 'critical', 'address tcp/nobodys: unknown port'))):
            register(server, {'ID': 't%d' % number, 'Name': 't', 'TCP': address, 'Interval': '1s'})
            becomes(server, 't%d' % number, status, output)


def test_thresholds_hold_results_back(opts):
    with agent.Agent(opts, CONFIG) as server, Web(opts.bind) as web:
        server.start()
        register(server, {'ID': 'h', 'Name': 'h', 'HTTP': web.url, 'Interval': '1s',
                          'SuccessBeforePassing': 2, 'FailuresBeforeCritical': 3})
        becomes(server, 'h', 'passing', '200 OK Output: body')
        web.status = 500
        becomes(server, 'h', 'critical', '500 Internal Server Error')
        assert web.given.count(500) >= 3, web.given
        at, web.status = len(web.given), 200
        becomes(server, 'h', 'passing', '200 OK')
        assert web.given[at:].count(200) >= 2, web.given


def test_first_result_reaches_the_catalog_at_once(opts):
    config = dict(CONFIG, check_update_interval='1h')
    with agent.Agent(opts, config) as server, Web(opts.bind) as web:
        server.start()
        web.status = 503
        register(server, {'ID': 'h', 'Name': 'h', 'HTTP': web.url, 'Interval': '1s'})
        agent.eventually(lambda: any('503' in c['Output'] for c in server.get(
            '/v1/health/node/e2e').json()), 'the first output in the catalog')


def test_exposed_checks_go_through_the_proxy(opts):
    with agent.Agent(opts, CONFIG) as server:
        first = agent.free_port(opts.bind)
        server.config['ports'].update(expose_min_port=first, expose_max_port=first + 1)
        server.write_config('base.json', server.config)
        server.start()
        dead = '%s:%d' % (opts.bind, agent.free_port(opts.bind))
        server.must(server.put('/v1/agent/service/register', {'Name': 'web', 'Check': {
            'CheckID': 'c', 'HTTP': 'http://%s/health?deep=1' % dead, 'Interval': '1s'}}))
        becomes(server, 'c', 'critical', 'connection refused')
        proxy = {'Name': 'web-proxy', 'Kind': 'connect-proxy', 'Port': 1, 'Address': opts.bind,
                 'Proxy': {'DestinationServiceName': 'web', 'DestinationServiceID': 'web',
                           'Expose': {'Checks': True}}}
        server.must(server.put('/v1/agent/service/register', proxy))
        with Web(opts.bind, first):
            becomes(server, 'c', 'passing', 'HTTP GET http://%s:%d/health?deep=1: 200 OK' % (
                opts.bind, first))
        proxy['Proxy']['Expose'] = {}
        server.must(server.put('/v1/agent/service/register', proxy))
        becomes(server, 'c', 'critical', dead)


def test_script_is_killed_with_all_its_processes(opts):
    with agent.Agent(opts, CONFIG) as server, tempfile.TemporaryDirectory() as folder:
        server.start()
        pids = folder + '/pids'
        register(server, {'ID': 's', 'Name': 's', 'Interval': '1s', 'Timeout': '500ms', 'Args': [
            'sh', '-c', 'echo began; sleep 600 & echo $! >>%s; echo $$ >>%s; wait' % (pids, pids)]})
        becomes(server, 's', 'critical', 'Timed out (500ms) running check\n\nbegan')
        server.must(server.put('/v1/agent/check/deregister/s'))
        with open(pids) as f:
            for pid in f.read().split():
                agent.eventually(lambda: not os.path.exists('/proc/' + pid), 'the end of ' + pid)


def test_scripts_take_turns(opts):
    """More scripts than may run at a time: all get their turn. They take long enough for the limit to
    be what holds them back, not the time that it takes to start them."""
    n = 300
    with agent.Agent(opts, CONFIG) as server:
        server.start()
        conn = server.connect()
        for i in range(n):
            server.must(server.put('/v1/agent/check/register', {
                'ID': 's%d' % i, 'Name': 's', 'Interval': '1s', 'Args': ["sleep", "8"]}, connection=conn))
        conn.close()
        agent.eventually(lambda: all(c['Status'] == 'passing' for c in server.get(
            '/v1/agent/checks').json().values()), 'every script to pass', deadline=180, every=0.5)


def test_output_is_bounded_while_it_is_read(opts):
    with agent.Agent(opts, CONFIG) as server:
        server.start()
        before = server.memory()
        register(server, {'ID': 's', 'Name': 's', 'Interval': '1s', 'Args': [
            'sh', '-c', 'head -c 200000000 /dev/zero | tr "\\0" x; echo the end']})
        becomes(server, 's', 'passing', 'Captured 4096 of 200000008 bytes\n...\n')
        assert check(server, 's')['Output'].endswith('the end\n')
        assert server.memory() < before + (64 << 20), (before, server.memory())


def test_agent_stops_with_checks_of_every_kind_running(opts):
    with agent.Agent(opts, CONFIG) as server, Health(opts.bind) as health:
        server.start()
        health.answer = 'silent'
        for i, more in enumerate(({'GRPC': health.target}, {'HTTP': 'http://%s/' % health.target},
                                  {'Args': ['sleep', '100']}, {'TCP': '192.0.2.1:1'})):
            register(server, dict(more, ID='c%d' % i, Name='c', Interval='1s', Timeout='100s'))
        for i, more in enumerate(({'AliasService': 'x'}, {'AliasNode': 'nowhere', 'AliasService': 'x'})):
            register(server, dict(more, ID='a%d' % i, Name='a'))
        agent.eventually(lambda: health.asked, 'a check that runs')
        server.stop()  # before its deadline: the checks have longer


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
