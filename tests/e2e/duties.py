# SPDX-License-Identifier: Apache-2.0
"""What a leader does besides replicating, and what followers do with what is asked of them: members in
the catalogue, health, promotion and clean-up of servers, sessions that outlive a leader, forwarding,
archives through a follower, metrics."""
import signal
import socket
import threading
import time

import agent
from agent import eventually
from cluster import Cluster

PASSING = 'passing'
GOSSIP = ['consul_' + n for n in (
    'memberlist_gossip', 'memberlist_probeNode', 'memberlist_pushPullNode', 'serf_msgs_received',
    'serf_msgs_sent', 'serf_coordinate_adjustment_ms', 'serf_snapshot_appendLine', 'serf_queue_Event')]
RUNTIME = ['alloc_bytes', 'sys_bytes', 'free_count', 'heap_objects', 'malloc_count', 'num_goroutines',
           'total_gc_pause_ns', 'total_gc_runs']


def catalogue(server, node):
    """(serfHealth, meta of the service consul) of a node as the catalogue has it; None: unknown."""
    checks = server.get('/v1/health/node/' + node).json()
    status = [c['Status'] for c in checks if c['CheckID'] == 'serfHealth']
    services = (server.get('/v1/catalog/node/' + node).json() or {}).get('Services') or {}
    meta = services.get('consul', {}).get('Meta')
    return (status[0], meta) if status else None


def health(server):
    answer = server.get('/v1/operator/autopilot/health')
    return answer.status, {s['Name']: s for s in answer.json()['Servers'] or []}


def members(server):
    return {s['Node']: s['Voter'] for s in
            server.get('/v1/operator/raft/configuration').json()['Servers']}


def test_every_server_is_in_the_catalogue_whoever_leads(opts):
    expected = (PASSING, {'non_voter': 'false', 'raft_version': '3', 'serf_protocol_current': '2',
                          'serf_protocol_max': '5', 'serf_protocol_min': '1', 'version': '1.8.6'})
    with Cluster(opts) as c:
        for _ in range(2):
            for asked in c.alive():
                for s in c.servers:
                    name = s.config['node_name']
                    eventually(lambda: catalogue(asked, name) == expected,
                               '%s in the catalogue of %s' % (name, asked.config['node_name']))
            old = c.leader()
            old.kill()
            eventually(lambda: c.leader() and c.leader() is not old, 'a new leader')
            name = old.config['node_name']
            eventually(lambda: (catalogue(c.leader(), name) or ('gone',))[0] != PASSING,
                       'the dead server is not passing')
            old.spawn()
            old.wait_http()
            c.agree()


def test_a_dead_server_is_cleaned_up_and_promoted_when_it_returns(opts):
    autopilot = {'cleanup_dead_servers': True, 'server_stabilization_time': '1s'}
    with Cluster(opts, autopilot=autopilot) as c:
        dead = [s for s in c.servers if s is not c.leader()][0]
        name = dead.config['node_name']
        eventually(lambda: health(c.leader())[0] == 200, 'a healthy cluster')
        dead.kill()
        eventually(lambda: not health(c.leader())[1].get(name, {'Healthy': False})['Healthy'],
                   'the dead server is unhealthy')
        eventually(lambda: name not in members(c.leader()), 'the dead server has left raft')
        eventually(lambda: catalogue(c.leader(), name) is None, 'and the catalogue')
        dead.spawn()
        eventually(lambda: members(c.leader()).get(name) is False, 'it is back as a non-voter')
        eventually(lambda: members(c.leader()).get(name) is True, 'and a voter again')
        eventually(lambda: health(c.leader())[0] == 200, 'a healthy cluster')


def test_half_of_the_servers_is_never_cleaned_up(opts):
    with Cluster(opts, n=2) as c:
        leader = c.leader()
        dead = [s for s in c.servers if s is not leader][0]
        dead.kill()
        eventually(lambda: leader.write('k') is False, 'writes fail without a majority')
        time_left = time.monotonic() + 15
        while time.monotonic() < time_left:
            assert len(leader.voters()) == 2
            time.sleep(0.5)


