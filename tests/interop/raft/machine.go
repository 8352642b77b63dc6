// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-msgpack/codec"
	"github.com/hashicorp/raft"
)

const (
	kvs        = 2  // command, and record of snapshots
	indexes    = 16 // record
	ignorable  = 128
	setKey     = "set"
	deleteKey  = "delete"
	deleteTree = "delete-tree"
)

type entry struct {
	Key                                        string
	Value                                      []byte
	Flags, LockIndex, CreateIndex, ModifyIndex uint64
	Session                                    string
}

type kvsRequest struct {
	Datacenter string
	Op         string
	DirEnt     entry
	Token      string
}

type header struct{ LastIndex uint64 }

type indexEntry struct {
	Key   string
	Value uint64
}

type machine struct {
	mu      sync.Mutex
	keys    map[string]entry
	applied [][2]string // index and sum of each command
	last    uint64
}

func newMachine() *machine { return &machine{keys: map[string]entry{}} }

func handle() *codec.MsgpackHandle { return &codec.MsgpackHandle{} }

func encode(v interface{}) []byte {
	var b bytes.Buffer
	must(codec.NewEncoder(&b, handle()).Encode(v))
	return b.Bytes()
}

func setCommand(key string, size int) []byte {
	value := bytes.Repeat([]byte("v"), size)
	return append([]byte{kvs}, encode(kvsRequest{Datacenter: "dc1", Op: setKey,
		DirEnt: entry{Key: key, Value: value}})...)
}

func (m *machine) Apply(l *raft.Log) interface{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = l.Index
	m.applied = append(m.applied, [2]string{strconv.FormatUint(l.Index, 10), sum(l.Data)})
	if len(l.Data) == 0 || l.Data[0]&^ignorable != kvs || len(l.Extensions) > 0 {
		return nil
	}
	var r kvsRequest
	if err := codec.NewDecoder(bytes.NewReader(l.Data[1:]), handle()).Decode(&r); err != nil {
		return err
	}
	switch r.Op {
	case setKey:
		e := r.DirEnt
		e.CreateIndex, e.ModifyIndex = l.Index, l.Index
		if old, ok := m.keys[e.Key]; ok {
			e.CreateIndex = old.CreateIndex
		}
		m.keys[e.Key] = e
	case deleteKey:
		delete(m.keys, r.DirEnt.Key)
	case deleteTree:
		for k := range m.keys {
			if strings.HasPrefix(k, r.DirEnt.Key) {
				delete(m.keys, k)
			}
		}
	}
	return true
}

// Keys with the indexes they were made and changed at.
func (m *machine) digest() interface{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := map[string][]interface{}{}
	for k, e := range m.keys {
		keys[k] = []interface{}{e.CreateIndex, e.ModifyIndex, sum(e.Value)}
	}
	return map[string]interface{}{"keys": keys, "applied": m.applied}
}

type state struct{ bytes []byte }

func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b bytes.Buffer
	b.Write(encode(header{m.last}))
	names := []string{}
	for k := range m.keys {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		b.WriteByte(kvs)
		b.Write(encode(m.keys[k]))
	}
	b.WriteByte(indexes)
	b.Write(encode(indexEntry{"kvs", m.last}))
	return &state{b.Bytes()}, nil
}

func (s *state) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.bytes); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *state) Release() {}

func (m *machine) Restore(in io.ReadCloser) error {
	defer in.Close()
	d := codec.NewDecoder(in, handle())
	var h header
	if err := d.Decode(&h); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys, m.applied, m.last = map[string]entry{}, nil, h.LastIndex
	kind := []byte{0}
	for {
		if _, err := in.Read(kind); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if kind[0] != kvs {
			var other interface{}
			if err := d.Decode(&other); err != nil {
				return err
			}
			continue
		}
		var e entry
		if err := d.Decode(&e); err != nil {
			return err
		}
		m.keys[e.Key] = e
	}
}
