package parse

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// Format is one source format.
type Format struct {
	Name  string   // as in --source, in topic bindings and in the event's source field
	Title string   // what it is, for people
	Phase string   // phase that its events belong to unless the parser knows better
	Types []string // event types that it may give; the first is that of Out.Event("")
	Known string   // how it is recognised, in words
	Frame Frame
	// Log says that the format is a log: two equal records are two events, so an event's identity is the record's
	// coordinates. Otherwise it is the piece's content, and sending it twice gives the same ids.
	Log bool
	// Sure reports whether text of unknown format is of this one and of no other, whatever strangers had written into it: what is in a
	// request or a user's name makes no other format of its log. It is asked before any Match; nil where a format has no such grammar.
	Sure func(*Shape) bool
	// Match reports whether a payload of unknown format is of this one. Formats are asked in the order of the table.
	Match func(*Shape) bool
	// Parse reads one piece. On an error the piece is refused as a whole: what it gave before is taken back.
	Parse func(*Input, *Out) error
}

// Frame says how a payload is cut into the pieces that a format reads one by one.
type Frame uint8

const (
	Document Frame = iota // the payload as a whole
	Values                // JSON values, one after the other, in lines or not
	Lines                 // lines; empty ones are passed over
	Reports               // JSON values where the payload is JSON, otherwise the payload as a whole
)

// Input is one piece of a payload.
type Input struct {
	Data   []byte
	Line   int // of its first byte in the payload, from 1
	Record *pipeline.Record
}

// Time returns when the record arrived: the only "now" that a parser knows.
func (in *Input) Time() time.Time { return in.Record.Time }

// Text returns the piece as a string that shares its memory.
func (in *Input) Text() string { return alias(in.Data) }

// alias is the only place of this package where bytes become a string without a copy. Records are read-only and outlive
// the events that point into them.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Out takes what a format reads from one piece.
type Out struct {
	parser *Parser
	batch  *pipeline.Batch
	record int
	format *Format
	piece  *Input // points to input

	input   Input
	first   int               // index of the piece's first event
	seq     int               // events of this record before the piece
	secrets []string          // to be masked wherever they stand in the piece's events
	encoded bool              // the piece's text does not show what its events hold (base64)
	keyIDs  map[string]string // public ids of some of them, by their fingerprints
	at      lineCursor
	named   []bool // for each event of the piece: the format gave it an identity

	arrival time.Time         // of the record, or when its envelope says that it was sent
	ids     pipeline.IDPrefix // of the record's coordinates, or of the piece's content
	idsMade bool
	kinds   lastKind
	scratch []kept // see the function
	text    []byte // what join gave out, and room for more; never written twice
	spare   []byte // a text while it is made, before join keeps it

	redaction // see redact.go
}

// redaction is what taking secrets out needs, kept to be used again.
type redaction struct {
	found []string // what looks like a secret in the piece
	forms []string // the secrets as they may stand in texts
	mask  masker   // of forms
	// summed is what was summed last, until the next piece.
	summed struct{ of, sum string }
}

// Event appends an event of the given type (empty: the format's first) and returns it for the format to fill. The
// pointer is valid until the next call. Source, phase, class, time and raw are set; identity and finding key follow.
func (o *Out) Event(typ string) *pipeline.Event {
	if typ == "" {
		typ = o.format.Types[0]
	}
	e := o.batch.Next(o.record)
	e.Source, e.Phase, e.Type, e.Class = o.format.Name, o.format.Phase, typ, o.kinds.of(typ).class
	e.Raw = o.piece.Text()
	o.named = append(o.named, false)
	return e
}

// events returns the piece's events so far, for formats that learn at its end what is true of all.
func (o *Out) events() []pipeline.Event { return o.batch.Events[o.first:] }

// join returns the parts as one text. Texts of many events share their memory, as those that lie in the record do.
func (o *Out) join(parts ...string) string { return o.joinWith("", parts) }

// list returns the parts as one text with commas between them.
func (o *Out) list(parts []string) string { return o.joinWith(",", parts) }

