#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`debug` packs what the agent tells of itself; /debug/state shows its parts only when asked for."""
import json
import os
import subprocess
import sys
import tarfile

import agent


def run(server, *words):
    env = dict(os.environ, CONSUL_HTTP_ADDR='%s:%d' % (server.address, server.port))
    return subprocess.run([server.binary, 'debug', '-duration=10s', '-interval=5s', *words],
                          capture_output=True, text=True, env=env, timeout=agent.DEADLINE)


def test_archive_holds_every_part(opts):
    with agent.Agent(opts, config={'enable_debug': True}) as server:
        server.start()
        output = os.path.join(server.folder, 'captured')
        done = run(server, '-output=' + output)
        assert done.returncode == 0 and 'Saved debug archive: ' + output in done.stdout, done
        assert not os.path.exists(output)
        with tarfile.open(output + '.tar.gz') as archive:
            names = archive.getnames()
            parts = {os.path.basename(name) for name in names}
            wanted = {'agent.json', 'host.json', 'cluster.json', 'index.json', 'metrics.json', 'state.json',
                      'consul.log'}
            assert wanted <= parts, names
            for name in names:
                if name.endswith('.json'):
                    json.load(archive.extractfile(name))
            index = json.load(archive.extractfile('captured/index.json'))
        assert (index['Interval'], index['Duration']) == ('5s', '10s'), index


def test_a_folder_that_exists_is_left_alone(opts):
    with agent.Agent(opts) as server:
        server.start()
        done = run(server, '-output=' + server.folder)
        assert done.returncode == 1 and 'output directory already exists' in done.stderr, done


def test_state_needs_enable_debug(opts):
    with agent.Agent(opts) as server:
        server.start()
        assert server.get('/debug/state').status == 401
    with agent.Agent(opts, config={'enable_debug': True}) as server:
        server.start()
        state = server.must(server.get('/debug/state')).json()
        assert [m['Name'] for m in state['LAN']] == ['e2e'], state
        assert state['Stats']['raft']['state'] == 'Leader', state


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