def test_autopilot_says_429_when_a_server_is_unhealthy(opts):
    with Cluster(opts, autopilot={'cleanup_dead_servers': False}) as c:
        eventually(lambda: health(c.leader())[0] == 200, 'a healthy cluster')
        answer = c.leader().get('/v1/operator/autopilot/health').json()
        assert answer['FailureTolerance'] == 1, answer
        dead = [s for s in c.servers if s is not c.leader()][0]
        dead.kill()
        eventually(lambda: health(c.leader())[0] == 429, 'status 429')
        status, servers = health(c.leader())
        assert len(servers) == 3 and not servers[dead.config['node_name']]['Healthy']


def test_sessions_end_after_their_leader_died(opts):
    with Cluster(opts, session_ttl_min='1s') as c:
        asked = [s for s in c.servers if s is not c.leader()][0]
        name = asked.config['node_name']
        eventually(lambda: catalogue(asked, name), 'the node, with its check, in the catalogue')
        old, session = c.leader(), []

        def holds():  # again if it ended before
            session[:] = [asked.put('/v1/session/create', {'TTL': '1s', 'Behavior': 'delete'}).json()['ID']]
            return asked.put('/v1/kv/held?acquire=' + session[0], 'x').body == b'true'
        eventually(holds, 'a session that holds the key')
        old.kill()
        eventually(lambda: asked.get('/v1/kv/held').status == 404, 'the key goes with its session')
        assert asked.get('/v1/session/info/' + session[0]).json() == []


def test_followers_answer_as_the_leader_does(opts):
    with Cluster(opts) as c:
        leader = c.leader()
        for i, s in enumerate(c.servers):
            eventually(lambda: s.write('from/%d' % i, 'v%d' % i), 'a write')
        for s in c.servers:
            for how in ('', '?consistent'):
                got = s.get('/v1/kv/from/2' + how)
                assert got.status == 200 and got.headers['X-Consul-Knownleader'] == 'true', got.text()
            assert s.get('/v1/status/leader').json() == leader.raft_address
            eventually(lambda: s.get('/v1/kv/from/2?stale').status == 200, 'the value on each server')
        follower = [s for s in c.servers if s is not leader][0]
        index = follower.get('/v1/kv/from/0').index
        connection = follower.connect()
        connection.request('GET', '/v1/kv/from/0?index=%d&wait=30s' % index)
        eventually(lambda: leader.write('from/0', 'changed'), 'a write')
        answer = connection.getresponse()
        assert int(answer.headers['X-Consul-Index']) > index and b'changed' not in answer.read()[:0]
        connection.close()
        wrong = follower.put('/v1/session/create', {'Behavior': 'keep'})
        assert wrong.status == 500, wrong.text()
        assert wrong.text() == "rpc error making call: Invalid Behavior setting 'keep'", wrong.text()


SAME = ['kv/?recurse', 'kv/a', 'kv/gone', 'kv/?keys&separator=/', 'catalog/nodes', 'catalog/services',
        'catalog/service/web', 'catalog/service/gone', 'catalog/node/n', 'health/service/web?passing',
        'health/service/gone', 'health/state/any', 'health/node/n', 'session/list', 'session/node/n',
        'config/service-defaults', 'config/service-defaults/web', 'config/proxy-defaults',
        'connect/intentions', 'query', 'internal/ui/services', 'coordinate/nodes']


def stale(path):
    return '/v1/%s%sstale' % (path, '&' if '?' in path else '?')


