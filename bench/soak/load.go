package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/bench/corpus"
	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

// storyEvery is how often a story is told: guesses at a password and then a login, within seconds of the records' time. Every fourth has
// one guess too few.
const (
	storyEvery = 3 * time.Second
	guesses    = 20
)

// storyRule is the rule that the stories are for.
const storyRule = "soak-guessed"

func writeRules(p *rig.Plant) error {
	return os.WriteFile(p.Rules+"/"+storyRule+".yaml", fmt.Appendf(nil, `id: %s
version: 1
title: a password was guessed
why: so that it is known which alerts must come
kind: sequence
key: ev.Actor
steps:
  - {id: failed, when: 'ev.Type == "auth.failed" && ev.Actor startsWith "victim-"', count: %d, within: 10m}
  - {id: success, when: 'ev.Type == "auth.success" && ev.Actor startsWith "victim-"'}
subscriptions: [{team: sec, severity: 3}]
alert: {title: t, summary: s}
`, storyRule, guesses), 0o644)
}

// load is what is sent.
type load struct {
	client *kgo.Client
	wrong  atomic.Int64 // how far the clock of senders is off, but for that of stories

	sent, stories, near int // of run until it has ended
}

// run sends records at the rate until ctx ends, and waits until the broker has them.
func (l *load) run(ctx context.Context, began time.Time) error {
	var failed error
	send := func(value []byte, now time.Time) {
		l.sent++
		l.client.Produce(context.Background(), &kgo.Record{Value: value, Timestamp: now}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	for ctx.Err() == nil {
		now := time.Now().UTC()
		for float64(l.sent) < float64(*rate)*now.Sub(began).Seconds() {
			send(corpus.Record(l.sent, now.Add(time.Duration(l.wrong.Load()))), now)
		}
		for ; l.stories < int(now.Sub(began)/storyEvery); l.stories++ {
			line := func(result string, at time.Time) {
				send(fmt.Appendf(nil, "%s web-1 sshd[%d]: %s password for victim-%d from 192.0.2.1 port 4022 ssh2", at.Format(time.Stamp), l.stories, result, l.stories), now)
			}
			fails := guesses
			if l.stories%4 == 3 {
				l.near++
				fails--
			}
			for range fails {
				line("Failed", now.Add(-3*time.Second))
			}
			line("Accepted", now)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return cmp.Or(l.client.Flush(context.Background()), failed)
}

// check wants one alert of each story on the team's topic, each version of it once, and no other. The last ones may still be on their way.
func (l *load) check(ctx context.Context, brokers []string) (err error) {
	topic := kafka.AlertsPrefix + pipeline.TeamSec
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	alerts, versions := map[string]map[string]bool{}, map[string]int{} // ids by key
	for moved := time.Now(); len(alerts) < l.stories-l.near; {
		if time.Since(moved) > 2*time.Minute {
			break
		}
		poll, cancel := context.WithTimeout(ctx, 5*time.Second)
		fetches := client.PollFetches(poll)
		cancel()
		if fetches.NumRecords() > 0 {
			moved = time.Now()
		}
		fetches.EachRecord(func(r *kgo.Record) {
			a, decodeErr := pipeline.DecodeAlert(r.Value)
			if decodeErr != nil {
				err = decodeErr
				return
			}
			if a.Rule != storyRule {
				return
			}
			versions[fmt.Sprint(a.ID, " version ", a.Version)]++
			if alerts[a.DedupKey] == nil {
				alerts[a.DedupKey] = map[string]bool{}
			}
			alerts[a.DedupKey][a.ID.String()] = true
		})
		if err != nil {
			return err
		}
	}
	var errs []error
	for i := range l.stories {
		key, want := fmt.Sprint(storyRule, "|victim-", i), 1
		if i%4 == 3 {
			want = 0
		}
		if got := len(alerts[key]); got != want {
			errs = append(errs, fmt.Errorf("%s has %d alerts, want %d", key, got, want))
		}
		delete(alerts, key)
	}
	for key := range alerts {
		errs = append(errs, fmt.Errorf("an alert of %q, who is in no story", key))
	}
	for version, n := range versions {
		if n != 1 {
			errs = append(errs, fmt.Errorf("alert %s was sent %d times", version, n))
		}
	}
	return errors.Join(errs...)
}