func (o *Out) joinWith(between string, parts []string) string {
	n := len(between) * len(parts)
	for _, p := range parts {
		n += len(p)
	}
	if cap(o.text)-len(o.text) < n {
		const chunk = 16 << 10
		o.text = make([]byte, 0, max(chunk, n))
	}
	from := len(o.text)
	for i, p := range parts {
		if i > 0 {
			o.text = append(o.text, between...)
		}
		o.text = append(o.text, p...)
	}
	return alias(o.text[from:])
}

// lower returns s in lower case.
func (o *Out) lower(s string) string {
	upper := false
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.ToLower(s)
		}
		upper = upper || s[i] >= 'A' && s[i] <= 'Z'
	}
	if !upper {
		return s
	}
	b := append(o.spare[:0], s...)
	for i := range b {
		b[i] = lower(b[i])
	}
	o.spare = b
	return o.join(alias(b))
}

// ID gives the event an identity of its own, from what names it at its source: equal parts give an equal id. Formats that
// have such names (a commit's hash, an alert's number) call it; for others the driver takes content or coordinates.
func (o *Out) ID(e *pipeline.Event, parts ...string) {
	var all [8]string
	e.ID = pipeline.NewID(append(append(all[:0], "event", o.format.Name), parts...)...)
	o.named[len(o.named)-1] = true
}

// Reject fails one line of the piece, counted from its first; the rest of the piece goes on.
func (o *Out) Reject(line int, reason string, args ...any) {
	o.reject(o.piece.Line+line-1, o.line(line), fmt.Sprintf(reason, args...))
}

// line returns the n-th line of the piece, from 1. It goes on from the line asked for last: a piece with a million broken
// lines must not be read from its beginning for each.
func (o *Out) line(n int) []byte {
	at := &o.at
	if at.piece != o.piece || n < at.n {
		*at = lineCursor{piece: o.piece, rest: o.piece.Data}
	}
	for ; at.n < n; at.n++ {
		at.text, at.rest = cutLine(at.rest)
	}
	return at.text
}

// lineCursor is the line of a piece that was asked for last.
type lineCursor struct {
	piece      *Input
	n          int
	text, rest []byte
}

func (o *Out) reject(line int, data []byte, reason string) {
	f := pipeline.Failure{Record: o.record, Line: line, Stage: "parse", Reason: o.parser.scrub(reason)}
	if o.format != nil {
		f.Source = o.format.Name
	}
	const keep = 16 << 10  // a dead letter shows what is wrong; the record itself stays in its topic
	const beyond = 1 << 10 // a secret at the cut is masked before it is cut through
	text := string(data[:min(len(data), keep+beyond)])
	if o.format != nil && o.format.Types[0] == "secret.detected" && len(data) > 0 {
		text = mask + ": reports of secrets are not copied into dead letters" // which of it is one, only its parser knows
	} else if m := o.masker(); m != nil {
		text = m.Replace(text)
	}
	text = o.parser.scrub(text)
	f.Data = []byte(text[:min(len(text), keep)])
	o.batch.Fail(f)
}

// Secret notes a secret that the tool printed. It is masked wherever it stands in the piece's events and dead letters.
// The result is its keyed fingerprint, which joins what different tools say of the same secret; formats put it into
// attribute "credential". Where the secret shows a public id, events with that fingerprint get it as "credential.id":
// it is all that the logs of its use will know.
func (o *Out) Secret(secret string) (fingerprint string) {
	if len(secret) < 4 || isMasked(secret) { // too short to be told from ordinary text, or the tool's word for all that it masks
		return ""
	}
	o.secrets = append(o.secrets, secret)
	fingerprint = o.parser.fingerprint(secret)
	if id := accessKeyID(secret); id != "" {
		if o.keyIDs == nil {
			o.keyIDs = map[string]string{}
		}
		o.keyIDs[fingerprint] = id
	}
	return fingerprint
}

// accessKeyID returns the AWS access key id in s, "" where there is none.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
func accessKeyID(s string) string {
	const length = 20
	for _, prefix := range [...]string{"AKIA", "ASIA"} {
		i := strings.Index(s, prefix)
		if i < 0 || len(s) < i+length {
			continue
		}
		if id := s[i : i+length]; strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" {
			return id
		}
	}
	return ""
}

