package parse

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

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
		*t = Text(alias(b))
		return nil
	}
	if end := len(b) - 1; end > 0 && bytes.IndexByte(b, '\\') < 0 {
		*t = Text(alias(b[1:end]))
		return nil
	}
	s, err := unquote(b)
	*t = Text(s)
	return err
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

// UnmarshalJSON implements json.Unmarshaler. The list's memory is used again.
func (s *Strings) UnmarshalJSON(b []byte) error {
	list := (*s)[:0]
	*s = nil
	if len(b) == 0 || b[0] != '[' {
		if text := textOf(b); text != "" {
			*s = append(list, text)
		}
		return nil
	}
	if n := bytes.Count(b, []byte{','}) + 1; cap(list) < n {
		list = make([]string, 0, n)
	}
	for i := 1; ; {
		i += skipSpace(b[i:])
		switch {
		case i >= len(b):
			return errObject
		case b[i] == ']':
			*s = list
			return nil
		case b[i] == ',':
			i++
			continue
		}
		end, err := valueEnd(b[i:])
		if err != nil {
			return err
		}
		list = append(list, textOf(b[i:i+end]))
		i += end
	}
}

// textOf returns a JSON value as Text does, empty where it is broken.
func textOf(value []byte) string {
	var t Text
	if err := t.UnmarshalJSON(value); err != nil {
		return ""
	}
	return string(t)
}

// parseTime reads the times that tools print: RFC 3339 with any fraction, with a blank for the T, with or without a
// zone (then UTC), and Unix times in seconds, milliseconds, microseconds or nanoseconds. The zero time is "none".
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}
	}
	if digits(s) == len(s) {
		return storable(unixTime(s))
	}
	if t, ok := isoTime(s); ok {
		return storable(t)
	}
	if c := s[len(s)-1]; c >= '0' && c <= '9' && strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1 {
		return storable(unixTime(s))
	}
	layouts := namedLayouts[:]
	if s[0] >= '0' && s[0] <= '9' {
		layouts = numberLayouts[:]
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return storable(t.UTC())
		}
	}
	return time.Time{}
}

// isoTime reads "2006-01-02T15:04:05.999999999Z07:00" with its variants: a blank for the T, a comma for the
// point, a zone of two or four digits, "UTC", or none. Logs have one in every line, and time.Parse allocates for each
// layout that does not fit.
func isoTime(s string) (time.Time, bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' && s[10] != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	var part [6]int
	for i, at := range [...][2]int{{0, 4}, {5, 7}, {8, 10}, {11, 13}, {14, 16}, {17, 19}} {
		for j := at[0]; j < at[1]; j++ {
			c := s[j] - '0'
			if c > 9 {
				return time.Time{}, false
			}
			part[i] = part[i]*10 + int(c)
		}
	}
	if part[1] < 1 || part[1] > 12 || part[2] < 1 || part[3] > 23 || part[4] > 59 || part[5] > 60 {
		return time.Time{}, false
	}
	rest, nanos := s[19:], 0
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') && rest[1] >= '0' && rest[1] <= '9' {
		unit := int(time.Second)
		for rest = rest[1:]; len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9'; rest = rest[1:] {
			unit /= 10
			nanos += int(rest[0]-'0') * unit
		}
	}
	if part[2] > daysIn(part[0], part[1]) {
		return time.Time{}, false // 30 February
	}
	t := dateOf(part[0], part[1], part[2], part[3], part[4], part[5], nanos)
	switch rest = strings.TrimPrefix(rest, " "); rest {
	case "", "Z", "z", "UTC", "GMT":
		return t, true
	}
	sign := time.Duration(-1)
	switch rest[0] {
	case '+':
	case '-':
		sign = 1
	default:
		return time.Time{}, false
	}
	hour, minute := rest[1:], ""
	if len(hour) > 2 {
		hour, minute = hour[:2], strings.TrimPrefix(hour[2:], ":")
	}
	h, err1 := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(first(minute, "0"))
	if err1 != nil || err2 != nil || len(hour) != 2 || len(minute)%2 != 0 || h < 0 || h > 23 || m < 0 || m > 59 {
		return time.Time{}, false
	}
	return t.Add(sign * (time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)), true
}

// daysIn returns how many days a month has.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// dateOf is time.Date in UTC for what lies within a calendar's bounds, in half of the time. The 30th of February is the
// 1st or 2nd of March, as it is there.
func dateOf(year, month, day, hour, minute, second, nanos int) time.Time {
	seconds := ((dayNumber(year, month, day)*24+hour)*60+minute)*60 + second
	return time.Unix(int64(seconds), int64(nanos)).UTC()
}

// dayNumber returns the days from 1970 to a date of the Gregorian calendar. The year is taken to begin in March, so that a
// leap day is its last.
func dayNumber(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// storable returns t, or none where a DateTime64 could not hold it.
func storable(t time.Time) time.Time {
	if y := t.Year(); y < 1970 || y > 2261 {
		return time.Time{}
	}
	return t
}

// Layouts that isoTime does not read, by what they begin with: each that does not fit costs five allocations.
var (
	numberLayouts = [...]string{
		"2006-01-02 15:04:05.999999999 MST", "2006-01-02T15:04:05.999999999 MST", "2006/01/02 15:04:05", "2006-01-02",
		"02/Jan/2006:15:04:05 -0700",
	}
	namedLayouts = [...]string{time.RFC1123Z, time.RFC1123, time.ANSIC, time.UnixDate, time.RubyDate}
)

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

// floatOf reads a number, 0 where s is none.
func floatOf(s string) float64 {
	var n Number
	n.set(s)
	return n.Or(0)
}