def test_the_same_query_has_the_same_index_on_every_server(opts):
    small = {'raft_snapshot_threshold': 64, 'raft_snapshot_interval': '1s', 'raft_trailing_logs': 16}
    with Cluster(opts, **small) as c:
        late, leader = c.followers()[0], c.leader()

        def put(path, body=None):
            return leader.must(leader.put('/v1/' + path, body))
        for service in ('web', 'gone'):
            put('catalog/register', {'Node': 'n', 'Address': '10.0.0.1', 'Service': {'Service': service},
                                     'Check': {'Name': service, 'Status': 'passing', 'ServiceID': service}})
            put('config', {'Kind': 'service-defaults', 'Name': service, 'Protocol': 'http'})
        late.kill()
        session = put('session/create', {'Node': 'n', 'Checks': [], 'Name': 's'}).json()['ID']
        put('kv/a?acquire=' + session, 'x')
        put('kv/gone', 'x')
        leader.must(leader.request('DELETE', '/v1/kv/gone'))
        put('catalog/deregister', {'Node': 'n', 'ServiceID': 'gone'})
        leader.must(leader.request('DELETE', '/v1/config/service-defaults/gone'))
        leader.must(leader.request('POST', '/v1/query', {'Name': 'q', 'Service': {'Service': 'web'}}))
        for i in range(150):
            put('kv/more/%d' % (i % 7), 'x' * i)
        eventually(lambda: int(leader.stats()['last_snapshot_index']) > 100, 'a snapshot')
        late.spawn().wait_http()  # gets its state as a snapshot
        c.equal()
        assert int(late.stats()['last_snapshot_index']) > 100, late.stats()

        def indexes(server):
            return {path: server.get(stale(path)).index for path in SAME}

        def differences():
            one, two, three = [indexes(s) for s in c.servers]
            return [(p, one[p], two[p], three[p]) for p in SAME
                    if not (one[p] == two[p] == three[p] > 0)]
        try:
            eventually(lambda: not differences(), 'the same indexes')
        except AssertionError:
            raise AssertionError(differences())


def test_a_leader_that_leaves_costs_no_failed_write(opts):
    # with the default timing: a leader that is slow for a moment stays leader
    patient = {'performance': {'raft_multiplier': 5, 'leave_drain_time': '200ms'},
               'autopilot': {'cleanup_dead_servers': False, 'last_contact_threshold': '5s'}}
    with Cluster(opts, **patient) as c:
        for _ in range(2):
            old = c.leader()
            through = [s for s in c.alive() if s is not old][0]
            answers, over = [], threading.Event()

            def write():
                while not over.is_set():
                    answers.append(through.put('/v1/kv/w', 'x'))
            writer = threading.Thread(target=write)
            writer.start()
            try:
                eventually(lambda: len(answers) > 20, 'writes')
                old.leave()
                before = len(answers)
                eventually(lambda: len(answers) > before + 20, 'more writes')
            finally:
                over.set()
                writer.join()
            failed = [a.text() for a in answers if a.status != 200]
            assert not failed, '%d of %d failed: %s' % (len(failed), len(answers), failed[:3])
            old.spawn()
            old.wait_http()
            c.agree()
            eventually(lambda: len(c.leader().voters()) == 3, 'three voters')


