package correlate

import (
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// notes are what a key's signals said, where they said anything: a million idle keys have none, or one.
type notes struct{ context *alert.Context }

// take notes the fields of a signal.
func (n *notes) take(r *rule.Rule, s *pipeline.Signal) {
	if len(s.Fields) == 0 {
		return
	}
	if n.context == nil {
		n.context = &alert.Context{}
	}
	n.context.Note(r, s)
}

// read returns what was noted.
func (n *notes) read() *alert.Context {
	if n.context == nil {
		return &alert.Context{}
	}
	return n.context
}

func appendNotes(b []byte, n *notes) []byte { return appendContext(b, n.read()) }

func (d *decoder) notes() (n notes) {
	if x := d.context(); len(x.Steps) > 0 {
		n.context = &x
	}
	return n
}
