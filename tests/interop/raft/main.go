// SPDX-License-Identifier: Apache-2.0

// A raft peer made of hashicorp/raft itself over port 8300's framing, driven by lines on stdin; each
// is answered by one line of JSON. Its state machine knows the KV command and the records of
// snapshots that tell of keys, and keeps the indexes and sums of all commands it applied.
//
//	peer -id UUID -bind IP:PORT -dir FOLDER [-threshold N] [-trailing N]
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb"
)

const raftByte = 1

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The stream layer: a byte in front of every connection says that it is raft's.
type layer struct {
	listener net.Listener
	streams  chan net.Conn
}

func (l *layer) run() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			close(l.streams)
			return
		}
		go func() {
			var first [1]byte
			if _, err := io.ReadFull(c, first[:]); err != nil || first[0] != raftByte {
				c.Close()
				return
			}
			l.streams <- c
		}()
	}
}

func (l *layer) Accept() (net.Conn, error) {
	c, ok := <-l.streams
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}

func (l *layer) Close() error   { return l.listener.Close() }
func (l *layer) Addr() net.Addr { return l.listener.Addr() }

func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	from := &net.TCPAddr{IP: l.listener.Addr().(*net.TCPAddr).IP}
	d := net.Dialer{LocalAddr: from, Timeout: timeout}
	c, err := d.Dial("tcp", string(address))
	if err != nil {
		return nil, err
	}
	if _, err = c.Write([]byte{raftByte}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

type peer struct {
	raft    *raft.Raft
	machine *machine
}

func (p *peer) configuration(words []string) (raft.Configuration, error) {
	var c raft.Configuration
	for _, w := range words {
		parts := strings.SplitN(w, "=", 2)
		if len(parts) != 2 {
			return c, fmt.Errorf("%q is not ID=ADDRESS", w)
		}
		c.Servers = append(c.Servers, raft.Server{
			ID: raft.ServerID(parts[0]), Address: raft.ServerAddress(parts[1])})
	}
	return c, nil
}

func (p *peer) index(f raft.Future) (interface{}, error) { return true, f.Error() }

func (p *peer) command(words []string) (interface{}, error) {
	const limit = 10 * time.Second
	switch words[0] {
	case "bootstrap":
		c, err := p.configuration(words[1:])
		if err != nil {
			return nil, err
		}
		return p.index(p.raft.BootstrapCluster(c))
	case "set": // set PREFIX COUNT SIZE
		count, _ := strconv.Atoi(words[2])
		size, _ := strconv.Atoi(words[3])
		var last raft.ApplyFuture
		for i := 0; i < count; i++ {
			last = p.raft.Apply(setCommand(fmt.Sprintf("%s%05d", words[1], i), size), limit)
		}
		return true, last.Error()
	case "barrier":
		return p.index(p.raft.Barrier(limit))
	case "verify":
		return p.index(p.raft.VerifyLeader())
	case "transfer":
		if len(words) == 3 {
			return p.index(p.raft.LeadershipTransferToServer(
				raft.ServerID(words[1]), raft.ServerAddress(words[2])))
		}
		return p.index(p.raft.LeadershipTransfer())
	case "voter":
		return p.index(p.raft.AddVoter(raft.ServerID(words[1]), raft.ServerAddress(words[2]), 0, limit))
	case "nonvoter":
		return p.index(p.raft.AddNonvoter(raft.ServerID(words[1]), raft.ServerAddress(words[2]), 0, limit))
	case "remove":
		return p.index(p.raft.RemoveServer(raft.ServerID(words[1]), 0, limit))
	case "snapshot":
		return p.index(p.raft.Snapshot())
	case "stats":
		return p.raft.Stats(), nil
	case "keys":
		return p.machine.digest(), nil
	}
	return nil, fmt.Errorf("unknown command %q", words[0])
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}

func main() {
	id := flag.String("id", "", "")
	bind := flag.String("bind", "", "")
	threshold := flag.Uint64("threshold", 100000, "entries between snapshots")
	trailing := flag.Uint64("trailing", 10240, "entries kept behind a snapshot")
	dir := flag.String("dir", "", "folder of log and snapshots")
	flag.Parse()
	listener, err := net.Listen("tcp", *bind)
	must(err)
	l := &layer{listener: listener, streams: make(chan net.Conn)}
	go l.run()
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(*id)
	config.ShutdownOnRemove = false
	config.SnapshotThreshold, config.TrailingLogs = *threshold, *trailing
	config.SnapshotInterval = time.Second
	config.LogOutput = os.Stderr
	snapshots, err := raft.NewFileSnapshotStore(*dir, 2, os.Stderr)
	must(err)
	store, err := raftboltdb.NewBoltStore(filepath.Join(*dir, "raft.db"))
	must(err)
	p := &peer{machine: newMachine()}
	p.raft, err = raft.NewRaft(config, p.machine, store, store, snapshots,
		raft.NewNetworkTransport(l, 3, 10*time.Second, os.Stderr))
	must(err)
	var out sync.Mutex
	say := func(v interface{}) {
		b, err := json.Marshal(v)
		must(err)
		out.Lock()
		fmt.Println(string(b))
		out.Unlock()
	}
	say("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			continue
		}
		v, err := p.command(words)
		if err != nil {
			v = map[string]string{"error": err.Error()}
		}
		say(v)
	}
}
