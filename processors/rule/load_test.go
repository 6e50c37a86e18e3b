package rule

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestLibraryLoads(t *testing.T) {
	if _, err := Load(Library()); err != nil {
		t.Fatal(err)
	}
}

// What an author reads is held by golden files: each tells all that is wrong in one rule file.
func TestErrorTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test files", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load([]File{{filepath.Base(path), data}})
		var errs Errors
		if !errors.As(err, &errs) {
			t.Errorf("%s: got error %v, want Errors", path, err)
			continue
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".golden"
		got := errs.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
	}
}

func TestLoadNamesBothFilesOfAnID(t *testing.T) {
	a, b := matchRule("R", "true"), matchRule("R", "true")
	b.Name = "other.yaml"
	_, err := Load([]File{a, b})
	if err == nil || !strings.Contains(err.Error(), `other.yaml: rule "R" is in R.yaml as well`) {
		t.Errorf("got %v", err)
	}
}

func TestSecRequestedIsCopiedToSec(t *testing.T) {
	set, err := Load([]File{{"R.yaml", []byte(`id: R
title: t
kind: match
why: w
key: ev.Host
when: ev.Type == "x"
subscriptions: [{team: ops, class: sec_requested, severity: 3, by: "sec:maria", ticket: SEC-1, expires: 2027-01-31}]
alert: {title: t, summary: s}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	subs := set.Rules[0].Subscriptions
	if len(subs) != 2 || subs[1].Team != "sec" || subs[1].Severity != subs[0].Severity || subs[1].By != "sec:maria" {
		t.Errorf("got %+v, want a copy for sec", subs)
	}
	if end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC); subs[0].IsActive(end) || !subs[0].IsActive(end.Add(-1)) {
		t.Error("the subscription does not end when the day of expires begins")
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour,
		"2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "1w1d": 8 * 24 * time.Hour, "0s": 0,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
		again, err := ParseDuration(FormatDuration(got))
		if err != nil || again != got {
			t.Errorf("%v is written as %q and read as %v, %v", got, FormatDuration(got), again, err)
		}
	}
	for _, text := range []string{"", "d", "x", "1", "1y", "-1d", "1d-", "999999999d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

// Whatever is in a file, loading it ends, and each error points to a place in it.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/errors/*.yaml", "library/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			if data, err := os.ReadFile(path); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Load([]File{{"fuzz.yaml", data}})
		if err == nil {
			if len(set.Rules) != 1 {
				t.Fatalf("%d rules without an error", len(set.Rules))
			}
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || set != nil {
			t.Fatalf("got set %v and error %v", set, err)
		}
		lines := strings.Split(string(data), "\n")
		for _, e := range errs {
			if e.Line == 0 {
				continue
			}
			if e.Line > len(lines)+1 || e.Column < 1 || e.Line <= len(lines) && e.Column > utf8.RuneCountInString(lines[e.Line-1])+2 {
				t.Errorf("%d:%d is no place in the file: %v", e.Line, e.Column, e)
			}
		}
	})
}
