# SPDX-License-Identifier: Apache-2.0
"""Five agents of one pool, each on an address of its own: they agree, see deaths and departures, and
find each other again."""
import argparse
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

import agent
from agent import eventually

ALIVE, LEFT, FAILED = 1, 3, 4
FAST = {'gossip_interval': '100ms', 'probe_interval': '500ms', 'probe_timeout': '200ms',
        'suspicion_mult': 3}


def on(opts, host):
    """The options with another loopback address: 127.<host>.x.y."""
    first, _, rest = opts.bind.split('.', 2)
    return argparse.Namespace(**dict(vars(opts), bind='%s.%d.%s' % (first, host, rest)))


def server(opts, **config):
    config.setdefault('node_name', 'server')
    config.setdefault('gossip_lan', FAST)
    return agent.Agent(opts, config)


class Client(agent.Agent):
    def __init__(self, opts, name, join, **config):
        config = dict({'server': False, 'bootstrap': False, 'node_name': name, 'gossip_lan': FAST,
                       'retry_join': join, 'retry_interval': '200ms'}, **config)
        super().__init__(opts, config)

    def stop(self, status=0):
        """A client leaves and ends with 0; one that ended before has been looked at."""
        super().stop(0 if self.alive() else status)


def lan(a):
    return '%s:%d' % (a.address, a.config['ports']['serf_lan'])


def statuses(a):
    return {m['Name']: m['Status'] for m in a.get('/v1/agent/members').json()}


def agree(agents, expected, what):
    for a in agents:
        try:
            eventually(lambda: statuses(a) == expected, what)
        except AssertionError:
            raise AssertionError('%s at %s: %s instead of %s' % (
                what, a.config['node_name'], statuses(a), expected))


class Five:
    """One server and four clients."""

    def __init__(self, opts, **config):
        self.server = server(opts, **config)
        self.clients = [Client(on(opts, i + 1), 'c%d' % i, [lan(self.server)], **config)
                        for i in range(4)]
        self.all = [self.server] + self.clients

    def __enter__(self):
        self.server.start()
        for c in self.clients:
            c.spawn()
        self.settle()
        return self

    def settle(self):
        for a in self.all:
            a.wait_http()
        agree(self.all, {a.config['node_name']: ALIVE for a in self.all}, 'all alive')

    def __exit__(self, kind, value, trace):
        # leaving clients first, then the server
        for a in reversed(self.all):
            a.__exit__(kind, value, trace)


class Three(Five):
    """Three servers and two clients; each asks every server for the way in, the clients first."""

    def __init__(self, opts, **config):
        self.servers = [server(on(opts, i), node_name='s%d' % i, bootstrap=False,
                               bootstrap_expect=3, retry_interval='200ms',
                               autopilot={'cleanup_dead_servers': False}, **config)
                        for i in range(3)]
        self.server, targets = self.servers[0], [lan(s) for s in self.servers]
        for s in self.servers:
            s.config['retry_join'] = targets
            s.write_config('base.json', s.config)
        self.clients = [Client(on(opts, i + 3), 'c%d' % i, targets, **config) for i in range(2)]
        self.all = self.servers + self.clients

    def __enter__(self):
        for c in self.clients:
            c.spawn()
            c.wait_log('Join cluster failed, will retry: cluster=LAN retry_interval=200ms')
        for s in self.servers:
            s.spawn()
        self.settle()
        for a in self.all:
            eventually(a.knows_leader, 'a leader')
        return self

    def others(self, *gone):
        return [a for a in self.all if a not in gone]

    def see(self, expected, what):
        """All that run agree: everybody alive but those named."""
        names = {a.config['node_name']: ALIVE for a in self.all}
        names.update(expected)
        agree([a for a in self.all if a.alive()],
              {n: s for n, s in names.items() if s is not None}, what)


def leading(agents):
    """The one that the others name as leader."""
    place = agents[0].get('/v1/status/leader').json()
    return next(a for a in agents
                if place == '%s:%d' % (a.address, a.config['ports']['server']))


