package parse

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"
)

// decode reads one JSON value into v, which is a pointer to a struct (or slice of structs) with json tags. Its strings
// share the piece's memory. Keys match exactly; unknown ones are passed over.
func decode(b []byte, v any) error {
	return decodeWith(b, v, json.ZeroCopy|json.DontMatchCaseInsensitiveStructFields)
}

// decodeFold is decode for reports: keys match in any case, so structs need tags only where words are joined.
func decodeFold(b []byte, v any) error { return decodeWith(b, v, json.ZeroCopy) }

func decodeWith(b []byte, v any, flags json.ParseFlags) error {
	rest, err := json.Parse(b, v, flags)
	if err != nil {
		return jsonError(err)
	}
	if skipSpace(rest) != len(rest) {
		return errors.New("JSON is followed by something else")
	}
	return nil
}

// jsonError says in a user's words what the JSON parser found. Its own texts quote the input, which may hold a secret.
func jsonError(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return fmt.Errorf("JSON %s where %s is expected", typ.Value, typ.Type)
	}
	return errors.New("not well-formed JSON")
}

// Text is JSON that is a string in one version of a tool and a number or boolean in another: all of them as text. Null is
// empty; an object or array is its JSON.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = ""
		return nil
	}
	if len(b) == 0 || b[0] != '"' {
		*t = Text(b)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = Text(s)
	return nil
}

// Number is a JSON number, or a string that holds one. What is neither is NaN: a tool that prints "n/a" there said
// nothing, which is no reason to refuse its report.
type Number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	n.set(strings.Trim(string(b), `"`))
	return nil
}

func (n *Number) set(s string) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		v = math.NaN()
	}
	*n = Number(v)
}

// Or returns the number, or v where there is none.
func (n Number) Or(v float64) float64 {
	if math.IsNaN(float64(n)) {
		return v
	}
	return float64(n)
}

// Strings is a JSON array of strings, or a single one.
type Strings []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *Strings) UnmarshalJSON(b []byte) error {
	*s = nil
	if len(b) > 0 && b[0] == '[' {
		var list []Text
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for _, t := range list {
			*s = append(*s, string(t))
		}
		return nil
	}
	var t Text
	if err := t.UnmarshalJSON(b); err != nil {
		return err
	}
	if t != "" {
		*s = Strings{string(t)}
	}
	return nil
}

// parseTime reads the times that tools print: RFC 3339 with any fraction, with a blank for the T, with or without a
// zone (then UTC), and Unix times in seconds, milliseconds, microseconds or nanoseconds. The zero time is "none".
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}
	}
	if c := s[len(s)-1]; c >= '0' && c <= '9' && strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1 {
		return storable(unixTime(s))
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return storable(t.UTC())
		}
	}
	return time.Time{}
}

// storable returns t, or none where a DateTime64 could not hold it.
func storable(t time.Time) time.Time {
	if y := t.Year(); y < 1970 || y > 2261 {
		return time.Time{}
	}
	return t
}

var timeLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999Z07",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z0700",
	"2006-01-02 15:04:05.999999999Z07",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02 15:04:05.999999999 MST",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999",
	"2006/01/02 15:04:05",
	"2006-01-02",
	"02/Jan/2006:15:04:05 -0700",
	time.RFC1123Z,
	time.RFC1123,
	time.ANSIC,
	time.UnixDate,
	time.RubyDate,
}

// unixTime reads a Unix time; its unit follows from its size: what would lie past the year 5138 in one unit is the next.
func unixTime(s string) time.Time {
	whole, frac, _ := strings.Cut(s, ".")
	v, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || v <= 0 {
		return time.Time{}
	}
	switch {
	case v < 1e11:
		nanos, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
		return time.Unix(v, nanos).UTC()
	case v < 1e14:
		return time.UnixMilli(v).UTC()
	case v < 1e17:
		return time.UnixMicro(v).UTC()
	}
	return time.Unix(0, v).UTC()
}

// lineError is an error at a line of the piece, counted from 0 at its first.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// lineOfError returns how many lines below the piece's first the error is.
func lineOfError(err error) int {
	var at *lineError
	if errors.As(err, &at) {
		return at.line
	}
	return 0
}
