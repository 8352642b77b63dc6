// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"time"

	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc"
	"github.com/hashicorp/yamux"
)

func kvSet(key string, value []byte) object {
	return object{"Datacenter": "dc1", "Op": "set", "DirEnt": object{"Key": key, "Value": value}}
}

func kvGet(key string, index uint64) object {
	return object{"Datacenter": "dc1", "Key": key, "MinQueryIndex": index,
		"MaxQueryTime": int64(5 * time.Minute)}
}

func number(v interface{}) uint64 {
	switch n := v.(type) {
	case int64:
		return uint64(n)
	case uint64:
		return n
	}
	fault("%T is no number", v)
	return 0
}

func index(out interface{}) uint64 {
	return number(out.(object)["Index"])
}

func value(out interface{}) string {
	entries, _ := out.(object)["Entries"].([]interface{})
	if len(entries) != 1 {
		fault("%d entries", len(entries))
	}
	switch v := entries[0].(object)["Value"].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func wide(s *yamux.Session) {
	dc := object{"Datacenter": "dc1"}
	service := object{"Datacenter": "dc1", "ServiceName": "consul"}
	reads := map[string]object{
		"Status.Ping": {}, "Status.Leader": dc, "Status.Peers": dc, "Status.RaftStats": {},
		"Catalog.ListDatacenters": dc, "Catalog.ListNodes": dc, "Catalog.ListServices": dc,
		"Catalog.ServiceList": dc, "Catalog.ServiceNodes": service,
		"Catalog.NodeServices":    {"Datacenter": "dc1", "Node": "peer-1"},
		"Catalog.NodeServiceList": {"Datacenter": "dc1", "Node": "peer-1"},
		"Health.ChecksInState":    {"Datacenter": "dc1", "State": "any"},
		"Health.NodeChecks":       {"Datacenter": "dc1", "Node": "peer-1"},
		"Health.ServiceChecks":    service, "Health.ServiceNodes": service,
		"KVS.ListKeys": {"Datacenter": "dc1", "Prefix": ""},
		"KVS.List":     {"Datacenter": "dc1", "Key": ""}, "Session.List": dc,
		"Internal.NodeDump": dc, "Internal.ServiceDump": dc, "Coordinate.ListNodes": dc,
		"Coordinate.ListDatacenters": {}, "Operator.RaftGetConfiguration": dc,
		"Operator.AutopilotGetConfiguration": dc, "Operator.ServerHealth": dc,
		"PreparedQuery.List": dc, "FederationState.List": dc,
		"FederationState.ListMeshGateways": dc,
	}
	register := object{"Datacenter": "dc1", "Node": "peer-1", "Address": "10.9.9.9",
		"Service": object{"Service": "peer", "Port": 1},
		"Check":   object{"Name": "alive", "Status": "passing"}}
	c := stream(s)
	_, err := call(c, "Catalog.Register", register)
	must(err, "register")
	for method, args := range reads {
		_, err := call(c, method, args)
		must(err, method)
	}
	out, err := call(c, "Health.ServiceNodes", object{"Datacenter": "dc1", "ServiceName": "peer"})
	must(err, "service nodes")
	if n := len(out.(object)["Nodes"].([]interface{})); n != 1 {
		fault("%d instances of the registered service", n)
	}
	fmt.Printf("ok %d reads on one stream\n", len(reads))
}

func failures(s *yamux.Session) {
	c := stream(s)
	_, err := call(c, "KVS.Apply", object{"Datacenter": "dc1", "Op": "set", "DirEnt": object{}})
	if err == nil || err.Error() != "Must provide key" {
		fault("missing key: %v", err)
	}
	_, err = call(c, "Status.Ping", object{})
	must(err, "ping behind an error")
	_, err = call(c, "Catalog.Nope", object{})
	if err == nil || err.Error() != "rpc: can't find method Catalog.Nope" {
		fault("unknown method: %v", err)
	}
	_, err = call(c, "Status.Ping", object{})
	if err == nil {
		fault("the stream of an unknown method stayed open")
	}
	fmt.Println("ok errors")
}

func parallel(s *yamux.Session) {
	var wg sync.WaitGroup
	const streams, rounds = 200, 25
	for i := 0; i < streams; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			c := stream(s)
			key := fmt.Sprintf("parallel/%d", i)
			for r := 0; r < rounds; r++ {
				want := strings.Repeat(fmt.Sprintf("%d-%d ", i, r), 1+i%50)
				_, err := call(c, "KVS.Apply", kvSet(key, []byte(want)))
				must(err, "set")
				out, err := call(c, "KVS.Get", kvGet(key, 0))
				must(err, "get")
				if value(out) != want {
					fault("stream %d got another's answer", i)
				}
			}
			must(c.Close(), "close")
		}(i)
	}
	wg.Wait()
	fmt.Printf("ok %d streams of %d calls\n", streams, 2*rounds)
}

