# SPDX-License-Identifier: Apache-2.0
"""Two datacenters whose servers reach each other directly: joined by their WAN pools, asked with
?dc= in both directions."""
import sys

import agent
from agent import eventually

FAST = {'gossip_interval': '100ms', 'probe_interval': '500ms', 'probe_timeout': '200ms',
        'suspicion_mult': 3}


class Options:
    def __init__(self, opts, n):
        self.binary, self.bind = opts.binary, '%s.%d' % (opts.bind.rsplit('.', 1)[0], n)


def server(opts, n, dc, **config):
    return agent.Agent(Options(opts, n), dict({
        'datacenter': dc, 'node_name': 's%d' % n, 'primary_datacenter': 'dc1', 'gossip_wan': FAST,
        'gossip_lan': FAST, 'retry_interval_wan': '300ms'}, **config))


def wan(a):
    return '%s:%d' % (a.address, a.config['ports']['serf_wan'])


class Pair:
    def __init__(self, opts, **config):
        self.s1 = server(opts, 1, 'dc1', **config)
        self.s2 = server(opts, 2, 'dc2', retry_join_wan=[wan(self.s1)], **config)

    def __enter__(self):
        self.s1.start()
        self.s2.start()
        both(self.s1, self.s2)
        return self

    def __exit__(self, kind, value, trace):
        for s in (self.s2, self.s1):
            s.__exit__(kind, value, trace)


def members(a):
    return {m['Name']: m['Status'] for m in a.get('/v1/agent/members?wan=1').json()}


def both(*servers):
    names = {'%s.%s' % (s.config['node_name'], s.config['datacenter']): 1 for s in servers}
    for s in servers:
        eventually(lambda: members(s) == names, 'all in the WAN pool of %s' % s.address)


def test_each_side_answers_for_the_other(opts):
    with Pair(opts) as p:
        for here, there in ((p.s1, p.s2), (p.s2, p.s1)):
            dc = there.config['datacenter']
            here.must(here.put('/v1/kv/from?dc=' + dc, here.address))
            assert there.get('/v1/kv/from?raw').text() == here.address
            assert here.get('/v1/kv/from?raw&dc=' + dc).text() == here.address
            nodes = [n['Node'] for n in here.get('/v1/catalog/nodes?dc=' + dc).json()]
            assert nodes == [there.config['node_name']], nodes
            leader = '"%s:%d"' % (there.address, there.config['ports']['server'])
            assert here.get('/v1/status/leader?dc=' + dc).text() == leader
            assert here.get('/v1/catalog/datacenters').json() == [here.config['datacenter'], dc]
            id = here.put('/v1/session/create?dc=' + dc,
                          {'Node': there.config['node_name']}).json()['ID']
            assert there.get('/v1/session/info/' + id).json()[0]['ID'] == id
        unknown = p.s1.get('/v1/catalog/nodes?dc=dc9')
        assert (unknown.status, unknown.text()) == (500, 'No path to datacenter')


def test_a_blocking_query_waits_in_the_other_datacenter(opts):
    import threading
    with Pair(opts) as p:
        p.s2.must(p.s2.put('/v1/kv/b', '1'))
        first = p.s1.get('/v1/kv/b?dc=dc2')
        got = []
        t = threading.Thread(target=lambda: got.append(
            p.s1.get('/v1/kv/b?raw&dc=dc2&wait=30s&index=%d' % first.index)))
        t.start()
        p.s2.must(p.s2.put('/v1/kv/b', '2'))
        t.join()
        assert got[0].text() == '2' and got[0].index > first.index


def test_a_client_agent_reaches_the_other_datacenter_through_its_servers(opts):
    with Pair(opts) as p:
        c = agent.Agent(Options(opts, 3), {
            'server': False, 'bootstrap': False, 'node_name': 'c1', 'datacenter': 'dc1',
            'retry_join': ['%s:%d' % (p.s1.address, p.s1.config['ports']['serf_lan'])],
            'retry_interval': '200ms', 'gossip_lan': FAST})
        c.spawn()
        try:
            c.wait_http()
            eventually(c.knows_leader, 'a server')
            c.must(c.put('/v1/kv/c?dc=dc2', 'far'))
            assert p.s2.get('/v1/kv/c?raw').text() == 'far'
            c.stop(0)
        finally:
            c.close()


