// SPDX-License-Identifier: Apache-2.0

// A member of a gossip pool made of memberlist and serf themselves, driven by lines on stdin; each is
// answered by one line of JSON. It sets what the serf program cannot: compression, protocol and intervals.
//
//	peer -name N -bind IP:PORT [-keys BASE64,...] [-compress=false] [-bare [-protocol 1]]
//
// -bare leaves serf out: memberlist alone, whose meta is the role.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// What both kinds of members can be told.
type member interface {
	join(address string) (interface{}, error)
	members() (interface{}, error)
	leave() (interface{}, error)
	command(words []string) (interface{}, error)
}

type settings struct {
	name     string
	ip       string
	port     int
	keys     [][]byte
	compress bool
	protocol int
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Timing of the tests' fast pools.
func (s *settings) memberlist() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.BindPort = s.name, s.ip, s.port
	c.AdvertiseAddr, c.AdvertisePort = s.ip, s.port
	c.EnableCompression = s.compress
	c.GossipInterval = 100 * time.Millisecond
	c.ProbeInterval = 500 * time.Millisecond
	c.ProbeTimeout = 200 * time.Millisecond
	c.SuspicionMult = 3
	c.PushPullInterval = 5 * time.Second
	if len(s.keys) > 0 {
		ring, err := memberlist.NewKeyring(s.keys, s.keys[0])
		must(err)
		c.Keyring = ring
	}
	return c
}

func parse() (*settings, bool) {
	s := &settings{}
	bind := flag.String("bind", "", "")
	keys := flag.String("keys", "", "")
	bare := flag.Bool("bare", false, "")
	flag.StringVar(&s.name, "name", "", "")
	flag.BoolVar(&s.compress, "compress", true, "")
	flag.IntVar(&s.protocol, "protocol", 2, "")
	flag.Parse()
	host, port, err := net.SplitHostPort(*bind)
	must(err)
	s.ip = host
	s.port, err = strconv.Atoi(port)
	must(err)
	for _, text := range strings.Split(*keys, ",") {
		if text == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(text)
		must(err)
		s.keys = append(s.keys, key)
	}
	return s, *bare
}

func obey(m member, line string) (interface{}, error) {
	words := strings.Fields(line)
	switch {
	case len(words) == 2 && words[0] == "join":
		return m.join(words[1])
	case len(words) == 1 && words[0] == "members":
		return m.members()
	case len(words) == 1 && words[0] == "leave":
		return m.leave()
	case len(words) > 0:
		return m.command(words)
	}
	return nil, fmt.Errorf("unknown command: %s", line)
}

func main() {
	s, bare := parse()
	var m member
	if bare {
		m = newBare(s)
	} else {
		m = newFull(s)
	}
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	must(out.Encode("ready"))
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return
		}
		must(err)
		value, err := obey(m, line)
		if err != nil {
			value = map[string]string{"error": err.Error()}
		}
		must(out.Encode(value))
	}
}