def listed(a, path):
    """A list of the catalog; nothing while there is no leader."""
    answer = a.get(path)
    return answer.json() if answer.status == 200 else []


def nodes(a):
    return {n['Node'] for n in listed(a, '/v1/catalog/nodes')}


def health(a, node):
    return [c['Status'] for c in listed(a, '/v1/health/node/' + node)
            if c['CheckID'] == 'serfHealth']


def test_five_agree_and_the_catalog_follows(opts):
    with Five(opts) as five:
        s = five.server
        names = {'server', 'c0', 'c1', 'c2', 'c3'}
        eventually(lambda: nodes(s) == names,
                   'all nodes in the catalog')
        eventually(lambda: health(five.clients[3], 'c1') == ['passing'], 'a client is healthy')
        five.clients[1].kill()
        eventually(lambda: health(s, 'c1') == ['critical'], 'a killed client is critical')
        agree([five.all[i] for i in (0, 1, 3, 4)],
              {'server': ALIVE, 'c0': ALIVE, 'c1': FAILED, 'c2': ALIVE, 'c3': ALIVE}, 'one failed')
        five.clients[1].spawn().wait_http()
        agree(five.all, {n: ALIVE for n in names}, 'alive again')
        eventually(lambda: health(s, 'c1') == ['passing'], 'healthy again')
        five.clients[2].stop()
        eventually(lambda: 'c2' not in nodes(s),
                   'a client that left is out of the catalog')
        agree([five.all[i] for i in (0, 1, 2, 4)],
              {'server': ALIVE, 'c0': ALIVE, 'c1': ALIVE, 'c2': LEFT, 'c3': ALIVE}, 'one left')


def test_three_servers_agree_whoever_leads(opts):
    with Three(opts) as three:
        for a in three.all:
            eventually(lambda: nodes(a) == {'s0', 's1', 's2', 'c0', 'c1'}, 'all in the catalog')
        for s in three.servers:
            eventually(lambda: {m['Name']: m['Status'] for m in
                                s.get('/v1/agent/members?wan=1').json()} ==
                       {'s%d.dc1' % i: ALIVE for i in range(3)}, 'the servers in the WAN')
        old = leading(three.servers)
        old.kill()
        three.see({old.config['node_name']: FAILED}, 'the leader failed')
        rest = three.others(old)
        for a in rest:
            eventually(lambda: health(a, old.config['node_name']) == ['critical'],
                       'critical at ' + a.config['node_name'])
        three.clients[0].kill()
        three.see({old.config['node_name']: FAILED, 'c0': FAILED}, 'a client failed as well')
        eventually(lambda: health(three.clients[1], 'c0') == ['critical'], 'critical')
        old.spawn()
        three.clients[0].spawn()
        three.settle()
        for a in three.all:
            for name in (old.config['node_name'], 'c0'):
                eventually(lambda: health(a, name) == ['passing'], 'passing again')
        three.clients[1].stop()
        three.see({'c1': LEFT}, 'one left')
        for a in three.others(three.clients[1]):
            eventually(lambda: nodes(a) == {'s0', 's1', 's2', 'c0'}, 'out of the catalog')


def test_three_servers_forget_and_find_again(opts):
    with Three(opts) as three:
        gone, (c0, c1) = three.servers[2], three.clients
        c1.kill()
        gone.kill()
        three.see({'c1': FAILED, 's2': FAILED}, 'two failed')
        c0.must(c0.put('/v1/agent/force-leave/c1'))
        three.see({'c1': LEFT, 's2': FAILED}, 'one removed')
        c0.must(c0.put('/v1/agent/force-leave/c1?prune'))
        three.see({'c1': None, 's2': FAILED}, 'and pruned')
        for a in three.others(gone, c1):
            eventually(lambda: nodes(a) == {'s0', 's1', 's2', 'c0'}, 'out of the catalog')
        # they know the way by what they wrote down
        for a in (gone, c1):
            a.write_config('base.json', {k: v for k, v in a.config.items() if k != 'retry_join'})
            a.spawn()
        three.settle()
        for a in three.all:
            eventually(lambda: health(a, 'c1') == ['passing'] and health(a, 's2') == ['passing'],
                       'back in the catalog')