def test_federation_states_follow_the_primary(opts):
    with Pair(opts) as p:
        gateway = {'Kind': 'mesh-gateway', 'Name': 'mesh-gateway', 'Address': '192.0.2.7',
                   'Port': 443, 'Meta': {'consul-wan-federation': '1'}}
        p.s2.must(p.s2.put('/v1/agent/service/register', gateway))

        def states(s):
            return {x['Datacenter']: x for x in s.get('/v1/internal/federation-states').json()}

        def back():
            a, b = states(p.s1), states(p.s2)
            return (set(a) == set(b) == {'dc1', 'dc2'} and a['dc2'].get('MeshGateways') and
                    all(b[dc]['PrimaryModifyIndex'] == a[dc]['ModifyIndex'] and
                        b[dc]['UpdatedAt'] == a[dc]['UpdatedAt'] for dc in a))
        eventually(back, 'states equal in both')
        got = p.s1.get('/v1/internal/federation-states/mesh-gateways').json()
        assert [g['Service']['Address'] for g in got['dc2']] == ['192.0.2.7'], got
        one = p.s2.get('/v1/internal/federation-state/dc2').json()
        assert one['State']['Datacenter'] == 'dc2'
        # nothing changes any more: neither log grows
        before = [int(s.get('/v1/internal/federation-states').index) for s in (p.s1, p.s2)]
        p.s2.must(p.s2.put('/v1/kv/quiet', 'x'))
        eventually(lambda: p.s2.get('/v1/kv/quiet?raw').text() == 'x', 'a write')
        assert before == [int(s.get('/v1/internal/federation-states').index)
                          for s in (p.s1, p.s2)]


def test_W11_W12_configuration_entries_follow_the_primary(opts):
    def entries(s):
        out = {}
        for kind in ('service-defaults', 'service-splitter', 'service-resolver'):
            for e in s.get('/v1/config/' + kind).json():
                e.pop('CreateIndex'), e.pop('ModifyIndex')
                out[(e['Kind'], e['Name'])] = e
        return out

    with Pair(opts) as p:
        # the splitter is refused before its service has a protocol
        for body in ({'Kind': 'service-defaults', 'Name': 'web', 'Protocol': 'http'},
                     {'Kind': 'service-resolver', 'Name': 'web', 'DefaultSubset': 'v1',
                      'Subsets': {'v1': {'Filter': 'Service.Meta.v == 1'}}},
                     {'Kind': 'service-splitter', 'Name': 'web',
                      'Splits': [{'Weight': 100, 'ServiceSubset': 'v1'}]},
                     {'Kind': 'service-defaults', 'Name': 'api', 'Protocol': 'grpc'}):
            p.s1.must(p.s1.put('/v1/config', body))
        eventually(lambda: entries(p.s2) == entries(p.s1) and len(entries(p.s2)) == 4, 'all entries')
        # written through the secondary they go to the primary, and come back
        p.s2.must(p.s2.put('/v1/config', {'Kind': 'service-defaults', 'Name': 'db',
                                          'Protocol': 'tcp'}))
        eventually(lambda: ('service-defaults', 'db') in entries(p.s2), 'back in the secondary')
        assert ('service-defaults', 'db') in entries(p.s1)
        for name in ('service-splitter/web', 'service-resolver/web', 'service-defaults/web'):
            p.s1.must(p.s1.request('DELETE', '/v1/config/' + name))
        eventually(lambda: entries(p.s2) == entries(p.s1) and len(entries(p.s2)) == 2, 'deleted')
        before = p.s2.get('/v1/config/service-defaults').index
        p.s1.must(p.s1.put('/v1/config', {'Kind': 'service-defaults', 'Name': 'api',
                                          'Protocol': 'grpc'}))  # as it is
        p.s1.must(p.s1.put('/v1/config', {'Kind': 'service-defaults', 'Name': 'last',
                                          'Protocol': 'tcp'}))
        eventually(lambda: ('service-defaults', 'last') in entries(p.s2), 'the last one')
        api = p.s2.get('/v1/config/service-defaults/api').json()
        assert api['ModifyIndex'] <= before, (api, before)


def test_intentions_follow_the_primary(opts):
    def intentions(s):
        out = s.get('/v1/connect/intentions').json()
        for x in out:
            x.pop('CreateIndex'), x.pop('ModifyIndex')
        return sorted(out, key=lambda x: x['ID'])

    with Pair(opts, connect={'enabled': True}) as p:
        ids = [p.s1.must(p.s1.request('POST', '/v1/connect/intentions', {
            'SourceName': name, 'DestinationName': 'db', 'Action': 'allow'})).json()['ID']
            for name in ('web', 'api')]
        eventually(lambda: intentions(p.s2) == intentions(p.s1) and len(intentions(p.s2)) == 2,
                   'both in the secondary')
        p.s2.must(p.s2.put('/v1/connect/intentions/' + ids[0], {
            'SourceName': 'web', 'DestinationName': 'db', 'Action': 'deny'}))
        eventually(lambda: {x['Action'] for x in intentions(p.s2)} == {'allow', 'deny'}, 'changed')
        p.s1.must(p.s1.request('DELETE', '/v1/connect/intentions/' + ids[1]))
        eventually(lambda: [x['ID'] for x in intentions(p.s2)] == [ids[0]], 'one is gone')
        assert intentions(p.s1) == intentions(p.s2)


