#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of consuld beside those of whatever rivals are installed, taken in one run.

    bench.py --binary PATH [--seconds N] [--rounds N] [--watchers N] [--connections N] [--alone]

nginx, one worker answering a fixed body of the same size, is the ceiling of HTTP; etcd, one node
through its HTTP gateway, is a durable store of the same kind. wrk runs with one thread and the same
settings for all. Nothing is asserted.
"""
import argparse
import base64
import http.client
import json
import os
import re
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(SCRIPTS, '..', 'e2e'))
import agent  # noqa: E402

KEYS = 1000
INSTANCES = 10
HEALTH = '/v1/health/service/web?passing'
VALUE = 'v' * 100
LIMIT = 60.0


def note(text):
    print(text, file=sys.stderr, flush=True)


def request(port, method, path, body=None, address=None):
    conn = http.client.HTTPConnection(address, port, timeout=LIMIT)
    try:
        conn.request(method, path, body)
        answer = conn.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        conn.close()


class Server:
    """A process that is measured."""
    name = ''

    def __init__(self, opts, address):
        self.opts, self.address = opts, address
        self.folder = tempfile.mkdtemp(prefix='consuld-bench-')
        self.port = agent.free_port(address)
        self.proc = None

    def argv(self):
        raise NotImplementedError

    def start(self):
        with open(os.path.join(self.folder, 'log'), 'ab') as log:
            self.proc = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def stop(self):
        if self.proc:
            self.proc.terminate()
            self.proc.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method, path, body=None):
        return request(self.port, method, path, body, self.address)

    def first_write(self):
        """Milliseconds from the start of the process to the first accepted write."""
        began = time.monotonic()
        self.start()
        while time.monotonic() - began < LIMIT:
            try:
                if self.write('first', 'x'):
                    return (time.monotonic() - began) * 1000
            except (OSError, http.client.HTTPException):
                if self.proc.poll() is not None:
                    break
            time.sleep(0.0005)
        with open(os.path.join(self.folder, 'log')) as f:
            raise RuntimeError('%s took no write: %s' % (self.name, f.read()[-2000:]))

    def rss(self, kind='VmRSS'):
        with open('/proc/%d/status' % self.proc.pid) as f:
            return int(re.search(kind + r':\s+(\d+)', f.read()).group(1)) / 1024

    def cpu(self):
        """(milliseconds of CPU, wake-ups) of all threads so far."""
        spent = woken = 0
        for task in os.listdir('/proc/%d/task' % self.proc.pid):
            base = '/proc/%d/task/%s/' % (self.proc.pid, task)
            try:
                with open(base + 'schedstat') as f:
                    spent += int(f.read().split()[0]) / 1e6
                with open(base + 'status') as f:
                    woken += int(re.search(r'\nvoluntary_ctxt_switches:\s+(\d+)', f.read()).group(1))
            except OSError:
                pass
        return spent, woken

    def idle(self, seconds):
        before = self.cpu()
        time.sleep(seconds)
        after = self.cpu()
        return after[0] - before[0], after[1] - before[1]

    def wrk(self, script, **env):
        """Requests a second and the 99th percentile in milliseconds."""
        ran = subprocess.run(
            ['wrk', '-t1', '-c%d' % self.opts.connections, '-d%ds' % self.opts.seconds, '--latency',
             '-s', os.path.join(SCRIPTS, script), 'http://%s:%d' % (self.address, self.port)],
            env=dict(os.environ, **env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        rate = re.search(r'Requests/sec:\s+([\d.]+)', ran.stdout)
        slow = re.search(r'99%\s+([\d.]+)(us|ms|s)', ran.stdout)
        if not rate or 'Non-2xx' in ran.stdout:
            raise RuntimeError('%s: %s' % (self.name, ran.stdout))
        return float(rate.group(1)), float(slow.group(1)) * {'us': 1e-3, 'ms': 1, 's': 1e3}[slow.group(2)]


class Consuld(Server):
    name = 'consuld'

    def __init__(self, opts, address, dev=False):
        super().__init__(opts, address)
        self.dev = dev
        config = {
            'bind_addr': address, 'client_addr': address, 'node_name': 'bench',
            'performance': {'raft_multiplier': 1}, 'limits': {'http_max_conns_per_client': opts.watchers + 200},
            'ports': {'http': self.port, 'dns': -1, 'grpc': -1, 'https': -1,
                      'server': agent.free_port(address), 'serf_lan': agent.free_port(address),
                      'serf_wan': agent.free_port(address)},
        }
        if not dev:
            config.update({'server': True, 'bootstrap': True,
                           'data_dir': os.path.join(self.folder, 'data')})
        self.config = os.path.join(self.folder, 'config.json')
        with open(self.config, 'w') as f:
            json.dump(config, f)

    def argv(self):
        return [self.opts.binary, 'agent', '-config-file', self.config] + (['-dev'] if self.dev else [])

    def write(self, key, value):
        status, _, body = self.request('PUT', '/v1/kv/' + key, value)
        return status == 200 and body.strip() == b'true'

    def loads(self):
        return [('get', 'get.lua', {'BENCH_PATH': '/v1/kv/bench/'}),
                ('put', 'put.lua', {'BENCH_PATH': '/v1/kv/bench/', 'BENCH_VALUE': VALUE}),
                ('health', 'get.lua', {'BENCH_PATH': HEALTH + '&x='})]

    def add_instances(self, n):
        for i in range(n):
            body = json.dumps({
                'Node': 'node%d' % i, 'Address': '10.0.0.%d' % i,
                'Service': {'Service': 'web', 'ID': 'web%d' % i, 'Port': 8000 + i, 'Tags': ['v1']},
                'Check': {'CheckID': 'c', 'Name': 'c', 'Status': 'passing', 'ServiceID': 'web%d' % i}})
            assert self.request('PUT', '/v1/catalog/register', body)[0] == 200

    def watch_request(self):
        _, headers, _ = self.request('GET', '/v1/kv/watched')
        return ('GET /v1/kv/watched?wait=9m&index=%s HTTP/1.1\r\nHost: x\r\n\r\n' %
                headers['X-Consul-Index']).encode()

    parked_answer = None  # nothing comes before the change


class Etcd(Server):
    name = 'etcd'

    def argv(self):
        with socket.socket() as s:
            s.bind((self.address, 0))
            peer = 'http://%s:%d' % (self.address, s.getsockname()[1])
        url = 'http://%s:%d' % (self.address, self.port)
        return ['etcd', '--data-dir', os.path.join(self.folder, 'data'), '--listen-client-urls', url,
                '--advertise-client-urls', url, '--listen-peer-urls', peer,
                '--initial-advertise-peer-urls', peer, '--initial-cluster', 'default=' + peer,
                '--logger', 'zap', '--log-level', 'error']

    @staticmethod
    def text(s):
        return base64.b64encode(s.encode()).decode()

    def write(self, key, value):
        body = json.dumps({'key': self.text(key), 'value': self.text(value)})
        return self.request('POST', '/v3/kv/put', body)[0] == 200

    def loads(self):
        return [('get', 'etcd_get.lua', {}), ('put', 'etcd_put.lua', {'BENCH_VALUE': VALUE})]

    def watch_request(self):
        body = json.dumps({'create_request': {'key': self.text('watched')}})
        return ('POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s' %
                (len(body), body)).encode()

    parked_answer = b'"created":true'


class Nginx(Server):
    name = 'nginx'

    def __init__(self, opts, address, body):
        super().__init__(opts, address)
        self.config = os.path.join(self.folder, 'nginx.conf')
        # A parameter has at most 4 kB.
        text = body.decode().replace("'", ' ').replace('\\', ' ').replace('$', ' ')
        parts = [text[at:at + 3000] for at in range(0, len(text), 3000)]
        lines = ''.join("set $part%d '%s';\n" % (i, part) for i, part in enumerate(parts))
        value = ''.join('${part%d}' % i for i in range(len(parts))) if len(parts) > 1 else parts[0]
        with open(self.config, 'w') as f:
            f.write('''daemon off; master_process off; worker_processes 1; pid %(dir)s/pid;
error_log %(dir)s/error crit;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path %(dir)s/b; proxy_temp_path %(dir)s/p; fastcgi_temp_path %(dir)s/f;
  uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  server { listen %(at)s; location / { %(lines)s return 200 '%(value)s'; } }
}
''' % {'dir': self.folder, 'at': '%s:%d' % (address, self.port), 'value': value,
       'lines': lines if len(parts) > 1 else ''})

    def argv(self):
        return ['nginx', '-c', self.config, '-p', self.folder]

    def write(self, key, value):
        return self.request('GET', '/')[0] == 200

    def loads(self):
        return [('get', 'get.lua', {'BENCH_PATH': '/'})]


# --- measurements

def watchers(server, n):
    """Parks n requests on one key, changes it, and returns (ms until the first knows, until all
    know, KiB of memory a watcher, CPU ms of it)."""
    server.write('watched', '0')
    text, held = server.watch_request(), selectors.DefaultSelector()
    memory = server.rss()
    sockets = []
    for _ in range(n):
        s = socket.create_connection((server.address, server.port), LIMIT)
        s.sendall(text)
        held.register(s, selectors.EVENT_READ)
        sockets.append(s)
    if server.parked_answer:
        answers(held, n, lambda got: server.parked_answer in got)
    else:
        settle(server)
    memory = server.rss() - memory
    cpu = server.cpu()[0]
    began = time.monotonic()
    assert server.write('watched', '1')
    first, last = answers(held, n, lambda got: True)
    settle(server)
    cpu = server.cpu()[0] - cpu
    for s in sockets:
        s.close()
    held.close()
    return (first - began) * 1000, (last - began) * 1000, memory * 1024 / n, cpu


def answers(held, n, enough):
    """Moments when the first and the last of n sockets had got what they wait for."""
    first, got, end = None, {}, time.monotonic() + LIMIT
    done = set()
    while len(done) < n:
        for key, _ in held.select(1):
            if key.fd in done:
                key.fileobj.recv(65536)
                continue
            got[key.fd] = got.get(key.fd, b'') + key.fileobj.recv(65536)
            if enough(got[key.fd]):
                first = first or time.monotonic()
                done.add(key.fd)
        if time.monotonic() > end:
            raise RuntimeError('%d of %d answers' % (len(done), n))
    return first, time.monotonic()


def settle(server):
    """Until the server rests."""
    while server.idle(0.2)[0] > 4:
        pass


def begin(server, opts):
    """Start, rest, and what is read later."""
    note('%s: start' % server.name)
    f = {'start': server.first_write()}
    settle(server)
    f['rss_idle'] = server.rss()
    f['idle_cpu'], f['idle_wakes'] = server.idle(opts.seconds)
    for n in range(KEYS):
        server.write('bench/%d' % n, VALUE)
    if isinstance(server, Consuld):
        server.add_instances(INSTANCES)
    return f


def load(servers, figures, opts):
    """Rounds of all servers in turn, the best of each kept: so a busy moment hits no one alone."""
    for number in range(opts.rounds):
        note('round %d of %d' % (number + 1, opts.rounds))
        for server in servers:
            for key, script, env in server.loads():
                rate, slow = server.wrk(script, **env)
                f = figures[server.name]
                if rate > f.get(key, 0):
                    f[key], f[key + '_p99'] = rate, slow


def finish(server, f, opts):
    settle(server)
    f['rss_loaded'], f['anon_loaded'] = server.rss(), server.rss('RssAnon')
    note('%s: %d watchers' % (server.name, opts.watchers))
    f['wake_first'], f['wake_all'], f['watcher_kib'], f['wake_cpu'] = watchers(server, opts.watchers)
    server.stop()
    note('%s: start again' % server.name)
    f['restart'] = server.first_write()


ROWS = [
    ('get', 'KV GET, requests/s', '%.0f'), ('get_p99', '  99th percentile, ms', '%.2f'),
    ('put', 'KV PUT (durable), requests/s', '%.0f'), ('put_p99', '  99th percentile, ms', '%.2f'),
    ('health', 'health of %d instances, requests/s' % INSTANCES, '%.0f'), ('health_p99', '  99th percentile, ms', '%.2f'),
    ('wake_first', 'watchers: first knows after, ms', '%.1f'), ('wake_all', 'watchers: all know after, ms', '%.1f'),
    ('wake_cpu', 'watchers: CPU of the wake-up, ms', '%.1f'), ('watcher_kib', 'watchers: memory each, KiB', '%.1f'),
    ('rss_idle', 'RSS idle, MB', '%.1f'), ('rss_loaded', 'RSS after the writes, MB', '%.1f'),
    ('anon_loaded', '  without mapped files, MB', '%.1f'),
    ('start', 'start to first write, ms', '%.0f'), ('restart', 'restart to first write, ms', '%.0f'),
    ('dev', 'start of -dev to first write, ms', '%.0f'),
    ('idle_cpu', 'CPU while idle, ms in %d s', '%.1f'), ('idle_wakes', 'wake-ups while idle in %d s', '%d'),
]


def show(figures, opts):
    names = list(figures)
    print('%-38s' % '' + ''.join('%14s' % n for n in names))
    for key, title, form in ROWS:
        if not any(key in f for f in figures.values()):
            continue
        if '%d' in title:
            title = title % opts.seconds
        print('%-38s' % title + ''.join('%14s' % (form % f[key] if key in f else '-') for f in figures.values()))


def sync_time(n=100):
    """Median time of a synced write of 4 kB in milliseconds: what bounds durable writes."""
    taken = []
    with tempfile.TemporaryFile() as f:
        for at in range(n):
            began = time.monotonic()
            os.pwrite(f.fileno(), b'x' * 4096, at * 4096)
            os.fdatasync(f.fileno())
            taken.append(time.monotonic() - began)
    return sorted(taken)[n // 2] * 1000


def ratios(figures):
    own, ceiling, etcd = figures['consuld'], figures.get('nginx'), figures.get('etcd')
    print()
    if ceiling:
        print('GET against nginx with one worker: %.2f' % (own['get'] / ceiling['get']))
    if 'nginx health' in figures:
        print('health against nginx with the same body: %.2f' % (
            own['health'] / figures['nginx health']['get']))
    print('PUT against GET: %.2f' % (own['put'] / own['get']))
    if etcd:
        print('GET against etcd: %.1f   PUT against etcd: %.1f   RSS against etcd: %.2f' % (
            own['get'] / etcd['get'], own['put'] / etcd['put'], own['rss_idle'] / etcd['rss_idle']))


def run(opts):
    figures, servers = {}, []

    def add(server):
        servers.append(server)
        return server
    try:
        own = add(Consuld(opts, opts.bind))
        figures['consuld'] = begin(own, opts)
        before = sync_time()
        if not opts.alone and shutil.which('nginx'):
            paths = {'nginx': '/v1/kv/bench/1', 'nginx health': HEALTH}
            for name, path in paths.items():
                server = add(Nginx(opts, opts.nginx, own.request('GET', path)[2]))
                server.name = name
                figures[name] = {'start': server.first_write(), 'rss_idle': server.rss()}
        if not opts.alone and shutil.which('etcd'):
            server = add(Etcd(opts, opts.etcd))
            figures['etcd'] = begin(server, opts)
        load(servers, figures, opts)
        for server in servers:
            if not isinstance(server, Nginx):
                finish(server, figures[server.name], opts)
        dev = add(Consuld(opts, opts.bind, dev=True))
        figures['consuld']['dev'] = dev.first_write()
    finally:
        for server in servers:
            server.close()
    print('wrk -t1 -c%d -d%ds, best of %d rounds; %d keys of %d bytes, %d watchers of one key; %d CPUs' % (
        opts.connections, opts.seconds, opts.rounds, KEYS, len(VALUE), opts.watchers, os.cpu_count()))
    print('a synced write of 4 kB takes %.2f ms before, %.2f ms after\n' % (before, sync_time()))
    show(figures, opts)
    ratios(figures)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--binary', required=True)
    ap.add_argument('--seconds', type=int, default=3)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--connections', type=int, default=64)
    ap.add_argument('--watchers', type=int, default=5000)
    ap.add_argument('--bind', default='127.0.39.61')
    ap.add_argument('--nginx', default='127.0.39.62')
    ap.add_argument('--etcd', default='127.0.39.63')
    ap.add_argument('--alone', action='store_true', help='no rivals')
    opts = ap.parse_args()
    opts.binary = os.path.abspath(opts.binary)
    if not shutil.which('wrk'):
        print('skip: wrk is not installed (apt-get install wrk)')
        return 77
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = opts.watchers + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        opts.watchers = hard - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, opts.watchers + 500), hard))
    run(opts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