def test_what_is_lost_at_once_is_kept(opts):
    """Self-preservation."""
    with Five(opts, self_preservation=True) as five:
        s = five.server
        stat = lambda: s.get('/v1/agent/self').json()['Stats']['serf_lan']['self_preservation']

        def gauge():
            return [g['Value'] for g in s.get('/v1/agent/metrics').json()['Gauges']
                    if g['Name'].endswith('serf.self_preservation')]
        eventually(lambda: len(nodes(s)) == 5, 'all in the catalog')
        assert stat() == 'false'
        five.clients[0].kill()
        five.clients[1].kill()
        agree([s], {'server': ALIVE, 'c0': FAILED, 'c1': FAILED, 'c2': ALIVE, 'c3': ALIVE},
              'two of five failed')
        s.wait_log('self-preservation: 2 of 5 members failed within 30 seconds')
        assert stat() == 'true'
        eventually(lambda: gauge() == [1], 'the gauge is up')
        five.clients[2].stop()
        agree([s], {'server': ALIVE, 'c0': FAILED, 'c1': FAILED, 'c2': LEFT, 'c3': ALIVE},
              'one left')
        s.must(s.put('/v1/kv/later', 'written after it'))
        assert len(nodes(s)) == 5, nodes(s)
        five.clients[0].spawn().wait_http()
        eventually(lambda: stat() == 'false', 'one of four is missing')
        eventually(lambda: 'c2' not in nodes(s), 'what was held is done')
        eventually(lambda: health(s, 'c0') == ['passing'], 'passing again')
        assert nodes(s) == {'server', 'c0', 'c1', 'c3'}
        eventually(lambda: gauge() == [0], 'the gauge is down')


def test_forced_leave_and_prune(opts):
    with Five(opts) as five:
        s = five.server
        five.clients[0].kill()
        five.clients[1].kill()
        left = [s] + five.clients[2:]
        agree(left, {'server': ALIVE, 'c0': FAILED, 'c1': FAILED, 'c2': ALIVE, 'c3': ALIVE},
              'two failed')
        unknown = s.put('/v1/agent/force-leave/nobody')
        assert (unknown.status, unknown.text()) == (
            500, "agent: No node found with name 'nobody'"), unknown.text()
        s.must(five.clients[2].put('/v1/agent/force-leave/c0'))
        agree(left, {'server': ALIVE, 'c0': LEFT, 'c1': FAILED, 'c2': ALIVE, 'c3': ALIVE},
              'one removed')
        s.must(s.put('/v1/agent/force-leave/c1?prune'))
        agree(left, {'server': ALIVE, 'c0': LEFT, 'c2': ALIVE, 'c3': ALIVE}, 'one pruned')
        eventually(lambda: nodes(s) == {'server', 'c2', 'c3'}, 'both out of the catalog')
        five.clients[1].spawn().wait_http()
        agree(left, {'server': ALIVE, 'c0': LEFT, 'c1': ALIVE, 'c2': ALIVE, 'c3': ALIVE},
              'returned')
        # nobody tells a newcomer of members that left before
        agree([five.clients[1]], {'server': ALIVE, 'c1': ALIVE, 'c2': ALIVE, 'c3': ALIVE},
              'at the one that returned')


