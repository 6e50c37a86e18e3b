package mapping

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/vm"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// Source is one mapping file, ready to use.
type Source struct {
	Path  string
	Name  string
	Tests []Test

	title, phase, known string
	log                 bool
	has                 []string
	where               *expression
	wherePaths          *paths

	each  []string
	item  *paths // what is read of each item, or of the record where there is no each
	root  *paths // what is read of the whole record beside its items; nil without each
	cases []event
}

// event is one kind of event that a record or item can be: the first whose condition holds.
type event struct {
	when   *expression // nil always holds
	typ    string
	phase  string // empty: the source's
	id     []*expression
	secret []*expression
	fields []field
}

type field struct {
	column string
	value  *expression
}

// Format returns the source as the parser knows formats.
func (s *Source) Format() parse.Format {
	var types []string
	for _, e := range s.cases {
		types = append(types, e.typ)
	}
	return parse.Format{
		Name: s.Name, Title: s.title, Phase: s.phase, Types: types, Known: s.known, Frame: parse.Values, Log: s.log,
		Match: s.match, Parse: s.parse,
	}
}

func (s *Source) match(shape *parse.Shape) bool {
	if !shape.IsObject() || !shape.Has(s.has...) {
		return false
	}
	if s.where == nil {
		return true
	}
	env := s.wherePaths.newEnv()
	if s.wherePaths.read(shape.Object(), env) != nil {
		return false
	}
	ok, err := run(s.where, env)
	return err == nil && ok == true
}

func (s *Source) parse(in *parse.Input, out *parse.Out) error {
	env := s.item.newEnv()
	if s.root == nil {
		if err := s.item.read(in.Data, env); err != nil {
			return err
		}
		return s.event(env, out)
	}
	root := s.root.newEnv()
	if err := s.root.read(in.Data, root); err != nil {
		return err
	}
	var list any = root
	for _, key := range s.each {
		m, ok := list.(map[string]any)
		if !ok {
			break
		}
		list = m[key]
	}
	items, ok := list.([]any)
	if !ok {
		return errors.New("the record has no array where `each` looks for one")
	}
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return errors.New("an item of `each` is no object")
		}
		for key := range m {
			if _, own := env[key]; own {
				env[key] = m[key]
			}
		}
		env[rootName] = root
		if err := s.event(env, out); err != nil {
			return err
		}
		s.item.clear(env)
	}
	return nil
}

// event gives the event of the first case that holds; none is an error: what a source sends must not vanish.
func (s *Source) event(env map[string]any, out *parse.Out) error {
	for i := range s.cases {
		c := &s.cases[i]
		if c.when != nil {
			ok, err := run(c.when, env)
			if err != nil {
				return fmt.Errorf("events[%d].when: %w", i, err)
			}
			if ok != true {
				continue
			}
		}
		e := out.Event(c.typ)
		if c.phase != "" {
			e.Phase = c.phase
		}
		for _, f := range c.fields {
			v, err := run(f.value, env)
			if err == nil {
				err = set(e, f.column, v)
			}
			if err != nil {
				return fmt.Errorf("events[%d].fields.%s: %w", i, f.column, err)
			}
		}
		for _, x := range c.secret {
			v, err := run(x, env)
			if err != nil {
				return fmt.Errorf("events[%d].secrets: %w", i, err)
			}
			e.SetAttr("credential", out.Secret(text(v)))
		}
		if len(c.id) > 0 {
			var parts []string
			for _, x := range c.id {
				v, err := run(x, env)
				if err != nil {
					return fmt.Errorf("events[%d].id: %w", i, err)
				}
				parts = append(parts, text(v))
			}
			out.ID(e, parts...)
		}
		return nil
	}
	return errors.New("no case of `events` holds for the record; end the list with one that has no `when`")
}

// set puts a value into a field. Nothing is left empty; times and addresses are read as built-in formats read them.
func set(e *pipeline.Event, column string, v any) error {
	s := text(v)
	if s == "" {
		return nil
	}
	switch column {
	case "event_time":
		if e.Time = parse.Time(s); e.Time.IsZero() {
			return fmt.Errorf("%q is no time", s)
		}
		return nil
	case "src_ip", "dst_ip":
		a := parse.Addr(s)
		if !a.IsValid() {
			return fmt.Errorf("%q is no IP address", s)
		}
		return e.SetField(column, a.String())
	}
	return e.SetField(column, s)
}

// run evaluates an expression. Its own errors quote the record, which may hold a secret.
func run(x *expression, env map[string]any) (v any, err error) {
	machine := vm.VM{MemoryBudget: memoryBudget}
	if v, err = machine.Run(x.program, env); err != nil {
		return nil, errors.New("the expression does not fit the record's values")
	}
	return v, nil
}
