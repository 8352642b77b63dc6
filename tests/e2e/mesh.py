# SPDX-License-Identifier: Apache-2.0
"""Two datacenters that know each other by mesh gateways alone, on one /24 of the loopback network:
.1 server of dc1, .2 server of dc2, .3 gateway of dc1, .4 gateway of dc2; .8 and .9 are what the
servers advertise to the WAN, with decoys that nothing may reach."""
import os
import subprocess
import tempfile

import agent
from agent import eventually
from gateway import Decoy, Gateway

KEY = 'yMAkkxAvsWmcPOXlvnUw4BQGGCkIaLT8UmQ5NRKlNKY='
PORTS = {'server': 8300, 'serf_lan': 8301, 'serf_wan': 8302}
FAST_WAN = {'gossip_interval': '200ms', 'probe_interval': '1s', 'probe_timeout': '500ms',
            'suspicion_mult': 3}


def certificates(binary, folder, servers):
    """One authority and a certificate for each (node, datacenter)."""
    run = lambda *args: subprocess.run([os.path.abspath(binary)] + list(args), cwd=folder, check=True,
                                       stdout=subprocess.DEVNULL)
    run('tls', 'ca', 'create')
    made = {}
    for node, dc in servers:
        n = len([k for k in made if k[1] == dc])
        run('tls', 'cert', 'create', '-server', '-dc', dc, '-node', node)
        made[(node, dc)] = os.path.join(folder, '%s-server-consul-%d' % (dc, n))
    return made


class Options:
    def __init__(self, opts, address):
        self.binary, self.bind = opts.binary, address


class Mesh:
    def __init__(self, opts, encrypt=True, binaries=None, **config):
        self.opts = opts
        self.net = opts.bind.rsplit('.', 1)[0]
        self.folder = tempfile.TemporaryDirectory(prefix='consuld-mesh-')
        self.gateways = {'dc1': Gateway(self.at(3)), 'dc2': Gateway(self.at(4))}
        self.decoys = {'dc1': Decoy(self.at(8), PORTS.values()),
                       'dc2': Decoy(self.at(9), PORTS.values())}
        certs = certificates(opts.binary, self.folder.name, [('s1', 'dc1'), ('s2', 'dc2')])
        self.servers = {}
        for n, dc in ((1, 'dc1'), (2, 'dc2')):
            other = 'dc2' if dc == 'dc1' else 'dc1'
            node = 's%d' % n
            own = {
                'datacenter': dc, 'node_name': node, 'primary_datacenter': 'dc1',
                'ports': {'http': 8500, 'dns': -1, 'grpc': -1, 'https': -1, **PORTS},
                'advertise_addr_wan': self.at(7 + n),
                'connect': {'enabled': True, 'enable_mesh_gateway_wan_federation': True},
                'ca_file': os.path.join(self.folder.name, 'consul-agent-ca.pem'),
                'cert_file': certs[(node, dc)] + '.pem', 'key_file': certs[(node, dc)] + '-key.pem',
                'verify_incoming': True, 'verify_outgoing': True, 'verify_server_hostname': True,
                'gossip_wan': FAST_WAN, 'retry_interval_wan': '500ms', 'log_level': 'TRACE',
            }
            if encrypt:
                own['encrypt'] = KEY if encrypt is True else encrypt
            if dc != 'dc1':
                own['primary_gateways'] = [str(self.gateways['dc1'])]
            own.update(config)
            opts_of = Options(opts, self.at(n))
            if binaries and binaries.get(dc):
                opts_of.binary = binaries[dc]
            self.servers[dc] = agent.Agent(opts_of, own)
            self.servers[dc].port = 8500
            server = (self.at(n), PORTS['server'])
            self.gateways[dc].routes = {
                'server.%s.consul' % dc: server, '%s.server.%s.consul' % (node, dc): server,
                'server.%s.consul' % other: (self.at(4 if dc == 'dc1' else 3), 8443),
                '*.server.%s.consul' % other: (self.at(4 if dc == 'dc1' else 3), 8443)}
        self.s1, self.s2 = self.servers['dc1'], self.servers['dc2']

    def at(self, n):
        return '%s.%d' % (self.net, n)

    def register(self, dc, gateway=None, service_id='mesh-gateway'):
        g = gateway or self.gateways[dc]
        here = {'Address': g.address, 'Port': g.port}
        s = self.servers[dc]
        s.must(s.put('/v1/agent/service/register', {
            'Kind': 'mesh-gateway', 'Name': 'mesh-gateway', 'ID': service_id, 'Address': g.address,
            'Port': g.port, 'TaggedAddresses': {'lan': here, 'wan': here},
            'Meta': {'consul-wan-federation': '1'}}))

    def alive(self, dc, name):
        return any(m['Name'] == name and m['Status'] == 1
                   for m in self.servers[dc].get('/v1/agent/members?wan=1').json())

    def wait_joined_by(self, dc, name):
        eventually(lambda: self.alive(dc, name), '%s alive in %s' % (name, dc))

    def wait_joined(self):
        eventually(lambda: all(self.alive(dc, name) for dc in ('dc1', 'dc2')
                               for name in ('s1.dc1', 's2.dc2')), 'both alive in both')

    def states(self, dc):
        return {s['Datacenter']: s for s in
                self.servers[dc].get('/v1/internal/federation-states').json()}

    def wait_states(self):
        def equal():
            a, b = self.states('dc1'), self.states('dc2')
            if set(a) != {'dc1', 'dc2'} or set(b) != {'dc1', 'dc2'}:
                return False
            for dc in a:
                if not a[dc].get('MeshGateways') or a[dc]['UpdatedAt'] != b[dc]['UpdatedAt']:
                    return False
                if b[dc]['PrimaryModifyIndex'] != a[dc]['ModifyIndex']:
                    return False
            return True
        eventually(equal, 'federation states equal in both datacenters')

    def start(self):
        self.s1.start()
        self.register('dc1')
        self.s2.start()
        self.register('dc2')
        return self

    def trespasses(self, dc):
        """What the server itself counted of connections past the gateways."""
        return int(self.servers[dc].get('/v1/agent/self').json()['Stats']['wan_federation']['direct'])

    def nothing_direct(self):
        for decoy in self.decoys.values():
            assert decoy.arrived == [], decoy.arrived
        assert [self.trespasses(dc) for dc in self.servers] == [0, 0]
        for a, b in ((self.at(1), self.at(2)), (self.at(2), self.at(1))):
            out = subprocess.run(['ss', '-Htn'], capture_output=True, text=True).stdout
            for line in out.splitlines():
                cols = line.split()
                assert not (cols[3].startswith(a + ':') and cols[4].startswith(b + ':')), line

    def __enter__(self):
        for x in list(self.gateways.values()) + list(self.decoys.values()):
            x.__enter__()
        return self

    def __exit__(self, kind, value, trace):
        for s in (self.s2, self.s1):
            s.__exit__(kind, value, trace)
        for x in list(self.gateways.values()) + list(self.decoys.values()):
            x.__exit__(kind, value, trace)
        self.folder.cleanup()
