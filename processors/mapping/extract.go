package mapping

import (
	"fmt"

	"github.com/segmentio/encoding/json"
)

// paths is a tree of the keys that expressions name. A leaf's value is decoded whole; below an inner node only its
// children are.
type paths struct {
	children map[string]*paths
	whole    bool
}

// add notes the path; an empty one is the record itself.
func (p *paths) add(path []string) {
	for _, key := range path {
		if p.children == nil {
			p.children = map[string]*paths{}
		}
		next := p.children[key]
		if next == nil {
			next = &paths{}
			p.children[key] = next
		}
		p = next
	}
	p.whole = true
}

// newEnv returns the environment with a map for each inner node, so that `user.name` of a record without user is nil and
// no error.
func (p *paths) newEnv() map[string]any {
	env := make(map[string]any, len(p.children))
	for key, child := range p.children {
		env[key] = nil
		if !child.whole {
			env[key] = child.newEnv()
		}
	}
	return env
}

// clear makes every leaf nil again.
func (p *paths) clear(env map[string]any) {
	for key, child := range p.children {
		if child.whole {
			env[key] = nil
		} else {
			child.clear(env[key].(map[string]any))
		}
	}
}

// read decodes what the tree names from the JSON object b into env. The strings share b's memory where they hold no escape.
func (p *paths) read(b []byte, env map[string]any) error {
	t := json.NewTokenizer(b)
	if !t.Next() || t.Delim != '{' {
		return fmt.Errorf("not a JSON object")
	}
	if err := p.object(t, env); err != nil {
		return err
	}
	if t.Err != nil {
		return fmt.Errorf("not well-formed JSON")
	}
	return nil
}

// object reads the members of an object whose opening brace was read.
func (p *paths) object(t *json.Tokenizer, env map[string]any) error {
	for t.Next() {
		switch {
		case t.Delim == '}':
			return nil
		case t.Delim == ',':
			continue
		case !t.IsKey:
			return fmt.Errorf("not well-formed JSON")
		}
		var child *paths
		var key string
		if p.children != nil {
			key = string(t.Value)
			if len(key) >= 2 {
				key = key[1 : len(key)-1]
			}
			if child = p.children[key]; child == nil && t.Kind() != json.Unescaped {
				key = string(t.String())
				child = p.children[key]
			}
		}
		if !t.Next() || t.Delim != ':' || !t.Next() {
			break
		}
		var err error
		switch {
		case child == nil:
			err = skip(t)
		case child.whole:
			env[key], err = value(t)
		case t.Delim == '{':
			err = child.object(t, env[key].(map[string]any))
		default:
			err = skip(t) // another kind than the expressions expect: its members are nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("JSON ends within an object")
}

// skip passes over the value whose first token was read.
func skip(t *json.Tokenizer) error {
	if t.Delim != '{' && t.Delim != '[' {
		return nil
	}
	for depth := 1; depth > 0; {
		if !t.Next() {
			return fmt.Errorf("JSON ends within a value")
		}
		switch t.Delim {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return nil
}

// value decodes the value whose first token was read: nil, bool, int64 where it is a whole number, float64, string,
// []any or map[string]any.
func value(t *json.Tokenizer) (any, error) {
	switch t.Delim {
	case '{':
		m := map[string]any{}
		for t.Next() {
			switch {
			case t.Delim == '}':
				return m, nil
			case t.Delim == ',':
				continue
			case !t.IsKey:
				return nil, fmt.Errorf("not well-formed JSON")
			}
			key := string(t.String())
			if !t.Next() || t.Delim != ':' || !t.Next() {
				break
			}
			v, err := value(t)
			if err != nil {
				return nil, err
			}
			m[key] = v
		}
		return nil, fmt.Errorf("JSON ends within an object")
	case '[':
		list := []any{}
		for t.Next() {
			switch t.Delim {
			case ']':
				return list, nil
			case ',':
				continue
			}
			v, err := value(t)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return nil, fmt.Errorf("JSON ends within an array")
	}
	switch t.Kind().Class() {
	case json.Null:
		return nil, nil
	case json.Bool:
		return t.Bool(), nil
	case json.String:
		return string(t.String()), nil
	case json.Num:
		if k := t.Kind(); k == json.Int || k == json.Uint {
			if v := t.Int(); v != 0 || string(t.Value) == "0" {
				return v, nil
			}
		}
		return t.Float(), nil
	}
	return nil, fmt.Errorf("not well-formed JSON")
}
