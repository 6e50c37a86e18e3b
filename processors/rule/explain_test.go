package rule

import (
	"net/netip"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

func TestExplain(t *testing.T) {
	set, err := Load([]File{{"R.yaml", []byte(`id: R
kind: sequence
key: [ev.Actor, ev.Host]
steps:
  - id: a
    when: ev.Type == "auth.failed" && (ev.Severity >= 4 || inCIDR(ev.SrcIP, "203.0.113.0/28")) && !(lower(ev.Actor) == "root")
    within: 1m
  - {id: b, when: ev.Type == "auth.success"}
` + minimal)}})
	if err != nil {
		t.Fatal(err)
	}
	e := &pipeline.Event{Type: "auth.failed", Severity: 2, Actor: "bob", SrcIP: netip.MustParseAddr("203.0.113.9")}
	got := ""
	for _, x := range set.Explain(set.Rules[0], e) {
		got += x.String() + "\n"
	}
	want := `R, step a: matches (there is nothing to correlate by: ev.Host is empty)
  yes all of
  yes   ev.Type == "auth.failed"   (is "auth.failed")
  yes   any of
  no      ev.Severity >= 4   (is "2")
  yes     inCIDR(ev.SrcIP, "203.0.113.0/28")   (is "203.0.113.9")
  yes   not
  no      lower(ev.Actor) == "root"
R, step b: does not match
  no  ev.Type == "auth.success"   (is "auth.failed")
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	e.Host, e.Labels = "web-1", []string{"playground"}
	if x := set.Explain(set.Rules[0], e)[0]; x.Matched || x.Reason != "the event is labelled playground" {
		t.Errorf("got %s", x)
	}
	e.Labels = nil
	if x := set.Explain(set.Rules[0], e)[0]; x.Key != "bob|web-1" {
		t.Errorf("got key %q", x.Key)
	}
}
