# SPDX-License-Identifier: Apache-2.0
"""Five agents, each in a network namespace of its own behind one router: the router cuts the pool in
two, both sides see the other fail, and it heals, with one server and with three. Needs root."""
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
    """Five agents, the first of them servers."""

    def __init__(self, opts, servers=1):
        self.places = [Place(i) for i in range(5)]
        targets = ['%s:%d' % (p.address, PORTS['serf_lan']) for p in self.places[:servers]]
        common = {'bootstrap': False, 'retry_join': targets, 'retry_interval': '200ms'}
        server = dict(common, bootstrap_expect=servers,
                      autopilot={'cleanup_dead_servers': False})
        client = dict(common, server=False, leave_on_terminate=False)
        self.all = [Resident(opts, p, dict(server, node_name='s%d' % i) if i < servers else
                             dict(client, node_name='c%d' % (i - servers)))
                    for i, p in enumerate(self.places)]
        self.servers = self.all[:servers]

    def __enter__(self):
        for a in self.all:
            a.spawn()
        for a in self.all:
            a.wait_http()
        self.agree()
        for a in self.all:
            eventually(a.knows_leader, 'a leader')
        return self

    def agree(self, *failed):
        """Those that are not named see these as failed, and the others alive."""
        names = [a.config['node_name'] for a in self.all]
        agree([a for a in self.all if a.config['node_name'] not in failed],
              {n: FAILED if n in failed else ALIVE for n in names}, 'all but %s' % str(failed))

    def __exit__(self, kind, value, trace):
        for a in reversed(self.all):
            a.__exit__(kind, value, trace)
        for p in self.places:
            p.close()

    def split(self, verb, those=(3, 4)):
        """Parts the agents of these numbers from the others."""
        for i, one in enumerate(self.places):
            for k in those:
                if i not in those:
                    cut(one, self.places[k], verb)


def require_router():
    if os.environ.get(INSIDE) != '1':
        raise agent.Skip('needs root and network namespaces')


def test_a_partition_is_seen_and_heals(opts):
    require_router()
    with Network(opts) as n:
        s = n.all[0]
        n.split('add')
        n.agree('c2', 'c3')
        n.agree('s0', 'c0', 'c1')
        eventually(lambda: health(s, 'c3') == ['critical'], 'critical in the catalog')
        n.split('del')
        n.agree()
        eventually(lambda: health(n.all[4], 'c3') == ['passing'], 'passing, as it sees itself')


def test_the_side_with_two_of_three_servers_goes_on(opts):
    require_router()
    with Network(opts, servers=3) as n:
        lone = next(i for i, s in enumerate(n.servers) if s.get('/v1/status/leader').json() ==
                    '%s:%d' % (s.address, PORTS['server']))  # the leader itself is cut off
        with_two = [s for i, s in enumerate(n.servers) if i != lone] + [n.all[3]]
        n.split('add', (lone, 4))
        n.agree('s%d' % lone, 'c1')
        n.agree(*(a.config['node_name'] for a in with_two))
        for a in with_two:
            eventually(lambda: health(a, 'c1') == health(a, 's%d' % lone) == ['critical'],
                       'critical on the side that has a leader')
        eventually(lambda: with_two[2].put('/v1/kv/side', 'two').body == b'true', 'a write')
        assert n.all[4].get('/v1/kv/side').status == 500
        n.split('del', (lone, 4))
        n.agree()
        for a in n.all:
            for name in ('c1', 's%d' % lone):
                eventually(lambda: health(a, name) == ['passing'], 'passing at all')
            eventually(lambda: a.get('/v1/kv/side?raw').body == b'two', 'one state')


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
