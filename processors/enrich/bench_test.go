package enrich

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline"
)

// tables writes tables with that many threats, networks and assets, and returns their configuration.
func tables(tb testing.TB, threats, networks, assets int) Config {
	tb.Helper()
	var list, nets, owned bytes.Buffer
	for i := range threats {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&list, "%d.%d.%d.%d\n", 20+i>>24, i>>16&255, i>>8&255, i&255)
		case 1:
			fmt.Fprintf(&list, "host-%d.bad.example\n", i)
		case 2:
			fmt.Fprintf(&list, "%064x\n", i)
		}
	}
	nets.WriteString("cidr,name,private,proxy\n")
	for i := range networks {
		fmt.Fprintf(&nets, "10.%d.%d.%d/28,net-%d,true,false\n", i>>12&255, i>>4&255, i&15<<4, i%500)
	}
	owned.WriteString("kind,name,project,team,service,owner\nrepo,git.example.com/open-*/**,open,dev,web,ann\n")
	for i := range assets {
		fmt.Fprintf(&owned, "repo,git.example.com/acme/app-%d,shop,dev,app-%d,ann\n", i, i)
	}
	return Config{
		Threats:  []ThreatList{{List: "feed", File: write(tb, "threats.txt", list.String())}},
		Networks: []string{write(tb, "networks.csv", nets.String())},
		Assets:   []string{write(tb, "assets.csv", owned.String())},
		Aliases:  []string{write(tb, "aliases.csv", "alias,user\nann@laptop,ann\n")},
		OptOut:   []string{write(tb, "optout.csv", "id,owner,reason,project,suite\nOO-1,sec,why,secret*,drill\n")},
	}
}

const eventsInBatch = 1000

// traffic fills a batch as the parsers do: flows, commits of known and unknown repositories, findings.
func traffic(tb testing.TB, b *pipeline.Batch) {
	for i := range eventsInBatch {
		switch i % 4 {
		case 0:
			newEvent(tb, b, "event_type=net.flow", fmt.Sprintf("src_ip=10.0.%d.%d", i>>8, i&255), fmt.Sprintf("dst_ip=20.0.%d.%d", i>>8, i&255))
		case 1:
			newEvent(tb, b, "event_type=branch.push", fmt.Sprintf("repo=git.example.com/acme/app-%d", i), "actor=ann@laptop")
		case 2:
			newEvent(tb, b, "event_type=build.finished", fmt.Sprintf("repo=git.example.com/open-%d/x", i%50), "actor=bob")
		case 3:
			newEvent(tb, b, "event_type=net.dns", "dst_domain=www.good.example", fmt.Sprintf("src_ip=10.1.2.%d", i&255))
		}
	}
}

// again makes the batch as it was before it was enriched, without allocating.
func again(b *pipeline.Batch, fresh []pipeline.Event) {
	for i := range fresh {
		attrs, labels := b.Events[i].Attrs[:0], b.Events[i].Labels[:0]
		b.Events[i] = fresh[i]
		b.Events[i].Attrs, b.Events[i].Labels = append(attrs, fresh[i].Attrs...), append(labels, fresh[i].Labels...)
	}
}

// TestEnrichmentAllocates: one allocation an event at most, once the worker has warmed up.
func TestEnrichmentAllocates(t *testing.T) {
	p := newEnricher(t, tables(t, 9000, 1000, 1000)).Processor()
	b := &pipeline.Batch{}
	traffic(t, b)
	fresh := append([]pipeline.Event(nil), b.Events...)
	for i := range fresh {
		fresh[i].Attrs, fresh[i].Labels = append([]pipeline.Attr(nil), fresh[i].Attrs...), append([]string(nil), fresh[i].Labels...)
	}
	got := testing.AllocsPerRun(20, func() {
		again(b, fresh)
		if err := p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	})
	if got /= eventsInBatch; got > 1 {
		t.Errorf("%.2f allocations an event, want at most 1", got)
	}
	if b.Events[0].NetScope == pipeline.NetNone || b.Events[1].Project != "shop" || len(b.Events[0].Labels) == 0 {
		t.Errorf("nothing was found: %s", b.Events[0].AppendJSON(nil))
	}
}

// BenchmarkEnrich is the work of an event with 1 M indicators, 100 k networks and 50 k assets.
func BenchmarkEnrich(b *testing.B) {
	p := newEnricher(b, tables(b, 1_000_000, 100_000, 50_000)).Processor()
	batch := &pipeline.Batch{}
	traffic(b, batch)
	fresh := append([]pipeline.Event(nil), batch.Events...)
	for i := range fresh {
		fresh[i].Attrs, fresh[i].Labels = append([]pipeline.Attr(nil), fresh[i].Attrs...), append([]string(nil), fresh[i].Labels...)
	}
	b.ReportAllocs()
	for b.Loop() {
		again(batch, fresh)
		if err := p.Process(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/eventsInBatch, "ns/event")
}
