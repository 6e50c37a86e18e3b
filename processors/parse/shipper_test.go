package parse_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse/parsetest"
)

func TestShipper(t *testing.T) { parsetest.Run(t, "shipper") }
func FuzzShipper(f *testing.F) { parsetest.Fuzz(f, "shipper") }

// TestShippedLinesAreOfTheirOwnFormat: what is carried gives the events of its format, with what only its shipper knows.
func TestShippedLinesAreOfTheirOwnFormat(t *testing.T) {
	const (
		access = `192.0.2.1 - - [23/Nov/2026:07:00:06 +0000] \"GET /gone HTTP/1.1\" 404 12 \"-\" \"curl/8\"`
		push   = `{"ref":"refs/heads/main","before":"` + "1111111111111111111111111111111111111111" + `","after":"2222222222222222222222222222222222222222",` +
			`"commits":[{"id":"2222222222222222222222222222222222222222","message":"x"}],"repository":{"full_name":"acme/shop"}}`
	)
	pubsub := `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(push)) + `","messageId":"7","attributes":{"X-GitHub-Event":"push"}},"subscription":"s"}`
	for _, test := range []struct{ payload, want string }{
		{`{"log":"` + access + `\n","stream":"stdout","time":"2026-11-23T07:00:06.5Z"}`, "access-log http.request 07:00:06 "},
		{`{"@timestamp":1795428000.1,"log":"` + access + `","kubernetes":{"pod_name":"web-1","host":"Node-7"}}`, "access-log http.request 07:00:06 node-7"},
		{`[{"message":"` + access + `"},{"message":"` + access + `"}]`, "access-log http.request 07:00:06 , access-log http.request 07:00:06 "},
		{`{"@timestamp":"2026-11-23T10:00:00Z","message":"Nov 23 09:59:59 web1 sshd[1]: Failed password for root from 192.0.2.7 port 22 ssh2","ecs":{"version":"8.0.0"},"host":{"name":"other"}}`,
			"sshd-auth auth.failed 09:59:59 web1"},
		{`{"message":"{\"rule\":\"Shell\",\"priority\":\"Error\",\"output\":\"x\",\"output_fields\":{}}","timestamp":"2026-11-23T10:00:01Z","host":"n1"}`, "falco detection 10:00:01 n1"},
		{`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"{\"rule\":\"Shell\",\"priority\":\"Error\",\"output\":\"x\",\"output_fields\":{}}","Timestamp":"2026-11-23T10:00:02.000Z"}`,
			"falco detection 10:00:02 "},
		{pubsub, "github branch.push 12:00:00 "},
		// ECS whose fields are filled in keeps them.
		{`{"@timestamp":"2026-11-23T10:00:00Z","event":{"category":["web"],"kind":"event"},"message":"` + access + `","ecs":{"version":"8.0.0"}}`, "ecs http.request 10:00:00 "},
	} {
		b := parsetest.Parse(t, pipeline.Record{Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Value: []byte(test.payload)})
		var got []string
		for i := range b.Events {
			e := &b.Events[i]
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Source, e.Type, e.Time.UTC().Format("15:04:05"), e.Host))
		}
		if got := strings.Join(got, ", "); got != test.want {
			t.Errorf("%s\n got %s %v\nwant %s", test.payload, got, b.Failures, test.want)
		}
	}
}

// TestShippedReportSentTwiceIsOne: a report that is carried has the same ids each time, a line of a log has not.
func TestShippedReportSentTwiceIsOne(t *testing.T) {
	report := []byte(`{"log":"[{\"RuleID\":\"aws\",\"Description\":\"AWS\",\"StartLine\":1,\"File\":\"a.env\",\"Commit\":\"\",\"Fingerprint\":\"\",\"Match\":\"x\",\"Secret\":\"x\"}]","stream":"stdout"}`)
	line := []byte(`{"log":"192.0.2.1 - - [23/Nov/2026:07:00:06 +0000] \"GET / HTTP/1.1\" 200 1","stream":"stdout"}`)
	for _, test := range []struct {
		payload []byte
		same    bool
	}{{report, true}, {line, false}} {
		one := parsetest.Parse(t, pipeline.Record{Time: time.Unix(1795428000, 0), Value: test.payload, Offset: 1})
		two := parsetest.Parse(t, pipeline.Record{Time: time.Unix(1795428000, 0), Value: test.payload, Offset: 2})
		if len(one.Events) != 1 || len(two.Events) != 1 {
			t.Fatalf("%s: %d and %d events", test.payload, len(one.Events), len(two.Events))
		}
		if (one.Events[0].ID == two.Events[0].ID) != test.same {
			t.Errorf("%s: same id is %v, want %v", test.payload, !test.same, test.same)
		}
	}
}
