package parse

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// planted are texts that hold a secret, each with the part of it that must not be seen.
var planted = []struct{ text, core string }{
	{"password=Hunter2-Pass-Word", "Hunter2-Pass-Word"},
	{"db_password: Tr0ub4dor-Horse", "Tr0ub4dor-Horse"},
	{`{"client_secret":"c1ient-s3cret-zz"}`, "c1ient-s3cret-zz"},
	{"Authorization: Bearer abcd1234efgh5678ijkl", "abcd1234efgh5678ijkl"},
	{"postgres://app:Un1c0rn-Blood@db.example.org/pay", "Un1c0rn-Blood"},
	{"http://app:P1nk-Elephant@db.example.org/pay", "P1nk-Elephant"},
	{"GET /cb?state=1&access_token=q1w2e3r4t5y6u7i8&x=1", "q1w2e3r4t5y6u7i8"},
	{"Server=db;Password=C0nnect-Me-Now;Database=d", "C0nnect-Me-Now"},
	{"key " + awsID + " used", awsID},
	{"aws_secret_access_key = " + awsKey, awsKey},
	{join("ghp", "_", alnum36), alnum36},
	{join("xoxb", "-1234567890-", "SlackToken0123456789"), "SlackToken0123456789"},
	{jwtText, "dozjgNryP4J3jVmNHl0w5N"},
	{keyHead + "\n" + keyBody + "\n" + keyFoot, keyBody},
}

// plantJSON puts the text into string values of the JSON in data, every n-th, and reports whether it found any.
func plantJSON(data []byte, text string, n int) ([]byte, bool) {
	quoted, err := json.Append(nil, text, 0)
	if err != nil {
		panic(err)
	}
	quoted = quoted[1 : len(quoted)-1]
	var out []byte
	count, hit := 0, false
	for i := 0; i < len(data); i++ {
		out = append(out, data[i])
		if data[i] != '"' {
			continue
		}
		end, err := stringEnd(data, i)
		if err != nil {
			return nil, false
		}
		out = append(out, data[i+1:end-1]...)
		rest := bytes.TrimLeft(data[end:], " \t\r\n")
		if len(rest) > 0 && rest[0] != ':' {
			if count++; count%n == 0 {
				out, hit = append(append(out, ' '), quoted...), true
			}
		}
		out = append(out, '"')
		i = end - 1
	}
	return out, hit
}

// plantLines puts the text at the end of every n-th line, in one line. In XML it stands as text between the elements.
func plantLines(data []byte, text string, n int) []byte {
	text = strings.ReplaceAll(text, "\n", `\n`)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		text = strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text)
		var out []byte
		count := 0
		for i := range data {
			if data[i] == '<' && i+1 < len(data) && data[i+1] == '/' {
				if count++; count%n == 0 {
					out = append(append(out, ' '), text...)
				}
			}
			out = append(out, data[i])
		}
		return out
	}
	lines := bytes.Split(data, []byte("\n"))
	for i := range lines {
		if i%n == 0 && len(bytes.TrimSpace(lines[i])) > 0 {
			lines[i] = append(append(bytes.TrimSuffix(bytes.Clone(lines[i]), []byte("\r")), ' '), text...)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// TestNoPlantedSecretIsSeen plants a secret of each kind into samples of every format and looks for it in everything that
// leaves the parser: events with their raw text, dead letters, reasons.
func TestNoPlantedSecretIsSeen(t *testing.T) {
	p, err := New(Config{FingerprintKey: "test"})
	if err != nil {
		t.Fatal(err)
	}
	perFormat := map[string]int{}
	for _, sample := range allSamples(t) {
		data, err := p.payload(sample.record.Value)
		if err != nil || len(data) > 12<<10 {
			continue
		}
		if perFormat[sample.format]++; perFormat[sample.format] > 1 {
			continue
		}
		for i, secret := range planted {
			for _, n := range []int{1, 3} {
				value, ok := plantJSON(data, secret.text, n)
				if !isJSON(data) || !ok {
					value = plantLines(data, secret.text, n)
				}
				named := append([]pipeline.Header{{Key: "tocsin_source", Value: []byte(sample.format)}}, sample.record.Headers...)
				for _, headers := range [][]pipeline.Header{sample.record.Headers, named} {
					rec := pipeline.Record{Time: time.Unix(1795000000, 0), Value: value, Headers: headers}
					if where := seen(p, rec, secret.core); where != "" {
						t.Errorf("%s/%s: secret %d %q is seen in %s", sample.format, sample.name, i, secret.text, where)
					}
				}
			}
		}
	}
}

// seen parses a record and returns where the secret is seen, or "".
func seen(p *Parser, rec pipeline.Record, secret string) string {
	b := &pipeline.Batch{Records: []pipeline.Record{rec}}
	if err := p.Process(context.Background(), b); err != nil {
		return err.Error()
	}
	for i := range b.Events {
		where := ""
		eachText(&b.Events[i], func(s *string) {
			if at := strings.Index(*s, secret); at >= 0 && where == "" {
				where = fmt.Sprintf("event %d (%s): %.160q", i, b.Events[i].Type, (*s)[max(0, at-80):])
			}
		})
		if where != "" {
			return where
		}
	}
	for _, f := range b.Failures {
		if at := strings.Index(string(f.Data), secret); at >= 0 {
			return fmt.Sprintf("a dead letter: %.160q", string(f.Data)[max(0, at-80):])
		}
		if strings.Contains(f.Reason, secret) {
			return "the reason " + f.Reason
		}
	}
	return ""
}

func TestMaskerMasksLongSecretsWhole(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "%d,", i*i)
	}
	long := text.String()
	o := Out{secrets: []string{long}}
	got := o.masker().Replace("before " + long + " after, 0,1,4")
	if got = strings.ReplaceAll(got, mask, ""); got != "before  after, 0,1,4" {
		t.Errorf("got %q", got)
	}
}