def test_a_pruned_name_does_not_come_back(opts):
    with Five(opts) as five:
        s, stale = five.server, five.clients[3]
        five.clients[0].kill()
        agree(five.all[:1] + five.clients[1:], {'server': ALIVE, 'c0': FAILED, 'c1': ALIVE,
                                                'c2': ALIVE, 'c3': ALIVE}, 'one failed')
        # this one does not hear of the removal, and carries the old word back
        stale.signal(signal.SIGSTOP)
        agree([s], {'server': ALIVE, 'c0': FAILED, 'c1': ALIVE, 'c2': ALIVE, 'c3': FAILED},
              'one stalled')
        s.must(s.put('/v1/agent/force-leave/c0?prune'))
        rest = [s, five.clients[1], five.clients[2]]
        agree(rest, {'server': ALIVE, 'c1': ALIVE, 'c2': ALIVE, 'c3': FAILED}, 'one pruned')
        stale.signal(signal.SIGCONT)
        agree(rest, {'server': ALIVE, 'c1': ALIVE, 'c2': ALIVE, 'c3': ALIVE}, 'the other is back')
        for a in rest:
            before = len(a.log())
            s.must(stale.put('/v1/agent/join/' + lan(a)))
            eventually(lambda: statuses(a)['c3'] == ALIVE, 'exchanged')
            assert 'c0' not in statuses(a), a.log()[before:]


def test_rejoins_from_its_snapshot(opts):
    with Five(opts) as five:
        c = five.clients[3]
        c.kill()
        eventually(lambda: statuses(five.server)['c3'] == FAILED, 'seen as failed')
        c.write_config('base.json', {k: v for k, v in c.config.items() if k != 'retry_join'})
        c.spawn().wait_http()
        agree(five.all, {'server': ALIVE, 'c0': ALIVE, 'c1': ALIVE, 'c2': ALIVE, 'c3': ALIVE},
              'back by the snapshot alone')
        assert 'Join cluster' not in c.log().split('Starting Consul agent')[-1]


def test_retry_join_waits_for_its_target(opts):
    s = server(opts)
    c = Client(on(opts, 1), 'early', [lan(s)])
    with s, c:
        c.spawn().wait_http()
        c.wait_log('Join cluster failed, will retry: cluster=LAN retry_interval=200ms')
        s.start()
        agree([s, c], {'server': ALIVE, 'early': ALIVE}, 'joined late')
        c.wait_log('Join cluster completed. Synced with initial agents: cluster=LAN num_agents=1')
        c.stop()


def test_retry_join_gives_up(opts):
    c = Client(opts, 'lonely', ['%s:%d' % (opts.bind, agent.free_port(opts.bind))],
               retry_max=2)
    with c:
        c.spawn()
        assert c.wait_end() == 1
        assert 'agent: max join LAN retry exhausted, exiting' in c.log(), c.tail()


def test_missing_provider_is_named(opts):
    c = Client(opts, 'cloudy', ['provider=aws tag_key=x tag_value=y', 'provider=nosuch',
                                'provider=', 'x provider="aws"'])
    with c:
        c.spawn()
        c.wait_log('discovery provider "aws" is not part of this build')
        for why in ('discover: unknown provider nosuch', 'discover: provider: missing value',
                    "discover: x: missing '='"):
            c.wait_log('error="%s"' % why)
        c.wait_log('No servers to join')
        c.stop()


class Responder(threading.Thread):
    """Answers questions about one service by multicast DNS, as one host with one address."""

    def __init__(self, service, ip, port):
        super().__init__(daemon=True)
        self.service, self.ip, self.port = service, ip, port
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.sock.bind(('', 5353))
        group = socket.inet_aton('224.0.0.251')
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + bytes(4))

    @staticmethod
    def name(text):
        return b''.join(bytes([len(part)]) + part.encode() for part in text.split('.')) + b'\0'

    def run(self):
        service, host = self.name(self.service), self.name('box.local')

        def record(name, kind, data):
            return name + struct.pack('>HHIH', kind, 1, 120, len(data)) + data
        while True:
            question, asker = self.sock.recvfrom(2000)
            if question[12:12 + len(service)] != service:
                continue
            instance = self.name('one.' + self.service)
            self.sock.sendto(
                question[:2] + struct.pack('>HHHHH', 0x8400, 0, 1, 0, 2) +
                record(service, 12, instance) +
                record(instance, 33, struct.pack('>HHH', 0, 0, self.port) + host) +
                record(host, 1, socket.inet_aton(self.ip)), asker)


