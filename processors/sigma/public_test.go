//go:build public

package sigma

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// publicData is the directory that TOCSIN_SIGMA_DATA names, with rules/, events.jsonl and expected_matches.jsonl. The public
// rules are their authors', and not part of the repository: `make public` runs what wants them.
func publicData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TOCSIN_SIGMA_DATA")
	if dir == "" {
		t.Fatal("TOCSIN_SIGMA_DATA names no directory of public rules and events")
	}
	return dir
}

// TestPublicRules runs the public rules over the public events.
func TestPublicRules(t *testing.T) {
	dir := publicData(t)
	files, err := ReadFiles(filepath.Join(dir, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	active := slices.DeleteFunc(files, func(f File) bool { return f.Inactive })
	s := Load(active, Options{})
	if got := float64(len(s.Rules)) / float64(len(active)); got < 0.99 {
		t.Errorf("%.2f %% of %d active files compile", 100*got, len(active))
	}
	m := s.Compile(nil).NewMatcher()
	events, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	expected, err := os.ReadFile(filepath.Join(dir, "expected_matches.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines, wants := strings.Split(strings.TrimSpace(string(events)), "\n"), strings.Split(strings.TrimSpace(string(expected)), "\n")
	if len(lines) != len(wants) {
		t.Fatalf("%d events, %d expectations", len(lines), len(wants))
	}
	for i, line := range lines {
		agree(t, m, []byte(line))
		got, _ := m.JSON([]byte(line))
		var want struct {
			RuleIDs []string `json:"rule_ids"`
		}
		if err := json.Unmarshal([]byte(wants[i]), &want); err != nil {
			t.Fatal(err)
		}
		slices.Sort(want.RuleIDs)
		if ids := keysOf(got); !slices.Equal(ids, want.RuleIDs) {
			t.Errorf("line %d: %v, want %v", i+1, ids, want.RuleIDs)
		}
	}
}

func BenchmarkPublicRules(b *testing.B) {
	dir := publicData(b)
	files, err := ReadFiles(filepath.Join(dir, "rules"))
	if err != nil {
		b.Fatal(err)
	}
	m := Load(files, Options{}).Compile(nil).NewMatcher()
	data, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	raw := make([][]byte, len(lines))
	for i, l := range lines {
		raw[i] = []byte(l)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := m.JSON(raw[n%len(raw)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(m.Candidates)/float64(n), "candidates/op")
}
