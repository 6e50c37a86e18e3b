package mapping

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// Run runs the file's examples and returns what is not as they say, for each by its name; nothing where all holds.
func (s *Source) Run() map[string][]string {
	failures := map[string][]string{}
	for _, t := range s.Tests {
		if wrong := s.run(t); len(wrong) > 0 {
			failures[t.Name] = wrong
		}
	}
	return failures
}

func (s *Source) run(t Test) (wrong []string) {
	parser, err := parse.New(parse.Config{Own: []parse.Format{s.Format()}})
	if err != nil {
		return []string{err.Error()}
	}
	b := &pipeline.Batch{Records: []pipeline.Record{{Time: time.Unix(0, 0).UTC(), Value: []byte(t.Record)}}}
	if err := parser.Process(context.Background(), b); err != nil {
		return []string{err.Error()}
	}
	for _, f := range b.Failures {
		wrong = append(wrong, "refused: "+f.Reason)
	}
	if len(b.Events) != len(t.Events) {
		wrong = append(wrong, fmt.Sprintf("%d events, want %d", len(b.Events), len(t.Events)))
	}
	for i := range min(len(b.Events), len(t.Events)) {
		e := &b.Events[i]
		if e.Source != s.Name {
			wrong = append(wrong, fmt.Sprintf("event %d: recognised as %s", i+1, e.Source))
		}
		for column, want := range t.Events[i] {
			got, ok := e.Field(column)
			if !ok {
				wrong = append(wrong, fmt.Sprintf("event %d: there is no field %s", i+1, column))
			} else if got != want {
				wrong = append(wrong, fmt.Sprintf("event %d: %s is %q, want %q", i+1, column, got, want))
			}
		}
	}
	return wrong
}
