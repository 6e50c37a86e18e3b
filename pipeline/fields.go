package pipeline

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/schemas"
)

// field reads and writes one field of an event by its column name. Exactly one of the kinds is set.
type field struct {
	text   func(*Event) *string
	word   func(*Event) *string // a text of an enumeration
	words  []string             // the enumeration; the first stands for empty
	list   func(*Event) *[]string
	addr   func(*Event) *netip.Addr
	time   func(*Event) *time.Time
	uint8  func(*Event) *uint8
	uint16 func(*Event) *uint16
	uint64 func(*Event) *uint64
}

// fields has every column of schemas.EventFields but the id, the attributes, the metric's value and the coordinates,
// which are dealt with by name.
var fields = map[string]field{
	"event_time":      {time: func(e *Event) *time.Time { return &e.Time }},
	"ingest_time":     {time: func(e *Event) *time.Time { return &e.IngestTime }},
	"phase":           {word: func(e *Event) *string { return &e.Phase }, words: schemas.Phases},
	"team":            {word: func(e *Event) *string { return &e.Team }, words: schemas.Teams},
	"source":          {text: func(e *Event) *string { return &e.Source }},
	"event_type":      {text: func(e *Event) *string { return &e.Type }},
	"class_uid":       {uint16: func(e *Event) *uint16 { return &e.Class }},
	"severity_id":     {uint8: func(e *Event) *uint8 { return &e.Severity }},
	"outcome":         {word: func(e *Event) *string { return &e.Outcome }, words: schemas.Outcomes},
	"disposition_id":  {uint8: func(e *Event) *uint8 { return &e.Disposition }},
	"title":           {text: func(e *Event) *string { return &e.Title }},
	"project":         {text: func(e *Event) *string { return &e.Project }},
	"environment":     {text: func(e *Event) *string { return &e.Environment }},
	"service":         {text: func(e *Event) *string { return &e.Service }},
	"repo":            {text: func(e *Event) *string { return &e.Repo }},
	"ref":             {text: func(e *Event) *string { return &e.Ref }},
	"commit_sha":      {text: func(e *Event) *string { return &e.Commit }},
	"change_id":       {text: func(e *Event) *string { return &e.Change }},
	"pipeline":        {text: func(e *Event) *string { return &e.Pipeline }},
	"run_id":          {text: func(e *Event) *string { return &e.Run }},
	"task":            {text: func(e *Event) *string { return &e.Task }},
	"artifact":        {text: func(e *Event) *string { return &e.Artifact }},
	"artifact_digest": {text: func(e *Event) *string { return &e.Digest }},
	"purl":            {text: func(e *Event) *string { return &e.Purl }},
	"rule_id":         {text: func(e *Event) *string { return &e.Rule }},
	"vuln_ids":        {list: func(e *Event) *[]string { return &e.Vulns }},
	"finding_key":     {uint64: func(e *Event) *uint64 { return &e.FindingKey }},
	"actor":           {text: func(e *Event) *string { return &e.Actor }},
	"host":            {text: func(e *Event) *string { return &e.Host }},
	"src_ip":          {addr: func(e *Event) *netip.Addr { return &e.SrcIP }},
	"dst_ip":          {addr: func(e *Event) *netip.Addr { return &e.DstIP }},
	"dst_domain":      {text: func(e *Event) *string { return &e.DstDomain }},
	"net_scope":       {word: func(e *Event) *string { return &e.NetScope }, words: schemas.NetScopes},
	"bytes":           {uint64: func(e *Event) *uint64 { return &e.Bytes }},
	"db_name":         {text: func(e *Event) *string { return &e.DBName }},
	"db_object":       {text: func(e *Event) *string { return &e.DBObject }},
	"metric_name":     {text: func(e *Event) *string { return &e.Metric }},
	"campaign_id":     {text: func(e *Event) *string { return &e.Campaign }},
	"attack_ids":      {list: func(e *Event) *[]string { return &e.Attacks }},
	"labels":          {list: func(e *Event) *[]string { return &e.Labels }},
	"raw":             {text: func(e *Event) *string { return &e.Raw }},
	"kafka_topic":     {text: func(e *Event) *string { return &e.Topic }},
}

// Field returns the event's field of that column name as text, "" where it is empty. "attributes.<key>" is an
// attribute. ok tells whether there is such a column.
func (e *Event) Field(column string) (value string, ok bool) {
	switch column {
	case "event_id":
		return e.ID.String(), true
	case "metric_value":
		if e.Metric == "" {
			return "", true
		}
		return strconv.FormatFloat(e.Value, 'g', -1, 64), true
	case "kafka_partition":
		return strconv.Itoa(int(e.Partition)), true
	case "kafka_offset":
		return strconv.FormatInt(e.Offset, 10), true
	}
	if key, isAttr := strings.CutPrefix(column, "attributes."); isAttr {
		return e.Attr(key), true
	}
	f, ok := fields[column]
	if !ok {
		return "", false
	}
	return f.get(e), true
}

