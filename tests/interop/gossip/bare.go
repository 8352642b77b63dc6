// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// memberlist alone. It remembers what it was told of others, who may have gone since.
type bareMember struct {
	list *memberlist.Memberlist
	mu   sync.Mutex
	seen map[string]string
	meta []byte
	user int
}

func newBare(s *settings) *bareMember {
	b := &bareMember{seen: map[string]string{}, meta: []byte("bare")}
	c := s.memberlist()
	c.ProtocolVersion = uint8(s.protocol)
	c.DelegateProtocolMin, c.DelegateProtocolMax, c.DelegateProtocolVersion = 2, 5, 4
	c.Delegate, c.Events = b, b
	list, err := memberlist.Create(c)
	must(err)
	b.list = list
	return b
}

func (b *bareMember) note(n *memberlist.Node, state string) {
	b.mu.Lock()
	b.seen[n.Name] = state
	b.mu.Unlock()
}

func (b *bareMember) NotifyJoin(n *memberlist.Node)   { b.note(n, "alive") }
func (b *bareMember) NotifyUpdate(n *memberlist.Node) { b.note(n, "alive") }

func (b *bareMember) NotifyLeave(n *memberlist.Node) {
	if n.State == memberlist.StateLeft {
		b.note(n, "left")
	} else {
		b.note(n, "dead")
	}
}

func (b *bareMember) NodeMeta(limit int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meta
}

func (b *bareMember) NotifyMsg([]byte) {
	b.mu.Lock()
	b.user++
	b.mu.Unlock()
}

func (b *bareMember) GetBroadcasts(overhead, limit int) [][]byte { return nil }
func (b *bareMember) LocalState(join bool) []byte                { return nil }
func (b *bareMember) MergeRemoteState(buf []byte, join bool)     {}

func (b *bareMember) join(address string) (interface{}, error) {
	return b.list.Join([]string{address})
}

func (b *bareMember) members() (interface{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]string{}
	for name, state := range b.seen {
		all[name] = state
	}
	return all, nil
}

func (b *bareMember) leave() (interface{}, error) {
	return "left", b.list.Leave(5 * time.Second)
}

func (b *bareMember) find(name string) *memberlist.Node {
	for _, n := range b.list.Members() {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// meta TEXT; tcp NAME, udp NAME: a message of serf's that nobody knows; heard: messages of its level
func (b *bareMember) command(words []string) (interface{}, error) {
	unknown := []byte{200, 1, 2, 3}
	switch {
	case len(words) == 2 && words[0] == "meta":
		b.mu.Lock()
		b.meta = []byte(words[1])
		b.mu.Unlock()
		return "ok", b.list.UpdateNode(5 * time.Second)
	case len(words) == 2 && words[0] == "tcp":
		return "ok", b.list.SendReliable(b.find(words[1]), unknown)
	case len(words) == 2 && words[0] == "udp":
		return "ok", b.list.SendBestEffort(b.find(words[1]), unknown)
	case words[0] == "heard":
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.user, nil
	}
	return nil, fmt.Errorf("unknown command: %v", words)
}
