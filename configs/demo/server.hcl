# A server on its own, for trying things out: ./scripts/run starts it.
server         = true
bootstrap      = true
datacenter     = "dc1"
node_name      = "demo"
bind_addr      = "127.0.0.1"
client_addr    = "127.0.0.1"

# Quick elections; 5 is the default for real networks.
performance {
  raft_multiplier = 1
}
