#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Watches of the configuration: what each type tells its handler, programs and requests, reloads."""
import base64
import http.server
import json
import os
import sys
import threading

import agent


class Hook:
    """Takes what handlers tell: requests, and files that programs append to."""

    def __init__(self, address, folder):
        self.requests, self.folder = [], folder
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                hook.requests.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(200)
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = 'http://%s:%d/hook' % self.server.server_address

    def program(self, name):
        return ['/bin/sh', '-c', '(echo "$CONSUL_INDEX"; cat) >> %s/%s.told' % (self.folder, name)]

    def told(self, name):
        """The data of all runs so far, each with an index of its own."""
        path = os.path.join(self.folder, name + '.told')
        lines = open(path).read().splitlines() if os.path.exists(path) else []
        runs = list(zip(lines[::2], lines[1::2]))
        assert all(index.isdigit() for index, _ in runs), lines
        return [json.loads(data) for _, data in runs]


def run(opts, watches):
    server = agent.Agent(opts)
    hook = Hook(opts.bind, server.folder)
    server.write_config('watches.json', {'watches': watches(hook)})
    server.start()
    return server, hook


def settle(hook, name, wanted, what):
    agent.eventually(lambda: hook.told(name) and wanted(hook.told(name)[-1]), what)


def test_each_type_tells_its_program(opts):
    def watches(hook):
        return [dict(w, args=hook.program(w['type'])) for w in (
            {'type': 'key', 'key': 'k'}, {'type': 'keyprefix', 'prefix': 'p/'}, {'type': 'nodes'},
            {'type': 'services'}, {'type': 'checks', 'state': 'critical'},
            {'type': 'service', 'service': 'web', 'tag': ['a'], 'passingonly': True},
            {'type': 'event', 'name': 'deploy'})]

    server, hook = run(opts, watches)
    with server:
        settle(hook, 'key', lambda d: d is None, 'the absent key')
        server.must(server.put('/v1/kv/k', 'v'))
        settle(hook, 'key', lambda d: d and base64.b64decode(d['Value']) == b'v', 'the key')
        server.must(server.put('/v1/kv/p/a', 'v'))
        settle(hook, 'keyprefix', lambda d: d and [e['Key'] for e in d] == ['p/a'], 'the prefix')
        settle(hook, 'nodes', lambda d: [n['Node'] for n in d] == ['e2e'], 'the nodes')
        web = {'Name': 'web', 'Tags': ['a'], 'Port': 5, 'Check': {'TTL': '1h', 'Status': 'passing'}}
        server.must(server.put('/v1/agent/service/register', json.dumps(web)))
        settle(hook, 'services', lambda d: d.get('web') == ['a'], 'the services')
        settle(hook, 'service', lambda d: [e['Service']['Port'] for e in d] == [5], 'the instance')
        server.must(server.put('/v1/agent/check/fail/service:web'))
        settle(hook, 'service', lambda d: d == [], 'no passing instance')
        settle(hook, 'checks', lambda d: [c['CheckID'] for c in d] == ['service:web'], 'the check')
        for payload in ('one', 'two'):
            server.must(server.put('/v1/event/fire/other', 'x'))
            server.must(server.put('/v1/event/fire/deploy', payload))
            settle(hook, 'event', lambda d: [base64.b64decode(e['Payload']).decode() for e in d] ==
                   [payload], 'the event ' + payload)


def test_a_request_carries_data_and_headers(opts):
    server, hook = run(opts, lambda hook: [
        {'type': 'key', 'key': 'k', 'handler_type': 'http', 'http_handler_config': {
            'path': hook.url + '?a=1', 'method': 'PUT', 'header': {'X-Of': ['mine']}, 'timeout': '5s'}}])
    with server:
        server.must(server.put('/v1/kv/k', 'v'))
        agent.eventually(lambda: hook.requests and hook.requests[-1][2], 'the request')
        path, headers, data = hook.requests[-1]
        assert path == '/hook?a=1', path
        assert headers['X-Of'] == 'mine' and headers['Content-Type'] == 'application/json', headers
        assert int(headers['X-Consul-Index']) == data['ModifyIndex'], (headers, data)


def test_faults_of_handlers_are_logged_and_the_watch_goes_on(opts):
    server, _ = run(opts, lambda hook: [{'type': 'key', 'key': 'a', 'args': ['/nonexistent']},
                                        {'type': 'key', 'key': 'b', 'handler': 'echo said; exit 3'}])
    with server:
        server.wait_log('fork/exec /nonexistent: no such file or directory')
        server.wait_log('error="exit status 3"')
        at = len(server.log())
        server.must(server.put('/v1/kv/b', 'v'))
        server.wait_log('error="exit status 3"', at)


def test_a_reload_changes_the_watches_and_leaves_the_rest_alone(opts):
    def watch(hook, key):
        return {'type': 'key', 'key': key, 'args': hook.program(key)}

    server, hook = run(opts, lambda hook: [watch(hook, 'stays'), watch(hook, 'goes')])
    with server:
        settle(hook, 'stays', lambda d: d is None, 'the first watch')
        settle(hook, 'goes', lambda d: d is None, 'the second watch')
        server.write_config('watches.json', {'watches': [watch(hook, 'stays'), watch(hook, 'comes')]})
        server.must(server.put('/v1/agent/reload'))
        settle(hook, 'comes', lambda d: d is None, 'the new watch')
        server.must(server.put('/v1/kv/goes', 'v'))
        server.must(server.put('/v1/kv/stays', 'v'))
        settle(hook, 'stays', lambda d: d, 'the watch that stayed')
        assert len(hook.told('stays')) == 2 and len(hook.told('goes')) == 1
        # one that is wrong changes nothing
        server.write_config('watches.json', {'watches': [{'type': 'nothing', 'args': ['x']}]})
        refused = server.put('/v1/agent/reload')
        assert refused.status == 500 and 'Unsupported watch type: nothing' in refused.text(), refused.text()
        server.must(server.put('/v1/kv/stays', 'w'))
        agent.eventually(lambda: len(hook.told('stays')) == 3, 'the watch after a refused reload')


if __name__ == '__main__':
    sys.exit(agent.main(globals()))