def test_an_archive_goes_through_a_follower(opts):
    with Cluster(opts) as c:
        follower = [s for s in c.servers if s is not c.leader()][0]
        eventually(lambda: follower.write('kept', 'yes'), 'a write')
        archive = follower.get('/v1/snapshot')
        assert archive.status == 200 and archive.body[:2] == b'\x1f\x8b'
        eventually(lambda: follower.write('later', 'no'), 'a write')
        broken = follower.put('/v1/snapshot', archive.body[:len(archive.body) // 2])
        assert broken.status == 500, broken.text()
        assert follower.get('/v1/kv/later').status == 200
        follower.must(follower.put('/v1/snapshot', archive.body))
        for s in c.servers:
            eventually(lambda: s.keys() == ['kept'], 'the state of the archive on each server')
        eventually(lambda: follower.write('after'), 'a write')
        for s in c.servers:
            eventually(lambda: catalogue(c.leader(), s.config['node_name']) is not None,
                       'the members in the restored catalogue')


def test_entries_of_the_configuration_are_written_once(opts):
    entries = {'bootstrap': [{'kind': 'service-defaults', 'name': 'web', 'protocol': 'http'}]}
    with Cluster(opts, config_entries=entries) as c:
        path = '/v1/config/service-defaults/web'
        eventually(lambda: c.leader().get(path).status == 200, 'the entry')
        changed = {'Kind': 'service-defaults', 'Name': 'web', 'Protocol': 'tcp'}
        eventually(lambda: c.leader().put('/v1/config', changed).status == 200, 'the change')
        old = c.leader()
        old.kill()
        eventually(lambda: c.leader() and c.leader() is not old, 'a new leader')
        eventually(lambda: c.leader().write('k'), 'a write')
        assert c.leader().get(path).json()['Protocol'] == 'tcp'


def test_metrics_tell_of_raft_and_of_calls(opts):
    telemetry = {'prometheus_retention_time': '1h', 'disable_hostname': True,
                 'prefix_filter': ['-consul.serf']}
    with Cluster(opts, telemetry=telemetry) as c:
        leader = c.leader()
        for i in range(3):
            eventually(lambda: leader.write('m%d' % i), 'a write')
        leader.get('/v1/health/service/consul')
        text = leader.get('/v1/agent/metrics?format=prometheus')
        assert text.status == 200 and text.headers['Content-Type'].startswith('text/plain; version=0.0.4')
        lines = dict(line.rsplit(' ', 1) for line in text.text().split('\n')
                     if line and not line.startswith('#'))
        assert float(lines['consul_kvs_apply_count']) >= 3, lines
        assert float(lines['consul_raft_apply']) >= 3
        assert float(lines['consul_autopilot_healthy']) in (0, 1)
        assert float(lines['consul_health_service_query{service="consul"}']) == 1
        assert not [name for name in lines if name.startswith('consul_serf')]
        shown = leader.get('/v1/agent/metrics').json()
        assert sorted(shown) == ['Counters', 'Gauges', 'Points', 'Samples', 'Timestamp']
        # of the last whole interval, which may have begun too late for any
        eventually(lambda: {g['Name']: g['Value'] for g in leader.get('/v1/agent/metrics').json()['Gauges']}[
            'consul.raft.applied_index'] > 3, 'the gauge')


def metrics(server):
    """Values by name with labels, and kinds by name."""
    values, kinds = {}, {}
    for line in server.get('/v1/agent/metrics?format=prometheus').text().split('\n'):
        if line.startswith('# TYPE '):
            kinds[line.split()[2]] = line.split()[3]
        elif line and not line.startswith('#'):
            values[line.rsplit(' ', 1)[0]] = float(line.rsplit(' ', 1)[1])
    return values, kinds


def test_metrics_of_raft_have_the_names_of_the_original(opts):
    telemetry = {'prometheus_retention_time': '1h', 'disable_hostname': True}
    missing = []
    with Cluster(opts, telemetry=telemetry, connect={'enabled': True}) as c:
        leader, follower = c.leader(), c.followers()[0]
        for i in range(3):
            eventually(lambda: leader.write('m%d' % i), 'a write')
        leader.must(leader.put('/v1/config', '{"Kind": "service-defaults", "Name": "w"}'))
        archive = leader.must(leader.get('/v1/snapshot')).body
        leader.must(leader.put('/v1/snapshot', archive))
        c.equal()
        ids = {s.config['node_name']: s.get('/v1/agent/self').json()['Config']['NodeID'] for s in c.servers}
        peer = ids[follower.config['node_name']].replace('-', '_')

        def complete(server, names):
            values, kinds = metrics(server)
            missing.clear()
            for name, kind in names.items():
                bare, _, labels = name.partition('{')
                shown = bare + '_count' * (kind == 'summary') + '{' * bool(labels) + labels
                if kinds.get(bare) != kind or shown not in values:
                    missing.append(name)
            return not missing
        samples = ['consul_raft_commitTime', 'consul_raft_fsm_apply', 'consul_raft_leader_dispatchLog',
                   'consul_raft_leader_lastContact', 'consul_raft_fsm_snapshot', 'consul_raft_fsm_restore',
                   'consul_raft_snapshot_create', 'consul_raft_snapshot_persist', 'consul_fsm_persist',
                   'consul_raft_snapshot_takeSnapshot', 'consul_raft_compactLogs',
                   'consul_raft_restoreUserSnapshot', 'consul_fsm_kvs{op="set"}', 'consul_fsm_register',
                   'consul_fsm_config_entry_service_defaults{op="upsert"}',
                   'consul_fsm_ca{op="set-roots"}', 'consul_consul_fsm_ca{op="set-roots"}',
                   'consul_leader_reconcile', 'consul_leader_reconcileMember', 'consul_raft_fsm_enqueue',
                   'consul_raft_candidate_electSelf'] + GOSSIP
        samples += ['consul_raft_replication_%s_%s' % (what, peer) for what in (
            'heartbeat', 'appendEntries_rpc', 'installSnapshot')]
        wanted = dict.fromkeys(samples, 'summary')
        wanted.update({'consul_raft_replication_appendEntries_logs_' + peer: 'counter',
                       'consul_raft_restore': 'counter', 'consul_raft_state_leader': 'counter',
                       'consul_raft_leader_dispatchNumLogs': 'gauge', 'consul_raft_commitNumLogs': 'gauge'})
        eventually(lambda: complete(leader, wanted), 'the metrics of a leader')
        wanted = dict.fromkeys(['consul_raft_rpc_appendEntries', 'consul_raft_rpc_processHeartbeat',
                                'consul_raft_rpc_appendEntries_storeLogs', 'consul_raft_rpc_installSnapshot',
                                'consul_raft_rpc_appendEntries_processLogs',
                                'consul_raft_fsm_restore', 'consul_fsm_kvs{op="set"}'] + GOSSIP, 'summary')
        wanted.update(dict.fromkeys(['consul_runtime_' + n for n in RUNTIME], 'gauge'))
        wanted['consul_rpc_raft_handoff'] = 'counter'
        eventually(lambda: complete(follower, wanted), 'the metrics of a follower')


def received(sockets):
    """Lines that came to each socket so far."""
    lines = []
    for s in sockets:
        text = b''
        while True:
            try:
                text += s.recv(65536)
            except BlockingIOError:
                break
        lines.append(text.decode().split('\n'))
    return lines


def test_values_go_to_statsd_and_a_reload_changes_which(opts):
    plain, tagged = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for s in (plain, tagged):
        s.bind((opts.bind, 0))
        s.setblocking(False)
    telemetry = {'statsd_address': '%s:%d' % plain.getsockname(),
                 'dogstatsd_addr': '%s:%d' % tagged.getsockname(), 'dogstatsd_tags': ['env:test']}
    host = socket.gethostname()
    with agent.Agent(opts, {'telemetry': telemetry}) as a:
        a.start()
        seen = [[], []]

        def write_and_look(*wanted):
            a.put('/v1/kv/s', 'x')
            a.get('/v1/health/service/consul')
            for to, lines in zip(seen, received((plain, tagged))):
                to += lines
            return all(any(line.startswith(start) and line.endswith(end) for line in seen[i])
                       for i, start, end in wanted)
        eventually(lambda: write_and_look(
            (0, 'consul.kvs.apply:', '|ms'), (0, 'consul.%s.raft.last_index:' % host, '|g'),
            (1, 'consul.raft.last_index:', '|g|#env:test'), (0, 'consul.health.service.query.consul:1', '|c'),
            (1, 'consul.kvs.apply:', '|ms|#env:test'),
            (1, 'consul.health.service.query:1|c|#env:test,service:consul', '')), 'values by UDP')
        a.write_config('telemetry.json', {'telemetry': dict(telemetry, prefix_filter=['-consul.kvs'])})
        a.signal(signal.SIGHUP)

        def filtered():
            received((plain, tagged))
            a.put('/v1/kv/s', 'x')
            time.sleep(0.3)
            text = received((plain, tagged))[0]
            return text and not [line for line in text if line.startswith('consul.kvs')]
        eventually(filtered, 'no value of a blocked prefix')
        a.signal(signal.SIGUSR1)
        a.wait_log("[G] 'consul.%s.raft.applied_index'" % host)


def test_values_go_to_statsite_which_may_come_later(opts):
    with socket.socket() as listener:
        listener.bind((opts.bind, 0))
        telemetry = {'statsite_address': '%s:%d' % listener.getsockname(), 'disable_hostname': True}
        with agent.Agent(opts, {'telemetry': telemetry}) as a:
            a.start()
            a.wait_log('Error connecting to statsite')
            listener.listen(4)
            for _ in range(2):
                connection, _ = listener.accept()
                connection.settimeout(1)
                text = [b'']

                def come():
                    a.put('/v1/kv/s', 'x')
                    try:
                        text[0] += connection.recv(65536)
                    except socket.timeout:
                        pass
                    return b'\nconsul.kvs.apply:' in text[0] and b'|c\n' in text[0]
                eventually(come, 'values over the connection')
                connection.close()  # it is made again


if __name__ == '__main__':
    raise SystemExit(agent.main(globals()))
