package mapping

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

func TestExamplesHold(t *testing.T) {
	sources, err := Load("testdata", "../../deploy/sources")
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 4 {
		t.Fatalf("%d sources", len(sources))
	}
	for _, s := range sources {
		if len(s.Tests) == 0 {
			t.Errorf("%s has no test", s.Path)
		}
		for name, wrong := range s.Run() {
			t.Errorf("%s: %s: %s", s.Path, name, strings.Join(wrong, "; "))
		}
	}
}

// TestAWrongExampleFails: a test that cannot fail proves nothing.
func TestAWrongExampleFails(t *testing.T) {
	s := load(t, minimal+`
tests:
  - name: wrong
    record: '{"acme": 1}'
    events: [{title: other}]
`)
	if len(s.Run()) != 1 {
		t.Fatal("it passed")
	}
}

const minimal = `source: acme
match: {has: [acme]}
events:
  - type: log
    fields: {title: '"x"'}
`

func load(t testing.TB, text string) *Source {
	t.Helper()
	s, err := Read("acme.source.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadReportsEverythingAtItsPlace(t *testing.T) {
	_, err := Read("bad.source.yaml", []byte(`source: Bad Name
phase: operations
match: {}
events:
  - type: auth.sucess
    when: 'user.name =='
    fields:
      actr: user.name
      severity_id: 'reduce(items, #acc + 1)'
      title: '"ok"'
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`bad.source.yaml:1:9: source: "Bad Name" is no name`,
		`bad.source.yaml:2:8: phase: "operations" is unknown (did you mean "operation"?)`,
		`match.has: name at least one key`,
		`bad.source.yaml:5:11: type: "auth.sucess" is unknown (did you mean "auth.success"?)`,
		`bad.source.yaml:6:`,
		`fields.actr: there is no such field (did you mean "actor"?)`,
		`bad.source.yaml:9:`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the errors do not say %q:\n%v", want, err)
		}
	}
}

func TestUnknownKeysAreErrors(t *testing.T) {
	if _, err := Read("a.source.yaml", []byte("source: a\nmatched: {has: [x]}\n")); err == nil || !strings.Contains(err.Error(), "a.source.yaml:[2:1]") {
		t.Fatalf("%v", err)
	}
}

func TestRecordsThatDoNotFitAreRefusedWithAReason(t *testing.T) {
	s := load(t, `source: acme
match: {has: [acme]}
events:
  - when: 'kind == "login"'
    type: auth.success
    fields: {src_ip: ip, severity_id: sev}
`)
	for record, want := range map[string]string{
		`{"acme":1,"kind":"logout"}`:                       "no case of `events` holds",
		`{"acme":1,"kind":"login","ip":"300.1.1.1"}`:       `fields.src_ip: "300.1.1.1" is no IP address`,
		`{"acme":1,"kind":"login","sev":"very"}`:           "severity_id",
		`{"acme":1,"kind":"login","ip":`:                   "JSON",
		`{"acme":1,"kind":{"a":[1,{"b":2}]},"ip":[1,2,3]}`: "no case",
	} {
		b := process(t, s, record)
		if len(b.Events) != 0 || len(b.Failures) == 0 || !strings.Contains(b.Failures[0].Reason, want) {
			t.Errorf("%s: %d events, failures %+v; want %q", record, len(b.Events), b.Failures, want)
		}
	}
}

func TestMissingKeysLeaveFieldsEmpty(t *testing.T) {
	s := load(t, `source: acme
match: {has: [acme]}
events:
  - type: log
    fields: {actor: user.name, host: 'user.host ?? "unknown"', repo: 'repo(vcs.url)', severity_id: 'severity(level)'}
`)
	for _, record := range []string{`{"acme":1}`, `{"acme":1,"user":null}`, `{"acme":1,"user":"bob"}`, `{"acme":1,"user":{"name":null}}`} {
		b := process(t, s, record)
		if len(b.Events) != 1 || b.Events[0].Actor != "" || b.Events[0].Host != "unknown" {
			t.Errorf("%s: %+v %+v", record, b.Events, b.Failures)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	s := load(t, `source: acme
match: {has: [acme]}
events:
  - type: secret.detected
    secrets: [found.value]
    fields: {title: '"found " + found.value'}
`)
	b := process(t, s, `{"acme":1,"found":{"value":"hunter2-hunter2"}}`)
	e := &b.Events[0]
	if strings.Contains(string(e.AppendJSON(nil)), "hunter2") || e.Attr("credential") == "" {
		t.Fatalf("%s", e.AppendJSON(nil))
	}
}

func process(t testing.TB, s *Source, record string) *pipeline.Batch {
	t.Helper()
	p, err := parse.New(parse.Config{Own: []parse.Format{s.Format()}})
	if err != nil {
		t.Fatal(err)
	}
	b := &pipeline.Batch{Records: []pipeline.Record{{Time: time.Unix(1700000000, 0), Value: []byte(record),
		Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(s.Name)}}}}}
	if err := p.Process(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzSource: whatever the record, no panic, and an event or a reason.
func FuzzSource(f *testing.F) {
	sources, err := Load("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range sources {
		for _, test := range s.Tests {
			f.Add(test.Record)
		}
	}
	f.Fuzz(func(t *testing.T, record string) {
		for _, s := range sources {
			if b := process(t, s, record); len(b.Events)+len(b.Failures) == 0 {
				t.Fatal("neither an event nor a reason")
			}
		}
	})
}

const eve = `{"timestamp":"2026-11-23T10:00:00.123456+0000","flow_id":1696236471136137,"in_iface":"eth0","event_type":"flow","src_ip":"10.0.0.5","src_port":18715,"dest_ip":"179.60.192.3","dest_port":80,"proto":"TCP","app_proto":"http","host":"web-1","flow":{"pkts_toserver":4,"pkts_toclient":3,"bytes_toserver":300,"bytes_toclient":222,"start":"2026-11-23T09:59:59.000000+0000","state":"closed","reason":"timeout","alerted":false},"community_id":"1:abc","tcp":{"tcp_flags":"1b","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed"}}`

// BenchmarkMappingAgainstBuiltIn reads the same record by a mapping and by the built-in parser.
func BenchmarkMappingAgainstBuiltIn(b *testing.B) {
	s := load(b, `source: eve
log: true
match: {has: [flow_id]}
events:
  - when: 'event_type == "flow"'
    type: net.flow
    fields:
      event_time: timestamp
      host: host
      src_ip: src_ip
      dst_ip: dest_ip
      bytes: flow.bytes_toserver + flow.bytes_toclient
      attributes.source.port: src_port
      attributes.destination.port: dest_port
      attributes.network.transport: lower(proto)
      attributes.network.protocol.name: app_proto
      attributes.flow.state: flow.state
  - type: log
`)
	for _, source := range []string{"eve", "suricata-eve"} {
		b.Run(source, func(b *testing.B) {
			p, err := parse.New(parse.Config{Own: []parse.Format{s.Format()}})
			if err != nil {
				b.Fatal(err)
			}
			batch := &pipeline.Batch{}
			headers := []pipeline.Header{{Key: "tocsin_source", Value: []byte(source)}}
			b.SetBytes(int64(len(eve)))
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				batch.Records = append(batch.Records, pipeline.Record{Time: time.Unix(1700000000, 0), Value: []byte(eve), Headers: headers})
				if err := p.Process(context.Background(), batch); err != nil || len(batch.Events) != 1 {
					b.Fatal(err, batch.Failures)
				}
			}
		})
	}
}
