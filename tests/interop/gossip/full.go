// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/serf/serf"
)

// serf on memberlist. It answers every query with "heard" and keeps the events it gets.
type fullMember struct {
	serf   *serf.Serf
	mu     sync.Mutex
	events []map[string]string
	asked  []string
}

func newFull(s *settings) *fullMember {
	f := &fullMember{events: []map[string]string{}, asked: []string{}}
	c := serf.DefaultConfig()
	c.Init()
	c.NodeName = s.name
	c.MemberlistConfig = s.memberlist()
	c.Tags = map[string]string{"made": "of-go"}
	c.LeavePropagateDelay = 300 * time.Millisecond
	c.ReconnectInterval = time.Second
	c.LogOutput, c.MemberlistConfig.LogOutput = os.Stderr, os.Stderr
	events := make(chan serf.Event, 256)
	c.EventCh = events
	go f.listen(events)
	made, err := serf.Create(c)
	must(err)
	f.serf = made
	return f
}

func (f *fullMember) listen(events <-chan serf.Event) {
	for e := range events {
		f.mu.Lock()
		switch v := e.(type) {
		case serf.UserEvent:
			f.events = append(f.events, map[string]string{"name": v.Name, "payload": string(v.Payload)})
		case *serf.Query:
			f.asked = append(f.asked, v.Name)
			v.Respond([]byte("heard"))
		}
		f.mu.Unlock()
	}
}

func (f *fullMember) join(address string) (interface{}, error) {
	return f.serf.Join([]string{address}, false)
}

func (f *fullMember) members() (interface{}, error) {
	all := map[string]map[string]interface{}{}
	for _, m := range f.serf.Members() {
		all[m.Name] = map[string]interface{}{"status": m.Status.String(), "tags": m.Tags,
			"addr": fmt.Sprintf("%s:%d", m.Addr, m.Port)}
	}
	return all, nil
}

func (f *fullMember) leave() (interface{}, error) {
	return "left", f.serf.Leave()
}

func (f *fullMember) query(name string) (interface{}, error) {
	params := f.serf.DefaultQueryParams()
	params.RequestAck = true
	params.Timeout = 2 * time.Second
	answer, err := f.serf.Query(name, []byte("?"), params)
	if err != nil {
		return nil, err
	}
	acks, responses := []string{}, map[string]string{}
	for name := range answer.AckCh() {
		acks = append(acks, name)
	}
	for r := range answer.ResponseCh() {
		responses[r.From] = string(r.Payload)
	}
	return map[string]interface{}{"acks": acks, "responses": responses}, nil
}

func (f *fullMember) keys(action, key string) (interface{}, error) {
	keys := f.serf.KeyManager()
	var r *serf.KeyResponse
	var err error
	switch action {
	case "install":
		r, err = keys.InstallKey(key)
	case "use":
		r, err = keys.UseKey(key)
	case "remove":
		r, err = keys.RemoveKey(key)
	case "list":
		r, err = keys.ListKeys()
	default:
		return nil, fmt.Errorf("unknown action: %s", action)
	}
	if err != nil {
		return nil, err
	}
	return map[string]interface{}{"keys": r.Keys, "primary": r.PrimaryKeys, "nodes": r.NumNodes,
		"errors": r.NumErr}, nil
}

// event NAME PAYLOAD; events; query NAME; asked; tags KEY VALUE; force-leave NAME; prune NAME;
// install, use, remove KEY; list
func (f *fullMember) command(words []string) (interface{}, error) {
	rest := append(words[1:], "", "")
	switch words[0] {
	case "event":
		return "ok", f.serf.UserEvent(rest[0], []byte(rest[1]), false)
	case "events":
		f.mu.Lock()
		defer f.mu.Unlock()
		return append([]map[string]string{}, f.events...), nil
	case "query":
		return f.query(rest[0])
	case "asked":
		f.mu.Lock()
		defer f.mu.Unlock()
		return append([]string{}, f.asked...), nil
	case "tags":
		return "ok", f.serf.SetTags(map[string]string{rest[0]: rest[1]})
	case "force-leave":
		return "ok", f.serf.RemoveFailedNode(rest[0])
	case "prune":
		return "ok", f.serf.RemoveFailedNodePrune(rest[0])
	}
	return f.keys(words[0], rest[0])
}
