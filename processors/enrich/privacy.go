package enrich

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Privacy says how people appear.
type Privacy struct {
	// HashActors puts a keyed hash in the place of every user name, and of the e-mail addresses and personal names that
	// titles, attributes, raw texts and dead letters hold. One person keeps one hash.
	HashActors bool `yaml:"hash_actors"`
	// Key keys the hashes (HMAC-SHA256), 16 bytes or more. It is kept apart from the data: who has both can test guesses.
	Key string `yaml:"key"`
}

const (
	minKeyBytes = 16
	anonPrefix  = "anon-"
	// anonBytes of the hash are kept: 96 bits, of which no two people share all.
	anonBytes = 12
)

// anonymizer puts hashes in the place of names. It serves one worker.
type anonymizer struct {
	mac    hash.Hash
	sum    []byte
	memory map[string]string // name in lower case to hash
	key    []byte            // of the memory, scratch
	names  []string          // of the event at hand
	buf    []byte
}

func newAnonymizer(key string) *anonymizer {
	return &anonymizer{mac: hmac.New(sha256.New, []byte(key)), memory: map[string]string{}}
}

// hash returns the person's hash. Case does not matter, for tools do not agree on it.
func (z *anonymizer) hash(name string) string {
	if len(name) == len(anonPrefix)+2*anonBytes && strings.HasPrefix(name, anonPrefix) {
		return name // hashed already: of another tocsin
	}
	z.key = appendLower(z.key[:0], name)
	if h, known := z.memory[string(z.key)]; known {
		return h
	}
	z.mac.Reset()
	z.mac.Write(z.key)
	z.sum = z.mac.Sum(z.sum[:0])
	h := anonPrefix + hex.EncodeToString(z.sum[:anonBytes])
	if len(z.memory) >= maxRemembered {
		clear(z.memory)
	}
	z.memory[string(z.key)] = h
	return h
}

// personal are the attributes whose value is a person.
var personal = map[string]bool{
	aliasAttr: true, "author": true, "committer": true, "assignee": true, "reviewer": true, "merged_by": true, "comment.author": true,
	"user.target": true, "user.effective": true, "user.id": true, "user.name": true, "user.email": true, "user.full_name": true,
	"push_protection_bypassed_by": true, "k8s.impersonated_user": true, "aws.target": true,
}

// batch hides the people of every event and dead letter.
func (z *anonymizer) batch(b *pipeline.Batch) {
	for i := range b.Events {
		if e := &b.Events[i]; e.Dropped() == "" {
			z.event(e)
		}
	}
	z.names = z.names[:0]
	for i := range b.Failures {
		f := &b.Failures[i]
		f.Reason = z.text(f.Reason)
		if s := string(f.Data); s != "" {
			f.Data = []byte(z.text(s))
		}
	}
}

func (z *anonymizer) event(e *pipeline.Event) {
	z.names = z.names[:0]
	z.name(&e.Actor)
	for i := range e.Attrs {
		if personal[e.Attrs[i].Key] {
			z.name(&e.Attrs[i].Value)
		}
	}
	e.Title, e.Raw = z.text(e.Title), z.text(e.Raw)
	for i := range e.Attrs {
		if !personal[e.Attrs[i].Key] {
			e.Attrs[i].Value = z.text(e.Attrs[i].Value)
		}
	}
}

// name hashes a name, and notes it as one that must not stand elsewhere in the event.
func (z *anonymizer) name(s *string) {
	if *s == "" {
		return
	}
	hashed := z.hash(*s)
	if *s != hashed && len(*s) >= minNameBytes {
		z.names = append(z.names, *s)
	}
	*s = hashed
}

// minNameBytes is how long a name must be to be searched in texts: shorter ones are parts of everything.
const minNameBytes = 3

// text returns s with hashes in the place of the event's names, e-mail addresses and, in JSON, names that their keys tell.
// It returns s itself where there are none.
func (z *anonymizer) text(s string) string {
	if len(s) < minNameBytes {
		return s
	}
	s = z.addresses(s)
	for _, name := range z.names {
		s = z.replace(s, name)
	}
	return z.values(s)
}