def test_servers_are_found_by_multicast_dns(opts):
    with server(opts) as s:
        s.start()
        service = '_e2e%d._tcp' % os.getpid()
        try:
            Responder(service + '.local', s.address, s.config['ports']['serf_lan']).start()
        except OSError as why:
            raise agent.Skip('no multicast: %s' % why)
        c = Client(on(opts, 1), 'seeker', ['provider=mdns service=%s timeout=1s v6=false' % service,
                                           'provider=mdns domain=local'])
        with c:
            c.spawn()
            c.wait_log('discover-mdns: Service record not provided.')
            if 'no way to the local network' in c.log():
                c.kill()
                raise agent.Skip('no way to the local network')
            c.wait_log('Discovered servers: cluster=LAN servers=' + lan(s))
            agree([s, c], {'server': ALIVE, 'seeker': ALIVE}, 'found')
            c.stop()


def test_bad_addresses_are_refused_by_their_fault(opts):
    with server(opts) as s:
        s.start()
        for text, why in (('[::1', "address [::1: missing ']' in address"),
                          ('[::1]x', 'address [::1]x]:%d: missing port in address'
                           % s.config['ports']['serf_lan']),
                          ('h:99999', 'strconv.ParseUint: parsing "99999": value out of range'),
                          ('h:x', 'strconv.ParseUint: parsing "x": invalid syntax')):
            answer = s.put('/v1/agent/join/' + text)
            assert (answer.status, answer.text()) == (
                500, '1 error occurred:\n\t* Failed to resolve %s: %s\n\n' % (text, why)), \
                answer.text()


def refused(opts, why, flags=(), **config):
    """Does not start, for that reason."""
    with agent.Agent(opts, config, flags=flags) as a:
        a.spawn()
        assert a.wait_end() == 1
        assert why in a.log(), a.tail()


def test_what_cannot_be_a_member_does_not_start(opts):
    refused(opts, "Failed to start Consul server: Protocol version '1' too low. Must be in range: "
            '[2, 3]', ['-protocol=1'])
    refused(opts, "Failed to start Consul client: Protocol version '4' too high. Must be in range: "
            '[2, 3]', ['-protocol=4'], server=False, bootstrap=False)
    refused(opts, 'Failed to start Raft: Protocol version 4 must be >= 1 and <= 3',
            ['-raft-protocol=4'])
    refused(opts, 'Failed to configure keyring: Invalid key: key size must be 16, 24 or 32 bytes',
            encrypt='AAAA')
    refused(opts, 'Blocked alive message: %s is not allowed' % opts.bind,
            serf_lan_allowed_cidrs=['10.0.0.0/8'])


def test_a_name_that_is_taken_is_given_up(opts):
    with Five(opts) as five:
        late = Client(on(opts, 5), 'c0', [lan(five.server)])
        with late:
            late.spawn().wait_http()
            late.wait_log('serf: minority in name conflict resolution, quiting [0 / ')
            late.wait_log("the pool says that our name is another's")
            agree(five.all, {a.config['node_name']: ALIVE for a in five.all}, 'the first stays')
            refusal = late.put('/v1/agent/join/' + lan(five.server))
            assert (refusal.status, refusal.text()) == (500, 'the pool is shut down')
            late.kill()
        for a in five.all:
            assert 'EventMemberFailed: c0' not in a.log(), a.config['node_name']


