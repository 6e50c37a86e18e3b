package rule

import "testing"

func TestLibraryLoads(t *testing.T) {
	set, err := Load(Library())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Rules {
		t.Log(r.ID, r.Kind, len(r.Steps))
	}
}
func TestBad(t *testing.T) {
	_, err := Load([]File{{"bad.yaml", []byte(`id: X1
version: 0
title: Foo
kind: threshold
why: because
key: ev.Hst
when: >
  ev.Type == "auth.failed" &&
  ev.Severty >= 4 && inCIDR(ev.SrcIP, "10.0.0.1/8")
window: 2 minutes
subscriptions:
  - {team: sec, severity: 9}
  - {team: seq, sevrity: 4}
aggregates: {ips: distinct ev.SrcIPs, n: count}
having: ipz > 4
alert: {title: "x {src_iq}", summary: "y"}
`)}})
	t.Log("\n" + err.Error())
}
