// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/rpc"
	"sync/atomic"

	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc"
	"github.com/hashicorp/yamux"
)

// What was called, by name.
var calls struct{ pings, leaders, registers, reads uint64 }

type Status struct{}

func (Status) Ping(args *object, reply *object) error {
	atomic.AddUint64(&calls.pings, 1)
	*reply = object{}
	return nil
}

func (Status) Leader(args *object, reply *string) error {
	atomic.AddUint64(&calls.leaders, 1)
	*reply = "127.0.0.1:8300"
	return nil
}

type Catalog struct{}

func (Catalog) Register(args *object, reply *object) error {
	atomic.AddUint64(&calls.registers, 1)
	fmt.Printf("register %v\n", (*args)["Node"])
	*reply = object{}
	return nil
}

func meta(reply *object) {
	atomic.AddUint64(&calls.reads, 1)
	(*reply)["Index"] = uint64(7)
	(*reply)["KnownLeader"] = true
	(*reply)["LastContact"] = int64(0)
	(*reply)["ConsistencyLevel"] = ""
}

func (Catalog) NodeServiceList(args *object, reply *object) error {
	*reply = object{"NodeServices": object{"Node": nil, "Services": nil}}
	meta(reply)
	return nil
}

func (Catalog) ListNodes(args *object, reply *object) error {
	*reply = object{"Nodes": []interface{}{object{"Node": "served-by-the-peer",
		"Address": "10.0.0.1", "Datacenter": "dc1"}}}
	meta(reply)
	return nil
}

type Health struct{}

func (Health) NodeChecks(args *object, reply *object) error {
	*reply = object{"HealthChecks": nil}
	meta(reply)
	return nil
}

type KVS struct{}

func (KVS) Get(args *object, reply *object) error {
	switch (*args)["Key"] {
	case "fails":
		return fmt.Errorf("Permission denied")
	case "leaderless":
		return fmt.Errorf("No cluster leader")
	}
	*reply = object{"Entries": []interface{}{object{"Key": (*args)["Key"], "Value": []byte("served"),
		"CreateIndex": uint64(1), "ModifyIndex": uint64(7), "LockIndex": uint64(0),
		"Flags": uint64(0), "Session": ""}}}
	meta(reply)
	return nil
}

func serveStream(conn net.Conn, server *rpc.Server) {
	c := msgpackrpc.NewCodecFromHandle(true, true, conn, handle())
	for server.ServeRequest(c) == nil {
	}
	c.Close()
}

func serveConn(conn net.Conn, server *rpc.Server) {
	marker := make([]byte, 1)
	if _, err := io.ReadFull(conn, marker); err != nil || marker[0] != 4 {
		conn.Close()
		return
	}
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	s, err := yamux.Server(conn, config)
	must(err, "session")
	fmt.Println("session")
	for {
		st, err := s.Accept()
		if err != nil {
			return
		}
		go serveStream(st, server)
	}
}

func serve(address string) {
	server := rpc.NewServer()
	for _, receiver := range []interface{}{Status{}, Catalog{}, Health{}, KVS{}} {
		must(server.Register(receiver), "register")
	}
	l, err := net.Listen("tcp", address)
	must(err, "listen")
	fmt.Println("listening")
	for {
		conn, err := l.Accept()
		must(err, "accept")
		go serveConn(conn, server)
	}
}
