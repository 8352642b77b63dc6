# The only server of dc1 and its gateway; common.hcl has the rest.
datacenter  = "dc1"
node_name   = "s1"
bind_addr   = "127.1.0.1"
client_addr = "127.1.0.1"
cert_file   = "dc1-server-consul-0.pem"
key_file    = "dc1-server-consul-0-key.pem"

# An address that nobody can reach: no server of another datacenter ever needs it.
advertise_addr_wan = "192.0.2.1"

# The mark in its meta makes the gateway one that servers use.
services {
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "127.1.0.2"
  port    = 8443
  tagged_addresses {
    lan {
      address = "127.1.0.2"
      port    = 8443
    }
    wan {
      address = "127.1.0.2"
      port    = 8443
    }
  }
  meta {
    consul-wan-federation = "1"
  }
  check {
    name     = "mesh-gateway listening"
    tcp      = "127.1.0.2:8443"
    interval = "5s"
  }
}

services {
  name = "web"
  port = 8080
  tags = ["in-dc1"]
}