def test_start_join_works_or_ends_it(opts):
    with server(opts) as s:
        s.start()
        c = Client(on(opts, 1), 'joiner', [], start_join=[lan(s)])
        with c:
            c.spawn().wait_http()
            c.wait_log('Consul agent running!')
            agree([s, c], {'server': ALIVE, 'joiner': ALIVE}, 'joined at start')
            c.stop()
        lost = Client(on(opts, 1), 'lost', [],
                      start_join=['%s:%d' % (opts.bind, agent.free_port(opts.bind))])
        with lost:
            lost.spawn()
            assert lost.wait_end() == 1
            assert 'Consul agent running!' not in lost.log()


def test_stalled_agent_suspects_nobody(opts):
    with Five(opts) as five:
        c = five.clients[0]
        c.signal(signal.SIGSTOP)
        try:
            eventually(lambda: statuses(five.server)['c0'] == FAILED, 'the stalled one is missed')
        finally:
            c.signal(signal.SIGCONT)
        agree(five.all, {a.config['node_name']: ALIVE for a in five.all}, 'alive again')
        for a in five.all[:1] + five.all[2:]:
            for name in ('c1', 'c2', 'c3', 'server'):
                assert 'EventMemberFailed: ' + name not in a.log(), a.config['node_name']


def test_members_and_events_on_the_command_line(opts):
    with Five(opts) as five:
        http = '-http-addr=http://%s:%d' % (five.clients[0].address, five.clients[0].port)

        def cli(*args):
            return subprocess.run([five.server.binary, args[0], http, *args[1:]],
                                  stdout=subprocess.PIPE, text=True, timeout=agent.DEADLINE)
        out = cli('members')
        assert out.returncode == 0 and out.stdout.count('alive') == 5, out.stdout
        out = cli('event', '-name=deploy', 'payload')
        assert out.returncode == 0 and 'Event ID' in out.stdout, out.stdout
        for a in five.all:
            eventually(lambda: a.get('/v1/event/list?name=deploy').json(),
                       'the event at ' + a.config['node_name'])


def test_a_mistyped_key_does_not_stick(opts):
    key, typo = 'AQEBAQEBAQEBAQEBAQEBAQ==', 'AgICAgICAgICAgICAgICAg=='
    with server(opts, encrypt=key) as s:
        s.start()
        c = Client(on(opts, 1), 'typist', [lan(s)], encrypt=typo)
        with c:
            c.spawn().wait_http()
            c.wait_log('Join cluster failed')
            assert 'typist' not in statuses(s)
            c.kill()
            c.write_config('base.json', dict(c.config, encrypt=key))
            c.spawn().wait_http()
            agree([s, c], {'server': ALIVE, 'typist': ALIVE}, 'the right key')
            assert not os.path.exists(os.path.join(c.data_dir, 'serf', 'local.keyring.unproven'))
            c.stop()


def test_changed_keys_outlive_the_configured_one(opts):
    old, new = 'AQEBAQEBAQEBAQEBAQEBAQ==', 'AgICAgICAgICAgICAgICAg=='
    with server(opts, encrypt=old) as s:  # alone: no peer was ever read with its key
        s.start()
        for change in (s.request('POST', '/v1/operator/keyring', {'Key': new, 'RelayFactor': 7}),
                       s.put('/v1/operator/keyring', {'Key': new}),
                       s.request('DELETE', '/v1/operator/keyring', {'Key': old})):
            s.must(change)
        s.kill()
        s.start()
        for ring in s.get('/v1/operator/keyring').json():
            assert ring['PrimaryKeys'] == {new: 1} == ring['Keys'], ring
        s.wait_log(" keyring doesn't include key provided with -encrypt, using keyring: "
                   'keyring=WAN')
        s.kill()
        for text, why in (('[]', 'no keys present in keyring: '), ('["x"]', 'illegal base64 data'),
                          ('[', 'unexpected end of JSON input')):
            with open(os.path.join(s.data_dir, 'serf', 'local.keyring'), 'w') as f:
                f.write(text)
            s.spawn()
            assert s.wait_end() == 1
            assert 'Failed to configure keyring: ' + why in s.log(), s.tail()


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