func large(s *yamux.Session) {
	c := stream(s)
	big := strings.Repeat("0123456789abcdef", 25*1024)
	for i := 0; i < 8; i++ {
		_, err := call(c, "KVS.Apply", kvSet(fmt.Sprintf("large/%d", i), []byte(big)))
		must(err, "large set")
	}
	out, err := call(c, "KVS.List", object{"Datacenter": "dc1", "Key": "large/"})
	must(err, "large list")
	entries := out.(object)["Entries"].([]interface{})
	for _, e := range entries {
		if fmt.Sprint(e.(object)["Value"]) != big && string(e.(object)["Value"].([]byte)) != big {
			fault("a large value changed")
		}
	}
	if len(entries) != 8 {
		fault("%d large values", len(entries))
	}
	fmt.Println("ok windows of both sides")
}

func single(address string) {
	conn := dial(address, 0)
	c := msgpackrpc.NewCodecFromHandle(true, true, conn, handle())
	for i := 0; i < 10; i++ {
		_, err := call(c, "Status.Leader", object{"Datacenter": "dc1"})
		must(err, "single")
	}
	conn = dial(address, 0)
	pipelined := rpc.NewClientWithCodec(msgpackrpc.NewCodecFromHandle(true, true, conn, handle()))
	var calls []*rpc.Call
	for i := 0; i < 100; i++ {
		var out interface{}
		calls = append(calls, pipelined.Go("Status.Ping", object{}, &out, make(chan *rpc.Call, 1)))
	}
	for _, c := range calls {
		must((<-c.Done).Error, "pipelined")
	}
	fmt.Println("ok single connections")
}

// Starts n blocking queries of one key and returns what waits for their answers.
func block(s *yamux.Session, key string, n int) func() {
	c := stream(s)
	_, err := call(c, "KVS.Apply", kvSet(key, []byte("before")))
	must(err, "set")
	out, err := call(c, "KVS.Get", kvGet(key, 0))
	must(err, "get")
	at := index(out)
	var wg sync.WaitGroup
	var answered sync.Map
	for i := 0; i < n; i++ {
		wg.Add(1)
		c := stream(s)
		go func(i int) {
			defer wg.Done()
			out, err := call(c, "KVS.Get", kvGet(key, at))
			must(err, "blocking")
			if value(out) != "after" || index(out) <= at {
				fault("a blocking query came back with %q", value(out))
			}
			answered.Store(i, true)
		}(i)
	}
	return func() {
		answered.Range(func(k, v interface{}) bool {
			fault("query %v did not wait", k)
			return false
		})
		_, err := call(c, "KVS.Apply", kvSet(key, []byte("after")))
		must(err, "wake")
		wg.Wait()
	}
}

func blocking(s *yamux.Session) {
	wake := block(s, "blocking", 500)
	_, err := call(stream(s), "Status.Ping", object{})
	must(err, "a call beside the waiting ones")
	wake()
	fmt.Println("ok 500 blocking queries")
}

func drive(address string) {
	s := session(address)
	wide(s)
	failures(s)
	parallel(s)
	large(s)
	blocking(s)
	single(address)
	_, err := s.Ping()
	must(err, "ping")
	must(s.GoAway(), "go away")
	must(s.Close(), "close")
	fmt.Println("ok all")
}

func park(address string, n int) {
	s := session(address)
	wake := block(s, "parked", n)
	_, err := call(stream(s), "Status.Ping", object{})
	must(err, "ping")
	fmt.Printf("parked %d\n", n)
	bufio.NewReader(os.Stdin).ReadString('\n')
	began := time.Now()
	wake()
	fmt.Printf("woken in %d ms\n", time.Since(began).Milliseconds())
}
