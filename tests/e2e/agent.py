# SPDX-License-Identifier: Apache-2.0
"""Starts agents of the binary under test and talks to them; shared by the whole-binary tests.

A test is a file with functions called test_*, run by main(). Each function gets the parsed options;
a failed assertion or an exception fails it. An agent's log is searched for reports of sanitizers and
broken invariants when it ends.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SKIPPED = 77
REPORTS = ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'invariant broken')
DEADLINE = 90.0
# What a condition may meet while it is not true yet: no connection, an error instead of JSON, a key that
# is not there, a program that does not answer.
NOT_YET = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, subprocess.SubprocessError)


class Skip(Exception):
    """The test cannot run here; the text says why."""


def eventually(condition, what, deadline=DEADLINE, every=0.02):
    """Polls until condition() is true and returns its value; fails after the deadline, with what
    stood in the way at last."""
    end = time.monotonic() + deadline
    while True:
        fault = None
        try:
            value = condition()
            if value:
                return value
        except NOT_YET as why:
            value, fault = 'an error, see above', why
        if time.monotonic() >= end:
            raise AssertionError('waited in vain: %s; at last: %r' % (what, value)) from fault
        time.sleep(every)


def free_port(address, first=20000, last=32000, given=set()):
    """A port that this program was not given before. None that the kernel may take for a connection
    before the agent does, or while it is down."""
    while True:
        port = random.SystemRandom().randrange(first, last)
        if (address, port) not in given and all(bindable(address, port, kind) for kind in (
                socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            given.add((address, port))
            return port


def bindable(address, port, kind):
    with socket.socket(socket.AF_INET, kind) as s:
        try:
            s.bind((address, port))
            return True
        except OSError:
            return False


running = []  # (process, what tells of it)


def started(process, show=lambda: None):
    """A process that does not outlive its test."""
    running.append((process, show))
    return process


def end_all(failed):
    """Ends what a test left behind, as one does that fails on the way in."""
    while running:
        process, show = running.pop()
        if process.poll() is None:
            if failed:
                show()
            process.kill()
            process.wait()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def text(self):
        return self.body.decode('utf-8', 'replace')

    def json(self):
        return json.loads(self.body)

    @property
    def index(self):
        return int(self.headers.get('X-Consul-Index', 0))


class Agent:
    def __init__(self, opts, config=None, data_dir=None, flags=(), env=()):
        self.binary, self.address = os.path.abspath(opts.binary), opts.bind
        self.folder = tempfile.mkdtemp(prefix='consuld-e2e-')
        self.data_dir = data_dir or os.path.join(self.folder, 'data')
        self.log_path = os.path.join(self.folder, 'log')
        self.port = free_port(self.address)
        self.flags = list(flags)
        self.env = dict(env)
        self.config = {
            'server': True, 'bootstrap': True, 'datacenter': 'dc1', 'node_name': 'e2e',
            'bind_addr': self.address, 'client_addr': self.address, 'data_dir': self.data_dir,
            'ports': {'http': self.port, 'dns': -1, 'grpc': -1, 'https': -1,
                      'server': free_port(self.address), 'serf_lan': free_port(self.address),
                      'serf_wan': free_port(self.address)},
            'performance': {'raft_multiplier': 1},
        }
        self.config.update(config or {})
        self.config_dir = os.path.join(self.folder, 'config')
        os.mkdir(self.config_dir)
        self.write_config('base.json', self.config)
        self.proc = None

    def write_config(self, name, content):
        """Writes a file of the configuration folder: text, or an object as JSON; None removes it."""
        path = os.path.join(self.config_dir, name)
        if content is None:
            os.remove(path)
            return
        with open(path, 'w') as f:
            f.write(content if isinstance(content, str) else json.dumps(content))

    # --- the process

    def spawn(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith('CONSUL_') and not k.lower().endswith('_proxy')}
        env.update(self.env)
        # Sanitizers end with a status that no agent uses.
        env['ASAN_OPTIONS'] = env.get('ASAN_OPTIONS', '') + ':exitcode=66'
        env['UBSAN_OPTIONS'] = env.get('UBSAN_OPTIONS', '') + ':print_stacktrace=1:exitcode=66'
        with open(self.log_path, 'ab') as log:
            self.proc = started(subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=log, env=env, cwd=self.folder), self.show)
        return self

    def command(self):
        return [self.binary, 'agent', '-config-dir', self.config_dir] + self.flags

    def start(self):
        self.spawn()
        self.wait_leader()
        return self

    def wait_http(self):
        return eventually(lambda: self.runs() and self.get('/v1/status/leader', timeout=5),
                          'an answer over HTTP')

    def runs(self):
        assert self.alive(), 'the agent ended: ' + self.tail()
        return True

    def knows_leader(self):
        answer = self.get('/v1/status/leader')
        return answer.status == 200 and answer.body not in (b'""', b'')

    def wait_leader(self):
        """Until the server leads and its own node is in the catalogue."""
        self.wait_http()
        eventually(lambda: self.runs() and self.knows_leader(), 'a leader')
        eventually(lambda: self.runs() and self.get('/v1/health/node/' + self.config['node_name']).json(),
                   'serfHealth of the own node')

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def signal(self, signum):
        self.proc.send_signal(signum)

    def kill(self):
        """kill -9"""
        self.proc.kill()
        self.proc.wait()

    def wait_end(self, deadline=DEADLINE):
        """Exit status."""
        return self.proc.wait(deadline)

    def stop(self, status=1):
        """SIGTERM; a server that does not leave ends with 1."""
        if not self.alive():
            self.check_log()
            return
        self.signal(signal.SIGTERM)
        got = self.wait_end()
        self.check_log()
        assert got == status, 'exit status %s instead of %s: %s' % (got, status, self.tail())

    def close(self):
        if self.alive():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show()
        try:
            if kind is None:
                self.stop(self.proc.returncode if self.proc and not self.alive() else 1)
        finally:
            self.close()

    # --- its log

    def show(self):
        print('--- end of the log of %s at %s:%d, %s\n%s\n---' % (
            self.config.get('node_name'), self.address, self.port,
            'which runs' if self.alive() else 'which ended', self.tail(8000)))
        if 'address already in use' in self.tail(8000):
            print(subprocess.run(['ss', '-lntup'], stdout=subprocess.PIPE, text=True).stdout)

    def log(self):
        if not os.path.exists(self.log_path):
            return ''  # it was never started
        with open(self.log_path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')

    def tail(self, n=3000):
        return self.log()[-n:]

    def check_log(self):
        text = self.log()
        for word in REPORTS:
            assert word not in text, text[max(0, text.index(word) - 200):][:6000]

    def wait_log(self, text, after=0):
        eventually(lambda: text in self.log()[after:], '%r in the log' % text)

    # --- requests

    def connect(self, timeout=DEADLINE):
        return http.client.HTTPConnection(self.address, self.port, timeout=timeout)

    def request(self, method, path, body=None, timeout=DEADLINE, connection=None, headers=None):
        conn = connection or self.connect(timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        try:
            conn.request(method, path, body, headers or {})
            answer = conn.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            if connection is None:
                conn.close()

    def get(self, path, **kw):
        return self.request('GET', path, **kw)

    def put(self, path, body=None, **kw):
        return self.request('PUT', path, body, **kw)

    def must(self, answer, status=200):
        assert answer.status == status, 'status %s instead of %s: %s' % (
            answer.status, status, answer.text()[:500])
        return answer

    def socket(self, timeout=DEADLINE):
        return socket.create_connection((self.address, self.port), timeout)

    # --- what it uses

    def memory(self):
        """Resident bytes."""
        with open('/proc/%d/statm' % self.proc.pid) as f:
            return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def cpu_ticks(self):
        with open('/proc/%d/stat' % self.proc.pid) as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return int(fields[11]) + int(fields[12])


def full():
    """True in the full suite."""
    return os.environ.get('CONSULD_TEST_FULL') == '1'


def main(space, extra=None):
    """Runs the test_* functions of a file's globals()."""
    ap = argparse.ArgumentParser(description=space.get('__doc__'))
    ap.add_argument('--binary', required=True)
    ap.add_argument('--bind', default='127.0.39.100', help='loopback address for the agents')
    ap.add_argument('--only', default='', help='only tests whose name contains this')
    if extra:
        extra(ap)
    opts = ap.parse_args()
    failed = ran = skipped = 0
    for name, function in list(space.items()):
        if not name.startswith('test_') or opts.only not in name:
            continue
        began = time.monotonic()
        try:
            function(opts)
            ran += 1
            print('ok   %s (%.1f s)' % (name, time.monotonic() - began))
        except Skip as why:
            skipped += 1
            print('skip %s: %s' % (name, why))
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print('FAIL %s' % name)
            end_all(failed=True)
        end_all(failed=False)
        sys.stdout.flush()
    print('%d passed, %d failed, %d skipped' % (ran, failed, skipped))
    if failed:
        return 1
    return SKIPPED if skipped and not ran else 0
