#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Patroni with the agent as its store: two PostgreSQL nodes elect a leader, one takes over when the
leader is killed, a switchover, and the cluster's keys and service as other tools see them.

Skipped without Debian's patroni and postgresql."""
import glob
import json
import os
import pwd
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))

import agent  # noqa: E402

SCOPE = 'main'


def programs():
    """Patroni and the folder of PostgreSQL's programs; Skip without them."""
    patroni = shutil.which('patroni')
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/postgres'))
    if not patroni or not found:
        raise agent.Skip('patroni or postgresql is not installed')
    return patroni, os.path.dirname(found[-1])


class Node:
    """PostgreSQL refuses to run as root, so its account runs both."""

    def __init__(self, server, name):
        self.name, self.server = name, server
        patroni, self.bin = programs()
        self.folder = os.path.join(server.folder, name)
        os.makedirs(os.path.join(self.folder, 'run'))
        port, rest = agent.free_port(server.address), agent.free_port(server.address)
        self.rest = rest
        address = server.address
        config = {
            'scope': SCOPE, 'name': name, 'namespace': '/service/',
            'restapi': {'listen': '%s:%d' % (address, rest), 'connect_address': '%s:%d' % (address, rest)},
            'consul': {'host': '%s:%d' % (address, server.port), 'register_service': True},
            'bootstrap': {
                'dcs': {'ttl': 20, 'loop_wait': 1, 'retry_timeout': 3, 'maximum_lag_on_failover': 1048576},
                'initdb': [{'encoding': 'UTF8'}, {'auth-local': 'trust'}, {'auth-host': 'trust'}],
                'pg_hba': ['local all all trust', 'host all all 127.0.0.0/8 trust',
                           'host replication all 127.0.0.0/8 trust']},
            'postgresql': {
                'listen': '%s:%d' % (address, port), 'connect_address': '%s:%d' % (address, port),
                'data_dir': os.path.join(self.folder, 'data'), 'bin_dir': self.bin,
                'pgpass': os.path.join(self.folder, 'pgpass'),
                'authentication': {'superuser': {'username': 'postgres', 'password': 'x'},
                                   'replication': {'username': 'replicator', 'password': 'x'}},
                'parameters': {'unix_socket_directories': os.path.join(self.folder, 'run')}},
        }
        path = os.path.join(self.folder, 'patroni.yml')
        with open(path, 'w') as f:
            json.dump(config, f)  # JSON is YAML
        self.command = [patroni, path]
        self.user = None
        if os.geteuid() == 0:
            self.user = pwd.getpwnam('postgres')
            os.chmod(server.folder, 0o755)
            for at, dirs, files in os.walk(self.folder):
                for entry in [at] + [os.path.join(at, f) for f in files]:
                    os.chown(entry, self.user.pw_uid, self.user.pw_gid)
        self.process = None

    def start(self):
        def become():
            if self.user:
                os.setgid(self.user.pw_gid)
                os.setuid(self.user.pw_uid)
        self.log = open(os.path.join(self.server.folder, self.name + '.log'), 'wb')
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, cwd='/',
                                        start_new_session=True, preexec_fn=become)
        return self

    def kill(self):
        """Patroni and its PostgreSQL, at once. The server has a process group of its own."""
        if not self.process:
            return
        try:
            pid = int(open(os.path.join(self.folder, 'data', 'postmaster.pid')).readline())
        except (OSError, ValueError):
            pid = None
        self.process.kill()
        self.process.wait()
        if pid:
            try:
                os.kill(pid, 3)
            except ProcessLookupError:
                pass
        self.process = None

    def tail(self):
        return open(self.log.name, errors='replace').read()[-3000:]


def value(server, key):
    answer = server.get('/v1/kv/service/%s/%s?raw' % (SCOPE, key))
    return answer.text() if answer.status == 200 else None


def wait(condition, what):
    return agent.eventually(condition, what, deadline=180, every=0.2)


def wait_leader(server, name):
    wait(lambda: value(server, 'leader') == name, name + ' to lead')


def roles(server):
    services = server.get('/v1/health/service/%s?passing' % SCOPE).json()
    return sorted(tag for s in services for tag in s['Service']['Tags'] if tag in ('master', 'replica'))


def test_a_leader_is_elected_and_replaced(opts):
    programs()
    with agent.Agent(opts) as server:
        server.start()
        nodes = []
        try:
            nodes.append(Node(server, 'one').start())
            wait_leader(server, 'one')
            nodes.append(Node(server, 'two').start())
            wait(lambda: '"state":"running"' in (value(server, 'members/two') or ''), 'the replica')
            wait(lambda: roles(server) == ['master', 'replica'], 'both in the catalog')
            session = server.get('/v1/kv/service/%s/leader' % SCOPE).json()[0]['Session']
            assert session, 'the leader key is held by a session'
            nodes[0].kill()
            # the session's TTL passes, the lock goes to the other
            wait_leader(server, 'two')
            wait(lambda: '"role":"master"' in (value(server, 'members/two') or ''), 'the promotion')
        except Exception:
            print('\n'.join('--- %s\n%s' % (n.name, n.tail()) for n in nodes))
            raise
        finally:
            for node in nodes:
                node.kill()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