// Config is what the parser needs to know of its surroundings.
type Config struct {
	// Topics binds topics to formats by name. A topic that is not named has its records recognised one by one.
	Topics map[string]string `yaml:"topics"`
	// FingerprintKey keys the fingerprints of secrets and those of records from which secrets were taken (HMAC-SHA256). It is kept
	// apart from the data: who has both can test guesses.
	FingerprintKey string `yaml:"fingerprint_key"`
	// Own are formats beside those of the table, asked before them (see processors/mapping).
	Own []Format `yaml:"-"`
}

// Parser is the first processor of every batch. It serves one worker.
type Parser struct {
	recogniser // of the user's own formats, then those of the table: an envelope's format cannot name the table that it stands in
	topics     map[string]*Format
	topicID    string // of the batch, as text
	key        []byte
	mac        hash.Hash // under the key
	out        Out
	shape      Shape
	inflate
}

// New returns a parser, or an error that names every topic bound to a format that does not exist.
func New(cfg Config) (*Parser, error) {
	p := &Parser{recogniser: recogniser{formats: slices.Concat(cfg.Own, Formats)}, topics: make(map[string]*Format, len(cfg.Topics)), key: []byte(cfg.FingerprintKey)}
	p.mac = hmac.New(sha256.New, p.key)
	for topic, name := range cfg.Topics {
		f := lookup(p.formats, name)
		if f == nil {
			return nil, fmt.Errorf("topic %q is bound to source %q, which does not exist; `tocsin sources` lists them", topic, name)
		}
		p.topics[topic] = f
	}
	return p, nil
}

// Lookup returns the format of that name in the table, or nil.
func Lookup(name string) *Format { return lookup(Formats, name) }

func lookup(formats []Format, name string) *Format {
	for i := range formats {
		if formats[i].Name == name {
			return &formats[i]
		}
	}
	return nil
}

// Process parses every record of the batch.
func (p *Parser) Process(_ context.Context, b *pipeline.Batch) error {
	p.topicID = b.ID.String()
	for i := range b.Records {
		p.record(b, i)
	}
	p.out.forget()
	return nil
}

func (p *Parser) record(b *pipeline.Batch, i int) {
	r := &b.Records[i]
	o := &p.out
	*o = Out{parser: p, batch: b, record: i, first: len(b.Events), secrets: o.secrets[:0], keyIDs: o.keyIDs, named: o.named[:0], ids: o.ids, scratch: o.scratch, text: o.text, spare: o.spare, redaction: o.redaction}
	failed := len(b.Failures)
	o.arrival = r.Time
	for i := range r.Headers { // an envelope of CloudEvents in headers, around what another format reads
		if name, ok := cutHeader(r.Headers[i].Key); ok && name == "time" {
			o.arrival = first(sane(parseTime(string(r.Headers[i].Value))), r.Time)
		}
	}

	data, err := p.payload(r.Value)
	if err != nil {
		o.reject(0, nil, err.Error())
		return
	}
	if o.format = p.choose(b.Topic, r, data); o.format == nil {
		o.reject(0, data, "format not recognised; name it with header tocsin_source, a topic binding or --source")
		return
	}
	frame := o.format.Frame
	if frame == Reports {
		frame = Document
		if isJSON(data) {
			frame = Values
		}
	}
	switch frame {
	case Document:
		p.guarded(o, data, 1, r)
	case Lines:
		for line, rest := 1, data; len(rest) > 0; line++ {
			var l []byte
			l, rest = cutLine(rest)
			if len(bytes.TrimSpace(l)) > 0 {
				p.guarded(o, l, line, r)
			}
		}
	case Values:
		p.values(o, data, r)
	}
	if len(b.Events) == o.first+0 && len(b.Failures) == failed && o.seq == 0 {
		o.piece = nil
		o.reject(0, data, "holds nothing of this format")
	}
}

