# SPDX-License-Identifier: Apache-2.0
"""Builds Go programs of this folder with Debian's packages, without network or modules."""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
import agent  # noqa: E402

SOURCES = '/usr/share/gocode/src/github.com/hashicorp'


def build(name, packages):
    """The program of folder `name`, which needs Debian's golang-github-hashicorp-<package>-dev."""
    if not shutil.which('go'):
        raise agent.Skip('golang-go is not installed')
    for package in packages:
        if not os.path.isdir(os.path.join(SOURCES, package)):
            raise agent.Skip('golang-github-hashicorp-%s-dev is not installed' % package)
    folder = tempfile.mkdtemp(prefix='consuld-peer-')
    atexit.register(shutil.rmtree, folder, True)
    program = os.path.join(folder, name)
    env = dict(os.environ, GO111MODULE='off', GOPATH='/usr/share/gocode', CGO_ENABLED='0',
               GOFLAGS='-p=2')
    if not {'GOCACHE', 'XDG_CACHE_HOME', 'HOME'} & set(env):
        env['GOCACHE'] = os.path.join(folder, 'cache')
    built = subprocess.run(['go', 'build', '-o', program, '.'], cwd=os.path.join(HERE, name),
                           env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert built.returncode == 0, built.stdout
    return program
