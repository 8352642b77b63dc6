# SPDX-License-Identifier: Apache-2.0
"""A datacenter of three servers and one of a single server, each server and each gateway (haproxy) in
a network namespace of its own. Between the datacenters the router passes nothing but what goes from
gateway to gateway, and at first what the secondary needs of the primary's gateway. Needs root."""
import os
import shutil
import subprocess
import sys
import tempfile

import agent
from agent import eventually
from mesh import FAST_WAN, KEY, certificates
from partition import INSIDE, PORTS, Place, cut, into_router
from pool import FAST

HAPROXY = shutil.which('haproxy') or '/usr/sbin/haproxy'
GATEWAY_PORT = 8443


class Resident(agent.Agent):
    def __init__(self, opts, place, config):
        super().__init__(opts, config)
        self.place, self.address, self.port = place, place.address, PORTS['http']
        self.config.update(ports=PORTS, bind_addr=self.address, client_addr=self.address,
                           gossip_lan=FAST, gossip_wan=FAST_WAN)
        self.save()

    def save(self):
        self.write_config('base.json', self.config)

    def command(self):
        return self.place.enter(*super().command())


class Haproxy:
    def __init__(self, place, folder, dc):
        self.place, self.dc = place, dc
        self.path = os.path.join(folder, dc + '-%s.cfg' % place.address)
        self.proc = None

    def write(self, servers, other_dc, other_gateway):
        """servers: node -> address"""
        names = ' '.join('%s.server.%s.consul' % (n, self.dc) for n in servers)
        lines = ['defaults', ' mode tcp', ' timeout connect 2s', ' timeout client 1h',
                 ' timeout server 1h', ' option redispatch', ' retries 2',
                 'frontend mesh', ' bind %s:%d' % (self.place.address, GATEWAY_PORT),
                 ' tcp-request inspect-delay 5s',
                 ' tcp-request content accept if { req.ssl_hello_type 1 }']
        for n in servers:
            lines.append(' use_backend %s if { req.ssl_sni -i %s.server.%s.consul }' %
                         (n, n, self.dc))
        lines += [' use_backend any if { req.ssl_sni -i server.%s.consul }' % self.dc,
                  ' use_backend other if { req.ssl_sni -i server.%s.consul }' % other_dc,
                  ' use_backend other if { req.ssl_sni -i -m end .server.%s.consul }' % other_dc,
                  'backend other', ' server g %s:%d' % (other_gateway, GATEWAY_PORT),
                  'backend any']
        lines += [' server %s %s:8300 check inter 500ms' % x for x in servers.items()]
        for n, address in servers.items():
            lines += ['backend ' + n, ' server %s %s:8300' % (n, address)]
        assert names
        with open(self.path, 'w') as f:
            f.write('\n'.join(lines) + '\n')

    def start(self):
        self.proc = agent.started(subprocess.Popen(
            self.place.enter(HAPROXY, '-f', self.path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self

    def stop(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc = None


class World:
    """Places 1 to 3: servers of dc1, 4: its gateway, 5: the server of dc2, 6: its gateway, 7: another
    gateway of dc2 that is not used at first."""

    def __init__(self, opts, encrypt=True):
        self.places = {i: Place(i) for i in range(1, 8)}
        self.cuts = []
        self.folder = tempfile.mkdtemp(prefix='consuld-mesh-')
        names = [('s1', 'dc1'), ('s2', 'dc1'), ('s3', 'dc1'), ('t1', 'dc2')]
        certs = certificates(opts.binary, self.folder, names)
        self.g1 = Haproxy(self.places[4], self.folder, 'dc1')
        self.g2 = Haproxy(self.places[6], self.folder, 'dc2')
        self.g2b = Haproxy(self.places[7], self.folder, 'dc2')
        at = lambda i: self.places[i].address
        self.all = []
        for i, (node, dc) in zip((1, 2, 3, 5), names):
            config = {
                'node_name': node, 'datacenter': dc, 'primary_datacenter': 'dc1',
                'connect': {'enabled': True, 'enable_mesh_gateway_wan_federation': True},
                'ca_file': os.path.join(self.folder, 'consul-agent-ca.pem'),
                'cert_file': certs[(node, dc)] + '.pem', 'key_file': certs[(node, dc)] + '-key.pem',
                'verify_incoming': True, 'verify_outgoing': True, 'verify_server_hostname': True,
                'retry_interval': '200ms', 'retry_interval_wan': '500ms', 'log_level': 'DEBUG'}
            if encrypt:
                config['encrypt'] = KEY
            if dc == 'dc1':
                config.update(bootstrap=False, bootstrap_expect=3, autopilot={'cleanup_dead_servers': False},
                              retry_join=[at(k) for k in (1, 2, 3) if k != i])
            else:
                config.update(primary_gateways=['%s:%d' % (at(4), GATEWAY_PORT)])
            self.all.append(Resident(opts, self.places[i], config))
        self.dc1, self.t = self.all[:3], self.all[3]
        servers = {s.config['node_name']: s.address for s in self.dc1}
        self.g1.write(servers, 'dc2', at(6))
        for g in (self.g2, self.g2b):
            g.write({'t1': at(5)}, 'dc1', at(4))
        for a in (1, 2, 3):
            for b in (5, 6, 7):
                self.cut(a, b)

    def cut(self, a, b):
        cut(self.places[a], self.places[b])
        self.cuts.append((self.places[a], self.places[b]))

    def cut_primary_gateway(self):
        """The server of dc2 does not reach dc1's gateway any more."""
        self.cut(5, 4)

    def register(self, server, g):
        here = {'Address': g.place.address, 'Port': GATEWAY_PORT}
        server.must(server.put('/v1/agent/service/register', {
            'Kind': 'mesh-gateway', 'Name': 'mesh-gateway', 'Address': g.place.address,
            'Port': GATEWAY_PORT, 'TaggedAddresses': {'lan': here, 'wan': here},
            'Meta': {'consul-wan-federation': '1'}}))

    def members(self, a):
        return {m['Name']: m['Status'] for m in a.get('/v1/agent/members?wan=1').json()}

    def joined(self):
        want = {'s1.dc1': 1, 's2.dc1': 1, 's3.dc1': 1, 't1.dc2': 1}
        for a in self.all:
            eventually(lambda: self.members(a) == want,
                       'all in the WAN pool of %s' % a.config['node_name'])

    def states(self, a):
        return {s['Datacenter']: (s['UpdatedAt'], [g['Service']['Address'] for g in
                                                   s.get('MeshGateways') or []])
                for s in a.get('/v1/internal/federation-states?stale').json()}

    def equal_states(self, gateway):
        def equal():
            first = self.states(self.dc1[0])
            return (first.get('dc2', (0, []))[1] == [gateway.place.address] and
                    all(self.states(a) == first for a in self.all))
        eventually(equal, 'equal federation states')

    def asks(self, here, there_dc, key):
        """A key, the catalog and a prepared query of the other datacenter."""
        there = self.t if there_dc == 'dc2' else self.dc1[0]
        names = {a.config['node_name'] for a in self.all if a.config['datacenter'] == there_dc}
        try:
            here.must(here.put('/v1/kv/%s?dc=%s' % (key, there_dc), key))
            nodes = here.must(here.get('/v1/catalog/nodes?dc=' + there_dc)).json()
            found = here.must(here.get('/v1/query/to-%s/execute' % there_dc)).json()
            return (there.get('/v1/kv/%s?raw' % key).text() == key and
                    {n['Node'] for n in nodes} == names and
                    (found['Datacenter'], len(found['Nodes'])) == (there_dc, 1))
        except AssertionError:
            return False

    def offer(self, server, other_dc):
        """A service of this datacenter, and a query that only the other one's can answer."""
        own = 'in-' + server.config['datacenter']
        server.must(server.put('/v1/agent/service/register', {'Name': own, 'Port': 7}))
        server.must(server.request('POST', '/v1/query', {
            'Name': 'to-' + other_dc, 'Service': {
                'Service': 'in-' + other_dc, 'Failover': {'Datacenters': [other_dc]}}}))

    def nothing_direct(self):
        for a in self.all:
            way = a.get('/v1/agent/self').json()['Stats']['wan_federation']
            assert way['direct'] == '0', way

    def both_ways(self, key):
        for a in self.dc1:
            eventually(lambda: self.asks(a, 'dc2', key + a.config['node_name']),
                       'an answer of dc2 at ' + a.config['node_name'])
        eventually(lambda: self.asks(self.t, 'dc1', key + 't1'), 'an answer of dc1')

    def leader(self):
        where = self.dc1[0].get('/v1/status/leader').json().split(':')[0]
        return [a for a in self.dc1 if a.address == where][0]

    def __enter__(self):
        self.g1.start()
        self.g2.start()
        for a in self.dc1:
            a.spawn()
        for a in self.dc1:
            a.wait_leader()
        self.register(self.dc1[0], self.g1)
        self.t.start()
        self.register(self.t, self.g2)
        self.offer(self.dc1[0], 'dc2')
        self.offer(self.t, 'dc1')
        self.joined()
        self.equal_states(self.g2)
        return self

    def __exit__(self, kind, value, trace):
        for a in reversed(self.all):
            a.__exit__(kind, value, trace)
        for g in (self.g1, self.g2, self.g2b):
            g.stop()
        for one, other in self.cuts:
            cut(one, other, 'del')
        for place in self.places.values():
            place.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def require():
    if os.environ.get(INSIDE) != '1':
        raise agent.Skip('needs root and network namespaces')
    if not os.path.exists(HAPROXY):
        raise agent.Skip('haproxy is not installed')


def three_servers_and_one(opts, encrypt):
    require()
    with World(opts, encrypt) as w:
        w.both_ways('first')
        # the secondary's server restarts while its own gateway is the only way
        w.cut_primary_gateway()
        w.t.kill()
        w.t.start()
        w.joined()
        w.both_ways('restarted')
        # a gateway restarts
        w.g2.stop()
        w.g2.start()
        w.both_ways('gateway')
        # another leader of the primary
        old = w.leader()
        old.kill()
        others = [a for a in w.dc1 if a is not old]
        eventually(lambda: others[0].get('/v1/status/leader').json().split(':')[0] in
                   [a.address for a in others], 'another leader')
        eventually(lambda: w.t.put('/v1/kv/led?dc=dc1', 'led').status == 200, 'an answer')
        old.spawn().wait_http()
        w.joined()
        w.both_ways('led')
        w.nothing_direct()


def test_three_servers_and_one_behind_gateways(opts):
    three_servers_and_one(opts, True)


def test_three_servers_and_one_without_gossip_keys(opts):
    three_servers_and_one(opts, False)


def test_W5_the_gateway_of_the_secondary_moves(opts):
    require()
    with World(opts) as w:
        w.both_ways('first')
        w.cut_primary_gateway()
        w.g2b.start()
        w.g1.write({s.config['node_name']: s.address for s in w.dc1}, 'dc2',
                   w.places[7].address)
        w.g1.stop()
        w.g1.start()
        w.register(w.t, w.g2b)
        w.g2.stop()
        w.equal_states(w.g2b)
        w.both_ways('moved')
        w.joined()
        w.nothing_direct()


def test_the_primary_goes_down_and_comes_back(opts):
    require()
    with World(opts) as w:
        w.both_ways('first')
        for a in w.dc1:
            a.kill()
        assert w.t.get('/v1/kv/x?dc=dc1').status == 500
        w.t.must(w.t.put('/v1/kv/own', 'still'))
        for a in w.dc1:
            a.spawn()
        for a in w.dc1:
            a.wait_leader()
        w.joined()
        w.both_ways('again')
        w.equal_states(w.g2)
        w.nothing_direct()


if __name__ == '__main__':
    into_router()
    sys.exit(agent.main(globals()))