// values cuts a payload into JSON values. A broken value costs its line; reading goes on at the next one, because a log
// shipped whole must not lose its tail to one torn line.
func (p *Parser) values(o *Out, data []byte, r *pipeline.Record) {
	line, pos := 1, 0
	// A value that is not closed is looked for to the end. Where many are torn, what was spent on that bounds how far:
	// then a value must end in its line.
	budget := 16 * len(data)
	for {
		n := skipSpace(data[pos:])
		line += bytes.Count(data[pos:pos+n], newline)
		if pos += n; pos >= len(data) {
			return
		}
		rest := data[pos:]
		text, behind := cutLine(rest)
		if o.format.Log && isWhole(text) && p.try(o, text, line, r) {
			pos, line = len(data)-len(behind), line+1
			continue
		}
		if budget <= 0 {
			rest = text
		}
		end, err := valueEnd(rest)
		if err != nil {
			budget -= len(rest)
		}
		if c := data[pos]; c != '{' && c != '[' && !bytes.HasPrefix(data[pos:], []byte("null")) {
			err = errors.New("not JSON") // text between records: one refusal, not one a word
		}
		if err != nil {
			bad, rest := cutLine(data[pos:])
			o.begin(bad, line, r)
			o.reject(line, bad, err.Error())
			pos, line = len(data)-len(rest), line+1
			continue
		}
		piece := data[pos : pos+end]
		p.piece(o, piece, line, r)
		line += bytes.Count(piece, newline)
		pos += end
	}
}

// isWhole reports whether a line could be a JSON object, as nearly all lines of a log are.
func isWhole(line []byte) bool {
	return len(line) > 1 && line[0] == '{' && line[len(line)-1] == '}'
}

// try reads a line as one piece, without looking for the piece's end first. It reports false, and leaves nothing behind,
// where the format does not read it: then it may be several values or a part of one.
func (p *Parser) try(o *Out, line []byte, n int, r *pipeline.Record) bool {
	failed := len(o.batch.Failures)
	o.begin(line, n, r)
	if err := o.format.Parse(o.piece, o); err != nil {
		o.batch.Events, o.batch.Failures = o.batch.Events[:o.first], o.batch.Failures[:failed]
		return false
	}
	p.finish(o, r)
	return true
}

var newline = []byte{'\n'}

// begin makes Out ready for a piece.
func (o *Out) begin(data []byte, line int, r *pipeline.Record) {
	o.input = Input{Data: data, Line: line, Record: r}
	o.piece, o.at = &o.input, lineCursor{}
	o.first, o.secrets, o.named, o.encoded = len(o.batch.Events), o.secrets[:0], o.named[:0], false
	o.summed.of = ""
	o.idsMade = o.idsMade && o.format.Log
	if len(o.keyIDs) > 0 {
		clear(o.keyIDs)
	}
}

// guarded is piece for text that may be JSON, which was not looked through for its end and depth.
func (p *Parser) guarded(o *Out, data []byte, line int, r *pipeline.Record) {
	if err := guardDepth(data); err != nil {
		o.begin(data, line, r)
		o.reject(line, data, err.Error())
		return
	}
	p.piece(o, data, line, r)
}

// piece runs the format over one piece and completes its events.
func (p *Parser) piece(o *Out, data []byte, line int, r *pipeline.Record) {
	o.begin(data, line, r)
	if err := o.format.Parse(o.piece, o); err != nil {
		o.batch.Events = o.batch.Events[:o.first]
		o.reject(line+lineOfError(err), data, err.Error())
		return
	}
	p.finish(o, r)
}

// finish fills in what every event of the piece has, whatever its format.
func (p *Parser) finish(o *Out, r *pipeline.Record) {
	events := o.batch.Events[o.first:]
	for i := range events {
		e := &events[i]
		if e.Time.IsZero() || e.Time.Equal(r.Time) { // the format knows none
			e.Time = o.arrival
		}
		if !o.named[i] {
			e.ID = o.identity(i)
		}
		if len(o.keyIDs) > 0 && e.Attr("credential.id") == "" {
			e.SetAttr("credential.id", o.keyIDs[e.Attr("credential")])
		}
		for j := range r.Headers {
			if column, ok := strings.CutPrefix(r.Headers[j].Key, "tocsin_"); ok && column != "source" {
				// What the record says goes first; but which phase it comes from, its sender knows better than its format.
				if v, known := e.Field(column); known && (v == "" || column == "phase") {
					// A header that does not fit its field is the sender's mistake, not the record's: the event stands without it.
					_ = e.SetField(column, string(r.Headers[j].Value))
				}
			}
		}
	}
	o.seq += len(events)
	p.redact(o, events)
	for i := range events {
		if e := &events[i]; e.FindingKey == 0 && o.kinds.of(e.Type).finding {
			e.FindingKey = findingKey(e)
		}
	}
}

