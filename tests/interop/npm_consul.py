#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent and the npm package `consul`: values, catalog, health, sessions, locks, watches.

The package is installed into a folder of the test's own. Skipped when npm or its registry is out of
reach."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))

import agent  # noqa: E402

PACKAGE = 'consul@0.40.0'


def install(folder):
    """Where the package was installed, or None."""
    if not shutil.which('npm') or not shutil.which('node'):
        print('skip: npm is not installed')
        return None
    os.makedirs(folder, exist_ok=True)
    command = ['npm', 'install', '--no-audit', '--no-fund', '--silent', '--ignore-scripts', '--prefix', folder,
               PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        print('skip: the npm registry does not answer')
        return None
    if done.returncode != 0:
        print('skip: %s cannot be installed: %s' % (PACKAGE, done.stderr.strip()[-200:]))
        return None
    return os.path.join(folder, 'node_modules')


def test_the_client_works(opts):
    with agent.Agent(opts) as server:
        modules = install(os.path.join(server.folder, 'npm'))
        if not modules:
            raise agent.Skip('no client')
        server.start()
        env = dict(os.environ, NODE_PATH=modules)
        done = subprocess.run(['node', os.path.join(HERE, 'npm', 'client.js'), server.address, str(server.port)],
                              env=env, capture_output=True, text=True, timeout=120)
        print(done.stdout, end='')
        assert done.returncode == 0, done.stderr


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