def test_B45_replication_is_shown_in_the_secondary(opts):
    def stats(s, name):
        return s.get('/v1/agent/self').json()['Stats'].get(name)

    with Pair(opts) as p:
        p.s1.must(p.s1.put('/v1/config', {'Kind': 'service-defaults', 'Name': 'web',
                                          'Protocol': 'http'}))
        for name in ('federation_state_replication', 'config_entry_replication',
                     'intention_replication'):
            eventually(lambda: stats(p.s2, name)['last_success'] != 'never', name + ' works')
            assert stats(p.s2, name)['failing_since'] == 'never', stats(p.s2, name)
            assert stats(p.s1, name) is None
        eventually(lambda: int(stats(p.s2, 'config_entry_replication')['writes']) == 1, 'a write')
        p.s1.kill()
        eventually(lambda: stats(p.s2, 'config_entry_replication')['last_error'], 'the error')
        eventually(lambda: int(stats(p.s2, 'config_entry_replication')['next_try_ms']) > 0,
                   'the next try')


def test_a_snapshot_of_the_other_datacenter(opts):
    with Pair(opts) as p:
        p.s2.must(p.s2.put('/v1/kv/kept', 'then'))
        archive = p.s1.must(p.s1.get('/v1/snapshot?dc=dc2')).body
        p.s2.must(p.s2.put('/v1/kv/kept', 'now'))
        p.s1.must(p.s1.request('PUT', '/v1/snapshot?dc=dc2', archive))
        eventually(lambda: p.s2.get('/v1/kv/kept?raw').text() == 'then', 'the old value')
        unknown = p.s1.get('/v1/snapshot?dc=dc9')
        assert (unknown.status, unknown.text()) == (500, 'No path to datacenter')


def test_a_dead_datacenter_is_an_error_and_comes_back(opts):
    with Pair(opts) as p:
        p.s2.must(p.s2.put('/v1/kv/k', 'v'))
        assert p.s1.get('/v1/kv/k?raw&dc=dc2').text() == 'v'
        p.s2.kill()
        gone = p.s1.get('/v1/kv/k?dc=dc2')
        assert gone.status == 500 and 'rpc error' in gone.text(), gone.text()
        eventually(lambda: members(p.s1)['s2.dc2'] == 4, 'seen as failed')
        assert p.s1.get('/v1/catalog/datacenters').json() == ['dc1', 'dc2']
        p.s2.start()
        eventually(lambda: p.s1.get('/v1/kv/k?raw&dc=dc2').text() == 'v', 'an answer again')


def test_W32_datacenters_started_in_any_order_join(opts):
    s1, s2 = server(opts, 1, 'dc1'), server(opts, 2, 'dc2')
    for a, b in ((s1, s2), (s2, s1)):
        a.config['retry_join_wan'] = [wan(a), wan(b)]
        a.write_config('base.json', a.config)
    with s1, s2:
        s2.start()
        s1.start()
        both(s1, s2)


def test_a_query_fails_over_to_the_other_datacenter(opts):
    with Pair(opts) as p:
        p.s2.must(p.s2.put('/v1/agent/service/register', {'Name': 'far', 'Port': 7}))
        eventually(lambda: p.s2.get('/v1/catalog/service/far').json(), 'the service')
        query = {'Name': 'q', 'Service': {'Service': 'far',
                                          'Failover': {'Datacenters': ['dc9', 'dc2']}}}
        p.s1.must(p.s1.request('POST', '/v1/query', query))
        got = p.s1.get('/v1/query/q/execute').json()
        assert (got['Datacenter'], got['Failovers'], len(got['Nodes'])) == ('dc2', 1, 1), got
        near = {'Name': 'n', 'Service': {'Service': 'far', 'Failover': {'NearestN': 3}}}
        p.s1.must(p.s1.request('POST', '/v1/query', near))
        got = p.s1.get('/v1/query/n/execute').json()
        assert (got['Datacenter'], got['Failovers'], len(got['Nodes'])) == ('dc2', 1, 1), got
        none = {'Name': 'none', 'Service': {'Service': 'nowhere', 'Failover': {'NearestN': 3}}}
        p.s1.must(p.s1.request('POST', '/v1/query', none))
        got = p.s1.get('/v1/query/none/execute').json()
        assert (got['Failovers'], got['Nodes']) == (1, []), got


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