// identity returns the id of the piece's i-th event that its format did not name: of the coordinates for a log, of the
// content otherwise.
func (o *Out) identity(i int) uuid.UUID {
	if o.format.Log {
		i += o.seq
	}
	if !o.idsMade {
		o.idsMade = true
		if b := o.batch; o.format.Log {
			o.ids.Reset("event", o.format.Name, b.Topic, o.parser.topicID, strconv.Itoa(int(b.Partition)), strconv.FormatInt(b.Records[o.record].Offset, 10))
		} else {
			b := strconv.AppendUint(o.spare[:0], xxhash.Sum64(o.piece.Data), 16)
			hash := len(b)
			b = strconv.AppendInt(b, int64(len(o.piece.Data)), 10)
			o.spare = b
			o.ids.Reset("event", o.format.Name, alias(b[:hash]), alias(b[hash:]))
		}
	}
	return o.ids.ID(i)
}

// fingerprint is the first 16 bytes of HMAC-SHA256(key, secret), in hex.
func (p *Parser) fingerprint(secret string) string {
	p.mac.Reset()
	p.mac.Write([]byte(secret))
	return hex.EncodeToString(p.mac.Sum(nil)[:16])
}

// kind is what an event's type says of it.
type kind struct {
	class   uint16 // its usual OCSF class
	finding bool   // somebody has to decide about it
}

// kinds are those of all event types.
var kinds = func() map[string]kind {
	m := make(map[string]kind, len(schemas.EventTypes))
	for _, t := range schemas.EventTypes {
		m[t.Name] = kind{class: t.Class}
	}
	for _, name := range []string{
		"secret.detected", "vulnerability.found", "malware.detected", "compliance.checked", "finding.blocked", "finding.corrected",
		"finding.accepted", "finding.verified", "finding.reopened", "finding.suppressed",
	} {
		k := m[name]
		k.finding = true
		m[name] = k
	}
	return m
}()

// lastKind remembers the kind that was asked for last: a log's events are mostly of one type.
type lastKind struct {
	name string
	kind kind
}

func (l *lastKind) of(name string) kind {
	if l.name != name {
		l.name, l.kind = name, kinds[name]
	}
	return l.kind
}

// findingKey names a finding over its life, runs, tools' versions, commits and lines: project, rule or vulnerability,
// package without version or path, and the host where the finding is about infrastructure. No line number, no commit, no
// digest; nor what kind of finding it is, which "finding.corrected" no longer tells.
func findingKey(e *pipeline.Event) uint64 {
	what := e.Rule
	if len(e.Vulns) > 0 {
		what = e.Vulns[0]
	}
	where := first(purlBase(e.Purl), e.Attr("package.name"))
	if where == "" {
		where = normalPath(e.Attr("code.file.path"))
	}
	host := ""
	if where == "" {
		host = e.Host
	}
	d := xxhash.New()
	for _, s := range [...]string{e.Project, "finding", what, where, host} {
		_, _ = d.WriteString(s)
		_, _ = d.Write([]byte{0})
	}
	_, _ = d.WriteString(e.Attr("fingerprint")) // tells two places in one file apart, where the tool has a stable one
	return d.Sum64()
}

// purlBase cuts version, qualifiers and subpath off a package URL.
func purlBase(purl string) string {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	if i := strings.LastIndexByte(purl, '@'); i > strings.LastIndexByte(purl, '/') {
		purl = purl[:i]
	}
	return purl
}

// normalPath makes paths of the same file equal: forward slashes, no leading "./" or "/".
func normalPath(p string) string {
	p = strings.ReplaceAll(p, `\`, "/")
	p = strings.TrimPrefix(p, "./")
	return strings.TrimLeft(p, "/")
}