func (f field) get(e *Event) string {
	switch {
	case f.text != nil:
		return *f.text(e)
	case f.word != nil:
		if w := *f.word(e); w != f.words[0] {
			return w
		}
	case f.list != nil:
		return strings.Join(*f.list(e), ",")
	case f.addr != nil:
		if a := *f.addr(e); a.IsValid() {
			return a.Unmap().String()
		}
	case f.time != nil:
		if t := *f.time(e); !t.IsZero() {
			return t.UTC().Format(time.RFC3339Nano)
		}
	case f.uint8 != nil:
		return formatUint(uint64(*f.uint8(e)))
	case f.uint16 != nil:
		return formatUint(uint64(*f.uint16(e)))
	case f.uint64 != nil:
		return formatUint(*f.uint64(e))
	}
	return ""
}

func formatUint(v uint64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatUint(v, 10)
}

// SetField sets the field of that column name from text, as Field gives it; lists are comma separated. "attributes.<key>"
// is an attribute. An unknown column or a value that is none of the field's kind is an error that says what is expected.
// The coordinates cannot be set: they are the record's.
func (e *Event) SetField(column, value string) error {
	switch column {
	case "event_id":
		id, err := uuid.Parse(value)
		if err != nil {
			return fmt.Errorf("%s: %q is no UUID", column, value)
		}
		e.ID = id
		return nil
	case "metric_value":
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no number", column, value)
		}
		e.Value = v
		return nil
	}
	if key, isAttr := strings.CutPrefix(column, "attributes."); isAttr {
		e.SetAttr(key, value)
		return nil
	}
	f, ok := fields[column]
	if !ok || column == "kafka_topic" {
		return fmt.Errorf("%s: no such field can be set", column)
	}
	return f.set(e, column, value)
}

func (f field) set(e *Event, column, value string) error {
	switch {
	case f.text != nil:
		*f.text(e) = value
	case f.word != nil:
		for _, w := range f.words {
			if w == value {
				*f.word(e) = w
				return nil
			}
		}
		return fmt.Errorf("%s: %q is none of %s", column, value, strings.Join(f.words, ", "))
	case f.list != nil:
		*f.list(e) = nil
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*f.list(e) = append(*f.list(e), item)
			}
		}
	case f.addr != nil:
		a, err := netip.ParseAddr(value)
		if err != nil {
			return fmt.Errorf("%s: %q is no IP address", column, value)
		}
		*f.addr(e) = a
	case f.time != nil:
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("%s: %q is no RFC 3339 time", column, value)
		}
		*f.time(e) = t
	default:
		bits := 64
		if f.uint8 != nil {
			bits = 8
		} else if f.uint16 != nil {
			bits = 16
		}
		v, err := strconv.ParseUint(value, 10, bits)
		if err != nil {
			return fmt.Errorf("%s: %q is no whole number of %d bits", column, value, bits)
		}
		switch bits {
		case 8:
			*f.uint8(e) = uint8(v)
		case 16:
			*f.uint16(e) = uint16(v)
		default:
			*f.uint64(e) = v
		}
	}
	return nil
}

// AppendJSON appends the event as one JSON object, keys in the order of schemas.EventFields, empty fields left out: what
// `tocsin parse` prints, line by line.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	key := func(name string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, name), ':')
	}
	for i := range schemas.EventFields {
		name := schemas.EventFields[i].Column
		switch name {
		case "event_id":
			key(name)
			dst = appendJSONString(dst, e.ID.String())
		case "metric_value":
			if e.Metric != "" {
				key(name)
				dst = appendJSONFloat(dst, e.Value)
			}
		case "attributes":
			if len(e.Attrs) > 0 {
				key(name)
				dst = append(dst, '{')
				for j, a := range e.Attrs {
					if j > 0 {
						dst = append(dst, ',')
					}
					dst = appendJSONString(append(appendJSONString(dst, a.Key), ':'), a.Value)
				}
				dst = append(dst, '}')
			}
		case "kafka_partition", "kafka_offset":
			if e.Topic != "" {
				key(name)
				v, _ := e.Field(name)
				dst = append(dst, v...)
			}
		default:
			f := fields[name]
			if f.list != nil {
				if list := *f.list(e); len(list) > 0 {
					key(name)
					dst = append(dst, '[')
					for j, item := range list {
						if j > 0 {
							dst = append(dst, ',')
						}
						dst = appendJSONString(dst, item)
					}
					dst = append(dst, ']')
				}
				continue
			}
			v := f.get(e)
			if v == "" {
				continue
			}
			key(name)
			if f.uint8 != nil || f.uint16 != nil || f.uint64 != nil {
				dst = append(dst, v...)
			} else {
				dst = appendJSONString(dst, v)
			}
		}
	}
	return append(dst, '}')
}

// appendJSONFloat writes a float as JSON knows it; what JSON has no number for becomes a string.
func appendJSONFloat(dst []byte, v float64) []byte {
	if v != v || v > 1.7976931348623157e308 || v < -1.7976931348623157e308 {
		return append(append(append(dst, '"'), strconv.FormatFloat(v, 'g', -1, 64)...), '"')
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c >= ' ' && c != 0x7f:
				dst = append(dst, c)
			case c == '\n':
				dst = append(dst, '\\', 'n')
			case c == '\r':
				dst = append(dst, '\\', 'r')
			case c == '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, "�"...)
		} else {
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return append(dst, '"')
}
