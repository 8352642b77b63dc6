# What the servers of both datacenters have in common: they find each other through mesh gateways
# alone. ./scripts/demo-federation starts them, each with the file of its datacenter besides.
server             = true
bootstrap          = true
primary_datacenter = "dc1"

connect {
  enabled                            = true
  enable_mesh_gateway_wan_federation = true
}

# Gossip is sealed inside of TLS too; both datacenters have the same key.
encrypt = "yMAkkxAvsWmcPOXlvnUw4BQGGCkIaLT8UmQ5NRKlNKY="

# Certificates are made by the script with `consuld tls`, in the folder it runs the servers in.
ca_file                = "consul-agent-ca.pem"
verify_incoming        = true
verify_outgoing        = true
verify_server_hostname = true

ports {
  dns  = -1
  grpc = -1
}
performance {
  raft_multiplier = 1
}
