package parse

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// TestRecogniserForgetsNoFormat: what is remembered of an object's keys changes no answer, whatever came before. The samples come
// in any order, again and again, with some of their values changed.
func TestRecogniserForgetsNoFormat(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	samples := allSamples(t)
	known := &recogniser{formats: Formats}
	before, asked := 0, 0 // formats that stand before the right one
	for range 8 {
		rng.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		for _, sample := range samples {
			var p Parser
			data, err := p.payload(sample.record.Value)
			if err != nil {
				continue
			}
			if len(data) > 64<<10 {
				data = data[:64<<10]
			}
			data = append([]byte(nil), data...)
			for range rng.IntN(20) { // of keys as well, now and then: those are objects of their own
				if i := rng.IntN(len(data) + 1); i < len(data) && (data[i]|0x20 >= 'a' && data[i]|0x20 <= 'z' || data[i] >= '0' && data[i] <= '9') {
					data[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
				}
			}
			record := &sample.record
			if rng.IntN(2) == 0 {
				record = &pipeline.Record{}
			}
			name := func(f *Format) string {
				if f == nil {
					return "none"
				}
				return f.Name
			}
			s := newShape(record, data)
			got, want := name(known.recognise(s)), name((&recogniser{formats: Formats}).recognise(newShape(record, data)))
			if got != want {
				t.Fatalf("%s/%s is of %s, and of %s after others with its keys", sample.format, sample.name, want, got)
			}
			if open := known.asked(s); open != nil {
				for i := range Formats {
					if Formats[i].Name == got {
						break
					}
					before++
					asked += int(open[i/64] >> (i % 64) & 1)
				}
			}
		}
	}
	t.Logf("%d of %d formats that stand before the right one are still asked", asked, before)
	if asked == 0 || asked > before/3 {
		t.Errorf("%d of %d formats that stand before the right one are still asked: the memory is of little use", asked, before)
	}
}

// TestTextsOfStrangersNameNoFormat: a client chooses its user agent and the name of its user, and so what stands in the log. What other
// formats look for, there or in a line before, makes no scanner's report of it.
func TestTextsOfStrangersNameNoFormat(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range allSamples(t) {
		data, err := p.payload(sample.record.Value)
		if err != nil {
			continue
		}
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r == '"' || r == '\\' {
				return -1
			}
			return r
		}, string(data[:min(len(data), 2000)]))
		for line, want := range map[string]string{
			`203.0.113.7 - - [24/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "` + text + `"`: "access-log",
			"Nov 24 08:00:00 web-1 sshd[7]: Invalid user " + text + " from 203.0.113.7 port 4711":     "sshd-auth",
		} {
			if got := p.recognise(newShape(&pipeline.Record{}, []byte(line))); got == nil || got.Name != want {
				t.Errorf("%s with %s/%s in it is of %v", want, sample.format, sample.name, got)
			}
		}
	}
}
