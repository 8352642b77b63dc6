# SPDX-License-Identifier: Apache-2.0
"""The recorded conversations that need more than one plain server: for agents without a certificate,
between datacenters, just after a leader was lost, and with ACLs."""
import json
import os
import re
import ssl
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
import agent  # noqa: E402
import auto_encrypt  # noqa: E402
import cluster  # noqa: E402
import federation  # noqa: E402
import rpc_replay  # noqa: E402
import rpcwire  # noqa: E402
from https import Authority  # noqa: E402

# What every cluster has of its own, and what the machine decides.
OWN = rpc_replay.VOLATILE | {
    'ID', 'ActiveRootID', 'TrustDomain', 'ExternalTrustDomain', 'SigningKeyID', 'SerialNumber', 'Coord',
    'Name', 'RootCert', 'CertPEM', 'AgentURI', 'ManualCARoots'}
ADDRESS = re.compile(rb'127\.0\.\d+\.\d+(:\d+)?')

# Answers that differ for a reason, by run and order; one that is as recorded is a fault too.
ALLOWED = {
    # A follower holds what it cannot pass on until the hold time is over, whether the leader's end was
    # seen as a closed stream, as a refused connection, or by raft.
    'leader-just-lost': dict.fromkeys((1, 2), 'it is held'),
    'two-datacenters': {},
    'tls': {},
    'acl': dict.fromkeys(range(1, 42), 'ACLs are not enforced'),
}


class Run(rpc_replay.Replay):
    """A conversation over `sock`, or over a multiplexed connection if there is none."""

    def __init__(self, a, name, sock=None):
        if not sock:
            super().__init__(a, a.address, a.config['ports']['server'])
        self.name, self.sock, self.ids, self.indexes = name, sock, {}, {}

    def stream(self, number):
        return Plain(self.sock) if self.sock else super().stream(number)

    def normal(self, v, own):
        if isinstance(v, dict):
            return {k: '<own>' if k in OWN else self.normal(v[k], own) for k in sorted(v)}
        if isinstance(v, list):
            return [self.normal(e, own) for e in v]
        if not isinstance(v, bytes):
            return v
        if len(v) == 15 and v[:1] == b'\x01':
            return '<time>'
        return rpc_replay.UUID.sub(b'<uuid>', ADDRESS.sub(b'<address>', v))

    def play(self, judge):
        faults = []
        for c in recorded(self.name):
            want, got = judge(c, *self.call(c))
            difference = rpc_replay.first_difference(want, got)
            if bool(difference) == (c['order'] in ALLOWED[self.name]):
                continue
            faults.append('%s %d %s (%s): %s' % (
                self.name, c['order'], c['method'], c.get('note', ''),
                difference or 'is answered as recorded: take it off the list'))
        assert not faults, '\n'.join(faults)


class Plain:
    """Frames without multiplexing."""

    def __init__(self, sock):
        self.sock, self.send = sock, sock.sendall

    def reply(self):
        header, body, _, raw, _ = rpcwire.read_reply(lambda: self.sock.recv(1 << 16))
        return header, body, raw


def recorded(run):
    calls = []
    for name in os.listdir(rpc_replay.VECTORS):
        with open(os.path.join(rpc_replay.VECTORS, name)) as f:
            calls += [c for c in json.load(f).get('calls', []) if c.get('run') == run]
    assert calls
    return sorted(calls, key=lambda c: c['order'])


def as_is(_, want, got):
    return want, got


def entrance(a, ca):
    """TLS behind 0x07, showing no certificate."""
    s = rpcwire.connect(a.address, a.config['ports']['server'], 7)
    return ssl.create_default_context(cafile=ca.ca).wrap_socket(s, server_hostname='server.dc1.consul')


def test_for_agents_without_a_certificate(opts):
    with Authority(opts) as ca, auto_encrypt.server(opts, ca) as a:
        a.start()
        agent.eventually(lambda: auto_encrypt.roots(a), 'a root')

        def judge(c, want, got):
            if c['order'] != 1:
                run.sock = entrance(a, ca)  # an error may have ended the last one
                return want, got
            domain = a.get('/v1/connect/ca/roots').json()['TrustDomain'].encode()
            cert = answers[-1]['IssuedCert']
            assert cert['AgentURI'] == b'spiffe://%s/agent/client/dc/dc1/id/client-t' % domain, cert
            with open(ca.ca, 'rb') as f:
                assert answers[-1]['ManualCARoots'] == [f.read()]
            assert answers[-1]['ConnectCARoots']['TrustDomain'] == domain
            return want, got

        answers = []
        run = Run(a, 'tls', entrance(a, ca))
        run.learn = lambda old, new: answers.append(new)
        run.play(judge)


def test_between_two_datacenters(opts):
    s1 = federation.server(opts, 1, 'dc1', node_name='server-h', primary_datacenter='')
    s2 = federation.server(opts, 2, 'dc2', node_name='server-2', primary_datacenter='',
                           retry_join_wan=[federation.wan(s1)])
    with s1, s2:
        s1.start()
        s2.start()
        federation.both(s1, s2)
        agent.eventually(lambda: len(s1.get('/v1/coordinate/datacenters').json()) == 2,
                         'coordinates of both')
        Run(s1, 'two-datacenters').play(as_is)


def test_just_after_the_leader_was_lost(opts):
    with cluster.Cluster(opts, 2) as both:
        leader, follower = both.leader(), both.followers()[0]
        follower.must(follower.put('/v1/kv/f', 'via follower'))
        run = Run(follower, 'leader-just-lost')
        leader.kill()

        def judge(c, want, got):
            assert got[0]['Error'] == b'No cluster leader', got
            return want, got
        run.play(judge)


def test_with_acls(opts):
    token = 'a0a0a0a0-1111-2222-3333-444444444444'
    with agent.Agent(opts, {'acl': {'enabled': True, 'default_policy': 'deny',
                                    'tokens': {'master': token}}}) as a:
        a.start()
        Run(a, 'acl').play(as_is)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
