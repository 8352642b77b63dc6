# SPDX-License-Identifier: Apache-2.0
"""The Connect CA of two datacenters: one root, an intermediate in the secondary, leaves of each side
that the other can check (openssl is the judge), and what a change of the root does."""
import os
import subprocess
import sys
import tempfile

import agent
import auto_encrypt
from agent import eventually
from federation import FAST, Options, Pair, server, wan
from mesh import Mesh, certificates as server_certificates

END = '-----END CERTIFICATE-----\n'


def roots(s):
    return s.must(s.get('/v1/connect/ca/roots')).json()


def active(s):
    return next((r for r in roots(s)['Roots'] if r['Active']), None)


def certificates(pem):
    return [c + END for c in pem.replace('\r', '').split(END) if 'BEGIN' in c]


def verified(root, chain):
    """Is the first certificate good by the root alone, with the help of the others?"""
    with tempfile.TemporaryDirectory(prefix='consuld-chain-') as folder:
        def put(name, text):
            path = os.path.join(folder, name)
            with open(path, 'w') as f:
                f.write(text)
            return path
        command = ['openssl', 'verify', '-CAfile', put('root', root)]
        if chain[1:]:
            command += ['-untrusted', put('chain', ''.join(chain[1:]))]
        return subprocess.run(command + [put('leaf', chain[0])], capture_output=True).returncode == 0


def leaf(s, service='web', index=0):
    return s.must(s.get('/v1/agent/connect/ca/leaf/%s?wait=50s&index=%d' % (service, index))).json()


def same_root(s1, s2):
    """Both have it, and the secondary an intermediate below it."""
    a, b = active(s1), active(s2)
    if not a or not b or a['ID'] != b['ID'] or roots(s1)['TrustDomain'] != roots(s2)['TrustDomain']:
        return False
    return b['RootCert'] == a['RootCert'] and b['SigningKeyID'] != a['SigningKeyID']


def check_leaves(s1, s2, service):
    for here, there in ((s1, s2), (s2, s1)):
        cert = leaf(here, service)
        domain = roots(there)['TrustDomain']
        assert cert['ServiceURI'] == 'spiffe://%s/ns/default/dc/%s/svc/%s' % (
            domain, here.config['datacenter'], cert['Service']), cert['ServiceURI']
        assert verified(active(there)['RootCert'], certificates(cert['CertPEM']))


def rotate(s):
    key = subprocess.run(['openssl', 'genrsa', '-traditional', '2048'], check=True,
                         capture_output=True, text=True).stdout
    config = s.get('/v1/connect/ca/configuration').json()
    config['Config'].update(PrivateKey=key, PrivateKeyType='rsa', PrivateKeyBits=2048)
    s.must(s.put('/v1/connect/ca/configuration',
                 {'Provider': 'consul', 'Config': config['Config']}))


def judge(s1, s2):
    eventually(lambda: same_root(s1, s2), 'the same root in both datacenters')
    check_leaves(s1, s2, 'before')
    former, old = active(s1), [leaf(s) for s in (s1, s2)]
    rotate(s1)
    assert active(s1)['ID'] != former['ID']
    eventually(lambda: same_root(s1, s2), 'the new root in both datacenters')
    for s, before in zip((s1, s2), old):
        kept = next(r for r in roots(s)['Roots'] if r['ID'] == former['ID'])
        assert not kept['Active']
        assert verified(kept['RootCert'], certificates(before['CertPEM'])), 'what was signed before'
        eventually(lambda: leaf(s, index=before['ModifyIndex'])['SerialNumber'] != before['SerialNumber'],
                   'a new leaf')
        now = leaf(s)
        chain = certificates(now['CertPEM'])
        assert verified(former['RootCert'], chain), 'who knows the former root alone'
        assert verified(active(s1)['RootCert'], chain)
    check_leaves(s1, s2, 'after')


def test_leaves_of_either_datacenter_are_good_in_both_and_stay_so_when_the_root_changes(opts):
    with Pair(opts, connect={'enabled': True}) as p:
        judge(p.s1, p.s2)
        refused = p.s2.put('/v1/connect/ca/configuration',
                           {'Provider': 'consul', 'Config': {'LeafCertTTL': '10h'}})
        assert (refused.status, refused.text()) == (
            500, 'error generating CA root certificate: '
                 'provider is not the root certificate authority')
        before = active(p.s2)
        p.s2.kill()
        p.s2.start()
        check_leaves(p.s1, p.s2, 'later')
        assert active(p.s2)['SigningKeyID'] == before['SigningKeyID'], 'one intermediate is enough'


def test_the_same_through_mesh_gateways(opts):
    with Mesh(opts) as m:
        m.start()
        m.wait_joined()
        m.wait_states()
        judge(m.s1, m.s2)
        m.nothing_direct()


def test_a_secondary_that_starts_first_waits_for_its_primary(opts):
    with server(opts, 1, 'dc1', connect={'enabled': True}) as s1, \
            server(opts, 2, 'dc2', connect={'enabled': True}, retry_join_wan=[wan(s1)]) as s2:
        s2.start()
        early = s2.get('/v1/agent/connect/ca/leaf/web')
        assert early.status == 500, early.text()
        assert roots(s2)['Roots'] == []
        s1.start()
        eventually(lambda: same_root(s1, s2), 'the same root in both datacenters')
        check_leaves(s1, s2, 'web')


def test_client_agents_of_a_secondary_get_certificates_of_its_intermediate(opts):
    with tempfile.TemporaryDirectory(prefix='consuld-ca-') as folder:
        made = server_certificates(opts.binary, folder, [('s1', 'dc1'), ('s2', 'dc2')])
        tls = dict(auto_encrypt.STRICT, ca_file=os.path.join(folder, 'consul-agent-ca.pem'))

        def strict(n, dc, **config):
            pair = made[('s%d' % n, dc)]
            return server(opts, n, dc, connect={'enabled': True}, cert_file=pair + '.pem',
                          key_file=pair + '-key.pem', auto_encrypt={'allow_tls': True}, **tls, **config)
        with strict(1, 'dc1') as s1, strict(2, 'dc2', retry_join_wan=[wan(s1)]) as s2:
            s1.start()
            s2.start()
            eventually(lambda: same_root(s1, s2), 'the same root in both datacenters')
            with auto_encrypt.client(Options(opts, 3), s2, datacenter='dc2', gossip_lan=FAST,
                                     ca_file=tls['ca_file'], verify_outgoing=True,
                                     verify_server_hostname=True) as c:
                c.spawn()
                c.wait_http()
                eventually(lambda: auto_encrypt.serves(c), 'a write through the client')
                issuer = auto_encrypt.subject(auto_encrypt.served(c)['issuer'])
                assert issuer.startswith('sec-'), issuer


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
