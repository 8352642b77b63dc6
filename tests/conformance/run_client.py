#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays a group of recorded conversations through a client agent: a server leads, and the recorded
agent is a client of it.

    run_client.py --binary PATH --bind ADDRESS GROUP
"""
import sys

import run_follower


class Client(run_follower.Follower):
    """The fleet of a group, whose first agent is a client of a server of its own."""
    beside = (run_follower.LEADER,)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.specs = [dict(self.specs[0], role='client')] + self.specs[1:]

    def config(self, sp):
        config = super().config(sp)
        del config['bootstrap']
        return config


# What a client answers differently: path, difference, why.
MUST = [
    (r'/v1/coordinate/', r'Coord\.(Adjustment|Error|Height|Vec)', 'it has measured the server'),
    (r'', r'LastContact', 'as old as the last word of the leader'),
    (r'/v1/(catalog|health)/service/consul', r'expected 1 elements, got 0|layout', 'it is no instance of consul'),
    (r'/v1/catalog/node', r"\.Services: (key 'consul' is missing|expected a list, got null)", 'likewise'),
    (r'/v1/status/peers', r'expected 1 elements, got 0|layout', 'it is no peer'),
    (r'/v1/operator/', r'\.Servers: expected 1 elements, got 0', 'likewise'),
    (r'/v1/agent/self', r"^\$(\.Tags|\.consul)?: (key '(bootstrap|known_datacenters|leader|leader_addr|raft|serf_wan)'"
     r" is missing|unexpected key 'known_servers')|server: expected 'true'|^\$: expected true, got false",
     'it has no such part'),
    (r'/v1/agent/(self|members)', r"Tags: key '(bootstrap|ft_fs|port|raft_vsn|wan_join_port)' is missing|"
     r"Tags\.role: expected 'consul', got 'node'", 'it is no server'),
    (r'/v1/agent/members\?wan=1', r'expected a list, got null|layout', 'it is in no WAN pool'),
    (r'/v1/agent/members\?segment=x', r'segment "x" not found', 'so says a client'),
    (r'/v1/agent/join/.*wan', r'Must be a server to join WAN cluster', 'it is in no WAN pool'),
    (r'/v1/coordinate/datacenters', r'Coordinates: expected 1 elements, got 0', 'likewise'),
    (r'/v1/operator/keyring', r'keyring operations must run against a server node', 'it is none'),
    (r'[?&]cached', r'X-Consul-Index', 'what refreshes the cache comes from the leader'),
]

if __name__ == '__main__':
    run_follower.Follower = Client
    run_follower.MUST = MUST
    sys.exit(run_follower.main())
