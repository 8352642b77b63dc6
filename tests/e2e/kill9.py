#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 under write load: every acknowledged write is there after the restart, indexes do not go
back, nothing has to be repaired.

Writers put a growing counter into keys of their own over connections of their own. After a restart a
key holds the counter of its last acknowledged write, or that of the one write that was under way.
Some kills hit the start itself, some restarts find the state of another boot of the machine, so that
it is built anew from snapshot and log.
"""
import base64
import os
import random
import sys
import threading
import time

import agent

WRITERS = 8
KEYS = 40


class Writer(threading.Thread):
    def __init__(self, server, number, sent, acknowledged, first):
        super().__init__(daemon=True)
        self.server, self.number, self.next = server, number, first
        self.sent, self.acknowledged = sent, acknowledged
        self.refusal = None

    def run(self):
        conn = self.server.connect()
        try:
            while True:
                key = 'ring/%d/%d' % (self.number, self.next % KEYS)
                value = '%d/%s' % (self.next, 'x' * (self.next * 37 % 2000))
                self.sent[key] = value
                answer = self.server.put('/v1/kv/' + key, value, connection=conn)
                if answer.status != 200 or answer.body != b'true':
                    self.refusal = '%s %s' % (answer.status, answer.text())
                    return
                self.acknowledged[key] = value
                self.next += 1
        except Exception:
            pass  # the server was killed
        finally:
            conn.close()


class Watcher(threading.Thread):
    """Remembers the highest index that a reader has been told."""

    def __init__(self, server, seen):
        super().__init__(daemon=True)
        self.server, self.seen = server, seen

    def run(self):
        conn = self.server.connect()
        try:
            while True:
                answer = self.server.get('/v1/kv/ring/?keys', connection=conn)
                if answer.status == 200:
                    self.seen['index'] = max(self.seen['index'], answer.index)
        except Exception:
            pass
        finally:
            conn.close()


def read_all(server):
    """The first answer that is none of "no leader yet" has to be complete."""
    answer = agent.eventually(lambda: answered(server), 'an answer')
    if answer.status == 404:
        return {}, {}, answer.index
    server.must(answer)
    values, indexes = {}, {}
    for entry in answer.json():
        values[entry['Key']] = base64.b64decode(entry['Value'] or '').decode()
        indexes[entry['Key']] = entry['ModifyIndex']
    return values, indexes, answer.index


def answered(server):
    answer = server.get('/v1/kv/ring/?recurse')
    return None if answer.status == 500 and answer.text() == 'No cluster leader' else answer


def another_boot(server):
    """What the data folder looks like after the machine went down."""
    path = os.path.join(server.data_dir, 'state', 'mark')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text[:text.rstrip('\n').rindex(' ') + 1] + 'another-boot\n')


def compare(server, sent, acknowledged, indexes_before, seen):
    values, indexes, index = read_all(server)
    for key, value in acknowledged.items():
        got = values.get(key)
        assert got in (value, sent[key]), 'lost: %s holds %r, acknowledged was %r, sent %r' % (
            key, got and got[:20], value[:20], sent[key][:20])
    for key in values:
        assert key in sent, '%s was never written' % key
        acknowledged[key] = sent[key] = values[key]
    for key, before in indexes_before.items():
        assert indexes[key] >= before, '%s: ModifyIndex %d was %d' % (key, indexes[key], before)
    assert index >= seen['index'], 'X-Consul-Index %d was %d before' % (index, seen['index'])
    assert index >= max(indexes.values(), default=0)
    seen['index'] = index
    return indexes


def under_load(server, dice, counters, sent, acknowledged, seen):
    """Writes until a kill at a random moment; returns what was refused."""
    writers = [Writer(server, i, sent, acknowledged, counters[i]) for i in range(WRITERS)]
    watcher = Watcher(server, seen)
    for thread in writers + [watcher]:
        thread.start()
    time.sleep(dice.uniform(0.01, 0.4))  # the moment of the kill is the input
    server.kill()
    for thread in writers + [watcher]:
        thread.join()
    for i, writer in enumerate(writers):
        counters[i] = writer.next + 1
    return [w.refusal for w in writers if w.refusal]


def test_no_acknowledged_write_is_lost(opts):
    kills = opts.kills or (200 if agent.full() else 10)
    dice = random.Random(opts.seed)
    print('seed %d, %d kills' % (opts.seed, kills))
    counters, sent, acknowledged, indexes, seen = [0] * WRITERS, {}, {}, {}, {'index': 0}
    # Snapshots and new generations of the log happen between the kills.
    small = {'raft_snapshot_threshold': 400, 'raft_snapshot_interval': '1s', 'raft_trailing_logs': 100}
    rebuilt = halted = 0
    with agent.Agent(opts, small) as server:
        for n in range(kills):
            if n % 4 == 3:  # while it starts
                server.spawn()
                time.sleep(dice.uniform(0, 0.3))
                server.kill()
                halted += 1
            if n % 5 == 4:
                another_boot(server)
                rebuilt += 1
            server.spawn().wait_http()
            indexes = compare(server, sent, acknowledged, indexes, seen)
            refused = under_load(server, dice, counters, sent, acknowledged, seen)
            assert not refused, refused
            server.check_log()
        server.spawn().wait_http()
        compare(server, sent, acknowledged, indexes, seen)
    print('%d acknowledged writes, %d kills under load, %d during start, %d rebuilt' % (
        sum(counters), kills, halted, rebuilt))
    assert sum(counters) > kills, 'hardly a write was acknowledged'


def options(ap):
    ap.add_argument('--kills', type=int, default=0)
    ap.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 30))


if __name__ == '__main__':
    sys.exit(agent.main(globals(), options))
