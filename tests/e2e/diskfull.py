#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk: writes are refused with a clear error, reads go on, and once there is room again
writes go on, without a restart and without anything acknowledged being lost.

The data folder lies on a small tmpfs in a mount namespace of the test's own.
"""
import os
import subprocess
import sys
import tempfile

import agent

SIZE = 24 << 20
BALLAST = 8 << 20
VALUE = 'v' * 60000


def in_namespace():
    """Runs this file again where it may mount, or says why that is not possible."""
    for way in (['unshare', '--mount', '--propagation', 'private'],
                ['unshare', '--user', '--map-root-user', '--mount']):
        with tempfile.TemporaryDirectory() as folder:
            probe = subprocess.run(way + ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if probe.returncode == 0:
            os.environ['CONSULD_E2E_MOUNTS'] = '1'
            return subprocess.call(way + [sys.executable, os.path.abspath(__file__)] + sys.argv[1:])
    print('skip: mounting a tmpfs is not permitted here')
    return agent.SKIPPED


class SmallDisk:
    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix='consuld-disk-')
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%d' % SIZE, 'tmpfs', self.path], check=True)
        self.ballast = os.path.join(self.path, 'ballast')
        with open(self.ballast, 'wb') as f:
            f.write(b'\0' * BALLAST)
        self.data = os.path.join(self.path, 'data')
        return self

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.path], check=False)
        os.rmdir(self.path)

    def make_room(self):
        os.remove(self.ballast)


def fill(server):
    """Writes until refused; returns the acknowledged keys and the refusal."""
    kept = []
    for n in range(10 * SIZE // len(VALUE)):
        key = 'fill/%d' % n
        answer = server.put('/v1/kv/' + key, '%s %s' % (key, VALUE))
        if answer.status != 200:
            return kept, answer
        kept.append(key)
    raise AssertionError('the disk never got full')


def readable(server, keys, how):
    for key in keys:
        answer = server.must(server.get('/v1/kv/%s?raw&%s' % (key, how)))
        assert answer.text() == '%s %s' % (key, VALUE), key


def test_full_disk(opts):
    with SmallDisk() as disk, agent.Agent(opts, data_dir=disk.data) as server:
        server.start()
        kept, refusal = fill(server)
        print('%d writes of 60 kB, then: %s %s' % (len(kept), refusal.status, refusal.text()))
        assert kept, 'not one write was taken'
        assert refusal.status == 500
        assert 'no space left on device' in refusal.text().lower(), refusal.text()
        # again, and other kinds of writes
        for _ in range(3):
            again = server.put('/v1/kv/more', VALUE)
            assert again.status == 500 and again.body, again.text()
        assert server.put('/v1/session/create', '{}').status in (200, 500)
        readable(server, kept, 'stale')
        readable(server, kept, 'default')
        server.must(server.get('/v1/catalog/nodes'))

        disk.make_room()
        agent.eventually(lambda: server.put('/v1/kv/after', 'x').body == b'true',
                         'writes after there is room again')
        readable(server, kept, 'consistent')
        server.stop()
        server.start()
        readable(server, kept, 'consistent')
        assert server.get('/v1/kv/after?raw').body == b'x'


def test_killed_on_a_full_disk(opts):
    with SmallDisk() as disk, agent.Agent(opts, data_dir=disk.data) as server:
        server.start()
        kept, _ = fill(server)
        server.kill()
        disk.make_room()
        server.start()
        readable(server, kept, 'consistent')
        agent.eventually(lambda: server.put('/v1/kv/after', 'x').body == b'true', 'a write')


if __name__ == '__main__':
    if 'CONSULD_E2E_MOUNTS' not in os.environ:
        sys.exit(in_namespace())
    sys.exit(agent.main(globals()))
