package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func sampleSignal() Signal {
	return Signal{
		Kind: SignalMatch, Origin: TopicPartition{"raw.github", uuid.UUID{1, 2}, 3}, Offset: 1 << 40, Seq: 2, After: Place{1<<40 - 7, 3},
		Rule: "C12", Version: 4, Digest: 0xfedcba9876543210, Step: 1, Key: "root|ä", Time: time.Unix(1700000000, 5).UTC(), Ingest: time.Unix(1700000001, 0).UTC(),
		EventID: NewID("x"), Values: []string{"203.0.113.7", ""}, Fields: []Attr{{"actor", "root"}, {"host", ""}},
	}
}

func TestSignalRoundTrip(t *testing.T) {
	match := sampleSignal()
	mark := Signal{Kind: SignalWatermark, Origin: match.Origin, Offset: 9, Time: match.Time, Ingest: match.Ingest}
	for _, want := range []Signal{match, mark, {Kind: SignalWatermark, Origin: match.Origin, Offset: -1}} {
		got, err := DecodeSignal(AppendSignal(nil, &want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// FuzzSignal: whatever decodes encodes to the same signal, and every cut is refused.
func FuzzSignal(f *testing.F) {
	s := sampleSignal()
	f.Add(AppendSignal(nil, &s))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSignal(b)
		if err != nil {
			return
		}
		enc := AppendSignal(nil, &s)
		again, err := DecodeSignal(enc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatal(diff)
		}
		for i := range enc {
			if _, err := DecodeSignal(enc[:i]); err == nil {
				t.Fatalf("the first %d of %d bytes decode", i, len(enc))
			}
		}
	})
}

func TestAlertRoundTrip(t *testing.T) {
	want := &Alert{
		ID: NewID("a"), Version: 2, Status: StatusFiring, Team: TeamSec, Class: ClassNormal, Visibility: VisibilityTeam, Rule: "C02",
		Severity: 5, Phases: []int8{2, 7}, Title: "t", Entities: map[string]string{"database": "db-1/pay"}, Metrics: map[string]float64{"doubling_min": 1},
		FirstEventTime: time.Unix(1, 0).UTC(), LastEventTime: time.Unix(2, 0).UTC(), EventIDs: []uuid.UUID{NewID("e")}, DedupKey: "C02|db-1",
	}
	b, err := EncodeAlert(want, "tocsin/test", time.Unix(3, 0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeAlert(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if _, err := DecodeAlert([]byte(`{"type":"other"}`)); err == nil {
		t.Fatal("another type was taken for an alert")
	}
}
