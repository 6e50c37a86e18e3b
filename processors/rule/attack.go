package rule

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"
)

// AttackVersion is the release of MITRE ATT&CK for Enterprise that attack.tsv holds.
const AttackVersion = "18.1"

//go:embed attack.tsv
var attackTable string

// technique is one of ATT&CK: a row of attack.tsv.
type technique struct {
	name string
	// successor took its place when it was revoked; "-" is none.
	successor string
}

// techniques are those of attack.tsv by id. They are read when a rule names the first.
var techniques = sync.OnceValue(func() map[string]technique {
	all := map[string]technique{}
	for line := range strings.Lines(attackTable) {
		if line[0] == '#' {
			continue
		}
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		name, successor, _ := strings.Cut(rest, "\t")
		all[id] = technique{name, successor}
	}
	return all
})

// Technique returns the id that a technique of MITRE ATT&CK has today, and what there is to say of the one that was given:
// that it was revoked in favour of another, that it was given up, or that this release does not know it; "" where it is
// as it should be.
func Technique(id string) (now, note string) {
	known := techniques()
	now = id
	for known[now].successor != "" && known[now].successor != "-" {
		now = known[now].successor
	}
	t, ok := known[now]
	switch {
	case !ok:
		note = fmt.Sprintf("%s is not in ATT&CK %s", id, AttackVersion)
		if near := nearest(id, slices.Sorted(maps.Keys(known))); near != "" {
			note += fmt.Sprintf("; %s is %s", near, TechniqueName(near))
		}
	case t.successor == "-":
		note = fmt.Sprintf("%s (%s) was given up by ATT&CK without a successor", id, t.name)
	case now != id:
		note = fmt.Sprintf("%s was revoked by ATT&CK; it is taken for %s (%s)", id, now, TechniqueName(now))
	}
	return now, note
}

// TechniqueName returns a technique's name, behind that of the technique that it is a part of; "" where it is not known.
func TechniqueName(id string) string {
	known := techniques()
	name := known[id].name
	if parent, _, ok := strings.Cut(id, "."); ok && name != "" {
		name = known[parent].name + ": " + name
	}
	return name
}

// techniques reads a list of techniques. One that was revoked becomes its successor. What ATT&CK does not know, or not any
// more, is named and kept: a newer release than ours may have it.
func (r *reader) techniques(n ast.Node) (ids []string) {
	r.list(n, "attack", func(n ast.Node) {
		id := r.line(n, "attack")
		if !techniquePattern.MatchString(id) {
			r.failAt(n, fmt.Sprintf("attack: %q is no technique of MITRE ATT&CK", id), "as in T1110 or T1110.004")
			return
		}
		now, note := Technique(id)
		if note != "" {
			line, column := position(n)
			r.set.Warnings = append(r.set.Warnings, fmt.Sprintf("%s:%d:%d: attack: %s", r.path, line, column, note))
		}
		if !slices.Contains(ids, now) {
			ids = append(ids, now)
		}
	})
	return ids
}
