package main

import (
	"slices"
	"testing"
	"time"
)

func TestStacksAreDivided(t *testing.T) {
	took, err := divide(`File: tocsin
Type: cpu
-----------+-------------------------------------------------------
      10ms   crypto/sha1.block
             github.com/tocsin-project/tocsin/processors/parse.(*Out).identity
             github.com/tocsin-project/tocsin/processors/parse.(*Parser).finish
-----------+-------------------------------------------------------
     1.02s   runtime.memmove
             github.com/tocsin-project/tocsin/processors/parse.(*Parser).record
-----------+-------------------------------------------------------
      30ms   runtime.futex
-----------+-------------------------------------------------------
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Duration{"id": 10 * time.Millisecond, "parse": 1020 * time.Millisecond, "the rest": 30 * time.Millisecond, "fetch, commit": 0} {
		if got := took[slices.IndexFunc(stages, func(s stage) bool { return s.name == name })]; got != want {
			t.Errorf("%s has %v, want %v", name, got, want)
		}
	}
	if _, err := divide("-----------+---\nnonsense"); err == nil {
		t.Error("a stack without a time was taken")
	}
}

// TestLeastIsMeasured runs what stages are held against: each panics if it does not do what it says.
func TestLeastIsMeasured(t *testing.T) {
	records := slices.Repeat([][]byte{[]byte(`{"a":"0123456789012345678901234567890123456789012345678901234567890123456789"}`)}, 1000)
	for _, s := range stages {
		if s.least != nil {
			s.least(records)()
		}
	}
}
