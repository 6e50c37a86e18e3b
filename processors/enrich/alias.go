package enrich

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// aliases gives a person one name, whatever git, the CI or the database calls them.
type aliases struct {
	users map[string]string // alias in lower case to user
}

var aliasColumns = []string{"alias", "user"}

// readAliases reads the tables of aliases: rows of alias and user.
func readAliases(files []*file) (part, error) {
	as := &aliases{users: map[string]string{}}
	var m mistakes
	for _, f := range files {
		rows(f, aliasColumns, 2, &m, func(c []cell) {
			alias := strings.ToLower(c[0].text)
			if user, twice := as.users[alias]; twice && user != c[1].text {
				m.at(f.path, c[0].line, c[0].column, fmt.Sprintf("%q is %s already", c[0].text, user), "an alias is one person's")
			}
			as.users[alias] = c[1].text
		})
	}
	return as, m.err()
}

func (as *aliases) install(s *set) { s.aliases = as }

func (as *aliases) size() (int, time.Time) { return len(as.users), time.Time{} }

// enrich puts the user in the alias's place; attribute actor.alias keeps what the source said.
func (as *aliases) enrich(e *pipeline.Event, l *lookups) {
	if as == nil || e.Actor == "" {
		return
	}
	l.buf = appendLower(l.buf[:0], e.Actor)
	if user, ok := as.users[string(l.buf)]; ok && user != e.Actor {
		setAttr(e, aliasAttr, e.Actor)
		e.Actor = user
	}
}

const aliasAttr = "actor.alias"
