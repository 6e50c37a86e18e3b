package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// cond compares what a record has at a path with a text or a whole number. A record that lacks the path does not meet it.
type cond struct {
	path, op string // ==, >= or <
	value    any    // string or int
}

// check is one rule, as peers are told it and as tocsin is. Of the rules of a kind a record meets one at most.
type check struct {
	ID   string
	All  []cond
	when string // the same over tocsin's event
}

// kind is one of the corpus's JSON formats: how a peer tells it from the others, which paths become columns, and its rules.
type kind struct {
	Name    string
	Is      []cond
	typ     string // of tocsin's event
	key     string // of tocsin's rules
	Columns []string
	Rules   []check
}

var kinds = []kind{
	{
		Name: "flow", Is: []cond{{"event_type", "==", "flow"}}, typ: "net.flow", key: "ev.Host",
		Columns: []string{"timestamp", "event_type", "flow_id", "in_iface", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "app_proto",
			"flow.pkts_toserver", "flow.pkts_toclient", "flow.bytes_toserver", "flow.bytes_toclient", "flow.state", "flow.reason", "community_id", "host"},
		Rules: checks("F", 25, func(i int) ([]cond, string) {
			ip := fmt.Sprintf("203.0.113.%d", 10*i)
			switch i % 3 {
			case 0:
				return []cond{{"dest_ip", "==", ip}, {"flow.pkts_toserver", ">=", 40}}, fmt.Sprintf(`inCIDR(ev.DstIP, "%s/32") && int(ev.Attr("source.packets")) >= 40`, ip)
			case 1:
				return []cond{{"dest_ip", "==", ip}, {"proto", "==", "TCP"}, {"dest_port", "==", 443}}, fmt.Sprintf(`inCIDR(ev.DstIP, "%s/32") && ev.Attr("network.transport") == "tcp" && ev.Attr("destination.port") == "443"`, ip)
			}
			return []cond{{"dest_ip", "==", ip}, {"src_port", "<", 32000}, {"app_proto", "==", "tls"}}, fmt.Sprintf(`inCIDR(ev.DstIP, "%s/32") && int(ev.Attr("source.port")) < 32000 && ev.Attr("network.protocol.name") == "tls"`, ip)
		}),
	},
	{
		Name: "audit", Is: []cond{{"kind", "==", "Event"}}, typ: "api.call", key: "ev.Actor",
		Columns: []string{"requestReceivedTimestamp", "auditID", "stage", "verb", "user.username", "user.uid", "requestURI", "userAgent",
			"objectRef.resource", "objectRef.namespace", "objectRef.name", "responseStatus.code"},
		Rules: checks("A", 12, func(i int) ([]cond, string) {
			user := fmt.Sprintf("system:serviceaccount:payments:deployer-%d", i)
			if i%2 == 0 {
				return []cond{{"user.username", "==", user}, {"responseStatus.code", ">=", 400}}, fmt.Sprintf(`ev.Actor == %q && int(ev.Attr("http.response.status_code")) >= 400`, user)
			}
			return []cond{{"user.username", "==", user}, {"verb", "==", "update"}}, fmt.Sprintf(`ev.Actor == %q && ev.Attr("k8s.verb") == "update"`, user)
		}),
	},
	{
		Name: "detection", Is: []cond{{"source", "==", "syscall"}}, typ: "detection", key: "ev.Host",
		Columns: []string{"time", "hostname", "rule", "priority", "source", "output"},
		Rules: checks("D", 8, func(i int) ([]cond, string) {
			host, name := fmt.Sprintf("node-%d", 185+i), []string{"Terminal shell in container", "Read sensitive file untrusted"}[i%2]
			return []cond{{"hostname", "==", host}, {"rule", "==", name}, {"source", "==", "syscall"}},
				fmt.Sprintf(`ev.Host == %q && ev.Rule == %q && ev.Attr("falco.source") == "syscall"`, host, name)
		}),
	},
	{
		Name: "taskrun", Is: []cond{{"context.type", "==", "dev.cdevents.taskrun.finished.0.2.0"}}, typ: "taskrun.finished", key: "ev.Task",
		Columns: []string{"context.timestamp", "context.id", "context.source", "context.type", "subject.id", "subject.content.taskName",
			"subject.content.uri", "subject.content.outcome", "subject.content.pipelineRun.id"},
		Rules: checks("T", 5, func(i int) ([]cond, string) {
			task := fmt.Sprintf("unit-%d", 35+i)
			return []cond{{"subject.content.taskName", "==", task}, {"subject.content.outcome", "==", "failure"}},
				fmt.Sprintf(`ev.Task == %q && ev.Outcome == "failure"`, task)
		}),
	},
}

func checks(prefix string, n int, of func(i int) ([]cond, string)) (all []check) {
	for i := range n {
		conds, when := of(i)
		all = append(all, check{ID: fmt.Sprintf("%s%02d", prefix, i), All: conds, when: when})
	}
	return all
}

// rules returns the files of all rules as tocsin reads them.
func rules() []rule.File {
	var all []corpus.Rule
	for _, k := range kinds {
		for _, c := range k.Rules {
			all = append(all, corpus.Rule{ID: c.ID, Key: k.key, When: fmt.Sprintf(`ev.Type == %q && %s`, k.typ, c.when)})
		}
	}
	return corpus.Files(all)
}

// records yields the first n records of the corpus that are JSON, the last hour's.
func records(n int) iter.Seq[[]byte] {
	began := time.Now().UTC().Add(-time.Hour)
	return func(yield func([]byte) bool) {
		for i, sent := 0, 0; sent < n; i++ {
			r := corpus.Record(i, began.Add(time.Duration(sent)*time.Hour/time.Duration(n)))
			if r[0] != '{' {
				continue
			}
			if sent++; !yield(r) {
				return
			}
		}
	}
}

// judge calls match with the id of each rule that a record meets, in the plainest way: what everyone must find.
func judge(all iter.Seq[[]byte], match func(id string)) error {
	for r := range all {
		var object map[string]any
		if err := json.Unmarshal(r, &object); err != nil {
			return err
		}
		for _, k := range kinds {
			if !meets(object, k.Is) {
				continue
			}
			for _, c := range k.Rules {
				if meets(object, c.All) {
					match(c.ID)
				}
			}
		}
	}
	return nil
}

func meets(object map[string]any, all []cond) bool {
	return !slices.ContainsFunc(all, func(c cond) bool { return !c.meets(object) })
}

func (c cond) meets(object map[string]any) bool {
	var at any = object
	for name := range strings.SplitSeq(c.path, ".") {
		inner, ok := at.(map[string]any)
		if !ok {
			return false
		}
		at = inner[name]
	}
	want, number := c.value.(int)
	if !number {
		return at == c.value
	}
	have, ok := at.(float64)
	switch {
	case !ok:
		return false
	case c.op == ">=":
		return have >= float64(want)
	case c.op == "<":
		return have < float64(want)
	}
	return have == float64(want)
}
