#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a client agent keeps ready for the proxies registered with it: from the registration on, until
it goes, and over a server's death."""
import subprocess
import sys

import agent
import client

SIDECAR = {'Name': 'web', 'Port': 80, 'Connect': {'SidecarService': {'Proxy': {
    'Upstreams': [{'DestinationName': 'db', 'LocalBindPort': 7001}]}}}}


class Pair:
    """A server, and a client agent with the sidecar of `web`."""

    def __init__(self, opts, more=None):
        self.server = client.Member(opts, 's', 'server')
        self.client = client.Member(opts, 'c', 'client', self.server)
        for member in (self.server, self.client):
            member.config.update({'enable_debug': True, 'connect': {'enabled': True}, **(more or {})})
            member.write_config('base.json', member.config)

    def __enter__(self):
        self.server.begin()
        self.client.begin()
        self.register(self.client, SIDECAR)
        agent.eventually(self.ready, 'a snapshot with an answer to every watch')
        return self

    def __exit__(self, kind, value, trace):
        for member in (self.client, self.server):
            member.__exit__(kind, value, trace)

    @staticmethod
    def register(member, definition):
        member.must(member.put('/v1/agent/service/register', definition))

    def proxies(self):
        return self.client.must(self.client.get('/debug/state')).json()['Proxies']

    def snapshot(self):
        return self.proxies()[0]['Snapshot'] if self.proxies() else {}

    def ready(self):
        return self.snapshot().get('Valid') and all(w['Known'] for w in self.proxies()[0]['Watches'])

    def endpoints(self):
        targets = self.snapshot()['ConnectProxy']['Upstreams'][0]['Targets']
        return [node['Service']['ID'] for target in targets or [] for node in target['Nodes'] or []]

    def cache(self, path, body=None):
        answer = self.client.request('POST', path, body) if body else self.client.get(path)
        return self.client.must(answer).headers.get('X-Cache')


def test_the_first_request_finds_everything_there(opts):
    with Pair(opts) as pair:
        assert pair.cache('/v1/agent/connect/ca/leaf/web') == 'HIT'
        assert pair.cache('/v1/agent/connect/ca/roots') == 'HIT'
        uri = 'spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/x'
        assert pair.cache('/v1/agent/connect/authorize', {
            'Target': 'web', 'ClientCertURI': uri, 'ClientCertSerial': 's'}) == 'HIT'
        assert pair.cache('/v1/health/connect/db?cached') == 'HIT'
        assert pair.cache('/v1/agent/connect/ca/leaf/other') == 'MISS'


def test_a_snapshot_follows_the_catalog_and_shows_no_key(opts):
    with Pair(opts) as pair:
        pair.register(pair.server, {'Name': 'db', 'Port': 5432, 'Connect': {'SidecarService': {}}})
        agent.eventually(lambda: pair.endpoints() == ['db-sidecar-proxy'], 'the instance of db')
        assert b'PRIVATE KEY' not in pair.client.get('/debug/state').body


def test_an_ingress_gateway_has_a_certificate_for_its_hosts(opts):
    with Pair(opts) as pair:
        for entry in ({'Kind': 'proxy-defaults', 'Name': 'global', 'Config': {'protocol': 'http'}},
                      {'Kind': 'ingress-gateway', 'Name': 'ig', 'TLS': {'Enabled': True}, 'Listeners': [
                          {'Port': 8080, 'Protocol': 'http', 'Services': [
                              {'Name': 'web', 'Hosts': ['a.example']}]}]}):
            pair.server.must(pair.server.put('/v1/config', entry))
        pair.register(pair.client, {'Kind': 'ingress-gateway', 'Name': 'ig', 'Port': 8443})

        def names():
            snapshots = [p['Snapshot'] for p in pair.proxies()]
            found = [s for s in snapshots if s['Service']['ID'] == 'ig' and s['Valid']]
            if not found:
                return ''
            return subprocess.run(['openssl', 'x509', '-noout', '-ext', 'subjectAltName'], text=True,
                                  input=found[0]['IngressGateway']['Leaf']['CertPEM'],
                                  capture_output=True, check=True).stdout
        agent.eventually(lambda: 'DNS:*.ingress.consul., DNS:*.ingress.dc1.consul., DNS:a.example' in
                         names(), 'a certificate with the names')


def test_watches_end_with_the_registration(opts):
    with Pair(opts) as pair:
        pair.client.must(pair.client.put('/v1/agent/service/deregister/web'))
        agent.eventually(lambda: pair.proxies() == [], 'no proxy is watched for')
        pair.register(pair.client, SIDECAR)
        agent.eventually(lambda: pair.snapshot().get('Valid'), 'a valid snapshot again')


def test_central_configuration_reaches_the_snapshot(opts):
    """Entries that change the registration change what is asked for it."""
    with Pair(opts, {'enable_central_service_config': True}) as pair:
        pair.server.must(pair.server.put('/v1/config', {
            'Kind': 'proxy-defaults', 'Name': 'global', 'Config': {'x': 'y'},
            'MeshGateway': {'Mode': 'local'}}))

        def merged():
            proxy = pair.snapshot()['Service']['Proxy']
            return proxy['MeshGateway'] == {'Mode': 'local'} and proxy.get('Config') == {'x': 'y'} and \
                pair.ready()
        agent.eventually(merged, 'the merged registration')


def test_a_snapshot_outlives_the_server_and_goes_on(opts):
    with Pair(opts) as pair:
        pair.server.kill()
        assert pair.snapshot()['Valid']
        assert pair.cache('/v1/agent/connect/ca/leaf/web') == 'HIT'
        pair.server.begin()
        pair.register(pair.server, {'Name': 'db', 'Port': 5432, 'Connect': {'SidecarService': {}}})
        agent.eventually(lambda: pair.endpoints() == ['db-sidecar-proxy'], 'the instance of db', 120)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
