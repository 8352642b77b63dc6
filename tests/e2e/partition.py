# SPDX-License-Identifier: Apache-2.0
"""Five agents, each in a network namespace of its own behind one router: the router cuts the pool in
two, both sides see the other fail, and it heals. Needs root."""
import os
import subprocess
import sys

import agent
from agent import eventually
from pool import ALIVE, FAILED, FAST, agree, health, lan, statuses

INSIDE = 'CONSULD_TEST_ROUTER'
PORTS = {'http': 8500, 'dns': -1, 'grpc': -1, 'https': -1, 'server': 8300, 'serf_lan': 8301,
         'serf_wan': 8302}


def ip(*words):
    subprocess.run(['ip', *words], check=True, stdout=subprocess.DEVNULL)


class Place:
    """A namespace with one address, whose default route is this one, the router. It lives as long
    as a process that waits for the end of its input."""

    def __init__(self, number):
        self.here = 'port%d' % number
        self.net, self.address = '10.77.%d.0/24' % number, '10.77.%d.2' % number
        self.holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo; exec cat'],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        here, there, pid = self.here, 'eth0', str(self.holder.pid)
        ip('link', 'add', 'name', here, 'type', 'veth', 'peer', 'name', there, 'netns', pid)
        ip('addr', 'add', '10.77.%d.1/24' % number, 'dev', here)
        ip('link', 'set', here, 'up')
        for words in (['addr', 'add', self.address + '/24', 'dev', there],
                      ['link', 'set', 'lo', 'up'], ['link', 'set', there, 'up'],
                      ['route', 'add', 'default', 'via', '10.77.%d.1' % number]):
            subprocess.run(self.enter('ip', *words), check=True)

    def enter(self, *command):
        return ['nsenter', '--net=/proc/%d/ns/net' % self.holder.pid, *command]

    def close(self):
        ip('link', 'del', self.here)
        self.holder.stdin.close()
        self.holder.wait()


def cut(one, other, verb='add'):
    """Nothing passes the router between the two any more; verb 'del': again."""
    for a, b in ((one, other), (other, one)):
        ip('rule', verb, 'from', a.net, 'to', b.net, 'blackhole')


class Resident(agent.Agent):
    def __init__(self, opts, place, config):
        super().__init__(opts, config)
        self.place, self.address, self.port = place, place.address, PORTS['http']
        self.config.update(ports=PORTS, bind_addr=self.address, client_addr=self.address,
                           gossip_lan=FAST)
        self.write_config('base.json', self.config)

    def command(self):
        return self.place.enter(*super().command())


class Network:
    """A server and four clients."""

    def __init__(self, opts):
        self.places = [Place(i) for i in range(5)]
        s = Resident(opts, self.places[0], {'node_name': 'server'})
        self.all = [s] + [Resident(opts, p, {
            'node_name': 'c%d' % i, 'server': False, 'bootstrap': False, 'retry_join': [lan(s)],
            'retry_interval': '200ms', 'leave_on_terminate': False})
            for i, p in enumerate(self.places[1:])]

    def __enter__(self):
        self.all[0].start()
        for a in self.all[1:]:
            a.spawn()
        for a in self.all[1:]:
            a.wait_http()
        agree(self.all, {a.config['node_name']: ALIVE for a in self.all}, 'all alive')
        return self

    def __exit__(self, kind, value, trace):
        for a in reversed(self.all):
            a.__exit__(kind, value, trace)
        for p in self.places:
            p.close()

    def split(self, verb):
        for one in self.places[:3]:
            for other in self.places[3:]:
                cut(one, other, verb)


def require_router():
    if os.environ.get(INSIDE) != '1':
        raise agent.Skip('needs root and network namespaces')


def test_a_partition_is_seen_and_heals(opts):
    require_router()
    with Network(opts) as n:
        s = n.all[0]
        n.split('add')
        agree(n.all[:3], {'server': ALIVE, 'c0': ALIVE, 'c1': ALIVE, 'c2': FAILED, 'c3': FAILED},
              'the side of the server')
        agree(n.all[3:], {'server': FAILED, 'c0': FAILED, 'c1': FAILED, 'c2': ALIVE, 'c3': ALIVE},
              'the other side')
        eventually(lambda: health(s, 'c3') == ['critical'], 'critical in the catalog')
        n.split('del')
        agree(n.all, {a.config['node_name']: ALIVE for a in n.all}, 'healed')
        eventually(lambda: health(n.all[4], 'c3') == ['passing'], 'passing, as it sees itself')


def test_two_that_cannot_hear_each_other_are_vouched_for(opts):
    require_router()
    with Network(opts) as n:
        marks = [len(a.log()) for a in n.all]
        cut(n.places[1], n.places[2])
        # long enough for probes and suspicions of several rounds
        s = n.all[0]
        for i in range(12):
            s.must(s.put('/v1/event/fire/round%d' % i))
            for a in n.all:
                eventually(lambda: a.get('/v1/event/list?name=round%d' % i).json(), 'the round')
            before = s.get('/v1/agent/self').json()['Stats']['serf_lan']['event_time']
            assert int(before) > i
            idle(n.all[1], 1)
        for a, mark in zip(n.all, marks):
            assert 'EventMemberFailed' not in a.log()[mark:], a.log()[mark:]
            assert set(statuses(a).values()) == {ALIVE}


def idle(a, seconds):
    """Waits on a query that nothing answers, for as long as it asks for."""
    index = a.get('/v1/kv/none').index
    a.get('/v1/kv/none?index=%d&wait=%ds' % (max(index, 1), seconds))


def into_router():
    """Runs this program again as the router of a network of its own, if it may."""
    if os.environ.get(INSIDE) or os.geteuid() != 0:
        return
    probe = subprocess.run(['unshare', '-n', 'sh', '-c', 'ip link set lo up && '
                            'ip link add name left type veth peer name right && '
                            'echo 1 >/proc/sys/net/ipv4/ip_forward && '
                            'ip rule add from 10.77.0.0/24 to 10.77.1.0/24 blackhole'],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if probe.returncode == 0:
        os.environ[INSIDE] = '1'
        os.execvp('unshare', ['unshare', '-n', 'sh', '-c', 'ip link set lo up && '
                              'echo 1 >/proc/sys/net/ipv4/ip_forward && exec "$@"', 'sh',
                              sys.executable, *sys.argv])


if __name__ == '__main__':
    into_router()
    sys.exit(agent.main(globals()))
