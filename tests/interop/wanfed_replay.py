# SPDX-License-Identifier: Apache-2.0
"""Recorded answers of Consul on the road of mesh gateways: what port 8300 does with each protocol
name, certificate and odd byte, odd requests over HTTP, configurations that are refused."""
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../e2e'))

import agent  # noqa: E402
from mesh import Mesh  # noqa: E402

VECTORS = os.path.join(HERE, '../vectors/wanfed')


def recorded(name):
    with open(os.path.join(VECTORS, name)) as f:
        return json.load(f)


# --- port 8300

# Here a handshake behind 0x07 has its time as all others have; Consul waits for ever.
BOUNDED = {'first byte 0x07': (None, None, 'closed')}

def listen_after(sock, seconds):
    """'closed', 'still open' or 'error' of a connection on which nothing is expected."""
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return 'still open'
        sock.settimeout(left)
        try:
            if not sock.recv(4096):
                return 'closed'
        except (TimeoutError, socket.timeout):
            return 'still open'
        except ssl.SSLError as why:
            return 'error' if 'ALERT' in str(why).upper() else 'closed'
        except OSError:
            return 'closed'


def probe(m, p):
    """What came of it, in the words of the recording."""
    wait = p['elapsed_s'] if p.get('received', '').startswith('still') else agent.DEADLINE
    sock = socket.create_connection((m.at(1), 8300), agent.DEADLINE)
    try:
        if 'offered_alpn' in p:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname = False
            ctx.verify_mode = ssl.CERT_NONE
            if p['tls_max']:
                ctx.maximum_version = ssl.TLSVersion.TLSv1_2
            if p['client_cert']:
                own = m.servers['dc2'].config
                ctx.load_cert_chain(own['cert_file'], own['key_file'])
            if p['offered_alpn']:
                ctx.set_alpn_protocols(p['offered_alpn'])
            try:
                sock = ctx.wrap_socket(sock, server_hostname=p['sni'])
            except (ssl.SSLError, OSError):
                return 'failed', None, None
            if p.get('sent_hex'):
                sock.sendall(bytes.fromhex(p['sent_hex']))
            return 'ok', sock.selected_alpn_protocol(), listen_after(sock, wait)
        if p['sent_hex']:
            sock.sendall(bytes.fromhex(p['sent_hex']))
        return None, None, listen_after(sock, wait)
    finally:
        sock.close()


def expected(p):
    shake = p.get('handshake')
    if shake is None:
        return None, None, p['received'].split(',')[0]
    if shake != 'ok':
        return 'failed', None, None
    received = 'error' if p['received'].startswith('error') else p['received'].split(',')[0]
    return 'ok', p['negotiated'], received


def test_probes_of_port_8300(opts):
    with Mesh(opts) as m:
        m.s1.start()
        m.s2.start()
        results = {}

        def one(p):
            try:
                results[p['probe']] = probe(m, p)
            except Exception as why:  # reported below
                results[p['probe']] = why
        probes = recorded('port8300-probes.json')
        threads = [threading.Thread(target=one, args=(p,)) for p in probes]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wanted = {p['probe']: BOUNDED.get(p['probe'], expected(p)) for p in probes}
        wrong = {k: (results[k], v) for k, v in wanted.items() if results[k] != v}
        assert not wrong, wrong
        assert m.s1.alive()


# --- HTTP

def test_odd_requests(opts):
    with Mesh(opts) as m:
        m.start()
        m.wait_joined()
        m.wait_states()
        for case in recorded('http-cases.json'):
            path = case['path'].replace('127.0.15.8', m.at(8))
            got = m.s1.request(case['method'], path)
            assert got.status == case['status'], (path, got.status, got.text())
            if case['status'] != 200:
                assert got.text() == case['body'], (path, got.text())
            else:
                assert got.text()[:20] == case['body'][:20], (path, got.text()[:200])
            for key, value in case['headers'].items():
                have = {k.lower(): v for k, v in got.headers.items()}.get(key.lower())
                if key == 'X-Consul-Index' and case['status'] == 200:
                    assert int(have) > 0, (path, have)
                else:
                    assert have == value, (path, key, have, value)


# --- configurations

def test_configurations_that_are_refused(opts):
    with tempfile.TemporaryDirectory() as folder:
        for case in recorded('config-validation.json'):
            path = os.path.join(folder, 'config.json')
            with open(path, 'w') as f:
                json.dump(dict(case['config'], data_dir=os.path.join(folder, 'data')), f)
            run = subprocess.run([os.path.abspath(opts.binary), 'validate', path],
                                 capture_output=True, text=True)
            got = (run.returncode, run.stdout, run.stderr)
            assert got == (case['exit'], case['stdout'], case['stderr']), (case['case'], got)


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
