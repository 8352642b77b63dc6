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
# How much room is left, and the size of the values that fill it: the log and the state come to its
# end in different ways.
FILLINGS = [(6 << 20, 60000), (1 << 20, 3000), (500 << 10, 20000), (300 << 10, 100), (64 << 10, 1000)]


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
        self.data = os.path.join(self.path, 'data')
        return self

    def leave(self, room):
        """Takes all space but `room` bytes."""
        free = os.statvfs(self.path)
        with open(self.ballast, 'wb') as f:
            f.write(b'\0' * (free.f_bavail * free.f_frsize - room))

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.path], check=False)
        os.rmdir(self.path)

    def make_room(self):
        os.remove(self.ballast)


def value(key, size):
    return (key + ' ').ljust(size, 'v')


def fill(server, size):
    """Writes until refused; returns the acknowledged keys and the refusal."""
    kept, conn = [], server.connect()
    for n in range(10 * SIZE // size):
        key = 'fill/%d' % n
        answer = server.put('/v1/kv/' + key, value(key, size), connection=conn)
        if answer.status != 200:
            conn.close()
            return kept, answer
        kept.append(key)
    raise AssertionError('the disk never got full')


def readable(server, keys, size, how):
    conn = server.connect()
    for key in keys:
        answer = server.must(server.get('/v1/kv/%s?raw&%s' % (key, how), connection=conn))
        assert answer.text() == value(key, size), key
    conn.close()


def full_disk(opts, room, size):
    with SmallDisk() as disk, agent.Agent(opts, data_dir=disk.data) as server:
        server.start()
        disk.leave(room)
        kept, refusal = fill(server, size)
        print('%d writes of %d bytes, then: %s %s' % (len(kept), size, refusal.status, refusal.text()))
        assert refusal.status == 500
        assert 'no space left on device' in refusal.text().lower(), refusal.text()
        for _ in range(3):
            again = server.put('/v1/kv/more', value('more', size))
            assert again.status == 500 and again.text(), again.status
        assert server.put('/v1/session/create', '{}').status in (200, 500)
        readable(server, kept, size, 'stale')
        readable(server, kept, size, 'default')
        server.must(server.get('/v1/catalog/nodes'))

        disk.make_room()
        agent.eventually(lambda: server.put('/v1/kv/after', 'x').body == b'true',
                         'writes after there is room again')
        readable(server, kept, size, 'consistent')
        server.stop()
        server.start()
        readable(server, kept, size, 'consistent')
        assert server.get('/v1/kv/after?raw').body == b'x'


def test_full_disk(opts):
    for room, size in FILLINGS:
        full_disk(opts, room, size)


def test_killed_on_a_full_disk(opts):
    for room, size in FILLINGS:
        with SmallDisk() as disk, agent.Agent(opts, data_dir=disk.data) as server:
            server.start()
            disk.leave(room)
            kept, _ = fill(server, size)
            server.kill()
            disk.make_room()
            server.start()
            readable(server, kept, size, 'consistent')
            agent.eventually(lambda: server.put('/v1/kv/after', 'x').body == b'true', 'a write')


def test_start_on_a_full_disk(opts):
    """It ends with the reason; nothing has to be repaired afterwards."""
    with SmallDisk() as disk, agent.Agent(opts, data_dir=disk.data) as server:
        server.start()
        assert server.put('/v1/kv/before', 'x').body == b'true'
        server.stop()
        disk.leave(0)
        server.spawn()
        assert server.wait_end() == 1
        assert 'no space left on device' in server.log().lower(), server.tail()
        disk.make_room()
        server.start()
        assert server.get('/v1/kv/before?raw').body == b'x'
        assert server.put('/v1/kv/after', 'x').body == b'true'


if __name__ == '__main__':
    if 'CONSULD_E2E_MOUNTS' not in os.environ:
        sys.exit(in_namespace())
    sys.exit(agent.main(globals()))
