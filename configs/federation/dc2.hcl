# The only server of dc2. It finds the other datacenter through mesh gateways alone:
# ./scripts/demo-federation starts it.
server             = true
bootstrap          = true
datacenter         = "dc2"
primary_datacenter = "dc1"
node_name          = "s2"
bind_addr          = "127.2.0.1"
client_addr        = "127.2.0.1"

# An address that nobody can reach: no server of another datacenter ever needs it.
advertise_addr_wan = "192.0.2.2"

connect {
  enabled                            = true
  enable_mesh_gateway_wan_federation = true
}

# Where the primary's gateways are as long as the state does not say it.
primary_gateways   = ["127.1.0.2:8443"]
retry_interval_wan = "1s"

# Gossip is sealed inside of TLS too; both datacenters have the same key.
encrypt = "yMAkkxAvsWmcPOXlvnUw4BQGGCkIaLT8UmQ5NRKlNKY="

# Made by the script with `consuld tls`, in the folder it runs the server in.
ca_file                = "consul-agent-ca.pem"
cert_file              = "dc2-server-consul-0.pem"
key_file               = "dc2-server-consul-0-key.pem"
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

# The gateway of this datacenter. The mark makes it one that servers use.
services {
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "127.2.0.2"
  port    = 8443
  tagged_addresses {
    lan {
      address = "127.2.0.2"
      port    = 8443
    }
    wan {
      address = "127.2.0.2"
      port    = 8443
    }
  }
  meta {
    consul-wan-federation = "1"
  }
  check {
    name     = "mesh-gateway listening"
    tcp      = "127.2.0.2:8443"
    interval = "5s"
  }
}

services {
  name = "database"
  port = 5432
  tags = ["in-dc2"]
}
