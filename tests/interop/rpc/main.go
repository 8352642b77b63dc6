// SPDX-License-Identifier: Apache-2.0

// A peer of port 8300 made of the packages that Consul itself uses: yamux, net/rpc, go-msgpack.
//
//	peer drive ADDRESS      calls a wide set of procedures; prints what held, exits 1 on a fault
//	peer park ADDRESS N     keeps N blocking queries open until a line comes on stdin, then wakes them
//	peer serve ADDRESS      is a server itself: answers a few procedures until killed
package main

import (
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/hashicorp/go-msgpack/codec"
	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc"
	"github.com/hashicorp/yamux"
)

type object = map[string]interface{}

func handle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{RawToString: true}
	h.MapType = reflect.TypeOf(object{})
	return h
}

func dial(address string, marker byte) net.Conn {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	must(err, "dial")
	_, err = conn.Write([]byte{marker})
	must(err, "marker")
	return conn
}

func session(address string) *yamux.Session {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	s, err := yamux.Client(dial(address, 4), config)
	must(err, "session")
	return s
}

func stream(s *yamux.Session) *msgpackrpc.MsgpackCodec {
	st, err := s.OpenStream()
	must(err, "open stream")
	return msgpackrpc.NewCodecFromHandle(true, true, st, handle())
}

func call(c rpc.ClientCodec, method string, args interface{}) (interface{}, error) {
	var out interface{}
	err := msgpackrpc.CallWithCodec(c, method, args, &out)
	return out, err
}

func must(err error, what string) {
	if err != nil {
		fault("%s: %v", what, err)
	}
}

func fault(format string, args ...interface{}) {
	fmt.Printf("FAULT "+format+"\n", args...)
	os.Exit(1)
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: peer drive|park|serve ADDRESS [N]")
		os.Exit(2)
	}
	address := os.Args[2]
	switch os.Args[1] {
	case "drive":
		drive(address)
	case "park":
		n, err := strconv.Atoi(os.Args[3])
		must(err, "count")
		park(address, n)
	case "serve":
		serve(address)
	default:
		fault("unknown mode %q", os.Args[1])
	}
}
