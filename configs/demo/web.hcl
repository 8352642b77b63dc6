# A service with a sidecar. The sidecar gets the ID web-sidecar-proxy, the first free port from
# 21000 on, and two checks of its own.
service {
  name = "web"
  port = 8080
  tags = ["v1"]
  meta {
    team = "demo"
  }

  # Stays critical until someone reports: PUT /v1/agent/check/pass/web-alive
  check {
    id   = "web-alive"
    name = "web is alive"
    ttl  = "60s"
  }

  connect {
    sidecar_service {
      proxy {
        upstreams = [
          {
            destination_name = "db"
            local_bind_port  = 9191
          },
        ]
      }
    }
  }
}
