package parsetest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// patience is how long one record may take in the tests, on a busy machine too. It is to show what grows with the square
// of the input, not how fast a parser is.
const patience = 20 * time.Second

// Hostile feeds the format with what breaks parsers, and with its own samples in other dress; "" stands for records whose
// format nobody names. Whatever comes, the record becomes events or a refusal with a reason, in bounded time; a sample
// that is only packed or encoded differently gives the same events.
//
// Without -thorough the texts are cut and only the smallest sample is broken, which takes seconds and not minutes.
func Hostile(t *testing.T, format string) {
	t.Helper()
	most, count := 64<<10, 1
	if *thorough {
		most, count = longLine, 4
	}
	for name, data := range hostileTexts() {
		data = bytes.Clone(data[:min(len(data), most)])
		t.Run(name, func(t *testing.T) { feed(t, format, data) })
	}
	if format == "" {
		return
	}
	samples := samplesOf(t, format)
	slices.SortFunc(samples, func(a, b string) int { return int(size(t, a) - size(t, b)) })
	for _, path := range samples[:min(len(samples), count)] {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 64<<10 {
			continue
		}
		for i := 0; i < len(data); i += 97 {
			feed(t, format, data[:i])
			feed(t, "", data[:i])
		}
		for name, other := range broken(data) {
			t.Run(name, func(t *testing.T) {
				feed(t, format, other)
				feed(t, "", other)
			})
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		want := feed(t, format, data)
		for name, dressed := range dressed(data) {
			t.Run(name, func(t *testing.T) {
				if got := feed(t, format, dressed); render(got) != render(want) {
					t.Errorf("%s gave other events than the sample itself", path)
				}
			})
		}
		t.Run("CRLF", func(t *testing.T) {
			got := feed(t, format, bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
			if len(got.Events) != len(want.Events) {
				t.Errorf("%s gave %d events, with CRLF %d", path, len(want.Events), len(got.Events))
			}
		})
		t.Run("twice", func(t *testing.T) {
			got := feed(t, format, slices.Concat(data, []byte("\n"), data))
			if f := parse.Lookup(format).Frame; f != parse.Document && bytes.IndexByte([]byte("{["), data[0]) >= 0 && len(got.Events) < len(want.Events) {
				t.Errorf("%s gave %d events, twice in one record %d", path, len(want.Events), len(got.Events))
			}
		})
	}
}

var thorough = flag.Bool("thorough", false, "feed every format with megabytes of hostile input (make hostile)")

// feed runs a record as one of the format, and checks what holds for every record.
func feed(t *testing.T, format string, data []byte) *pipeline.Batch {
	t.Helper()
	var headers []pipeline.Header
	if format != "" {
		headers = []pipeline.Header{{Key: "tocsin_source", Value: []byte(format)}}
	}
	start := time.Now()
	b := Parse(t, pipeline.Record{Time: Arrival, Value: data, Headers: headers})
	if d := time.Since(start); d > patience {
		t.Errorf("took %v for %d bytes", d, len(data))
	}
	check(t, b)
	return b
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// longLine is how long a line may well be.
const longLine = 20 << 20

// hostileTexts are records of no format.
var hostileTexts = sync.OnceValue(func() map[string][]byte {
	bomb := `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">`
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf(`<!ENTITY %c "%s">`, c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	bomb += `]><r>&j;</r>`
	return map[string][]byte{
		"empty":             {},
		"a separator alone": {0x1e}, // of RFC 7464, which passes for white space
		"blank":             []byte(" \n\t\r\n"),
		"NULs":              make([]byte, 4096),
		"brackets":          bytes.Repeat([]byte("["), 1_000_000),
		"braces":            bytes.Repeat([]byte(`{"a":`), 1_000_000),
		"closed brackets":   append(bytes.Repeat([]byte("["), 1_000_000), bytes.Repeat([]byte("]"), 1_000_000)...),
		"elements":          bytes.Repeat([]byte("<a>"), 200_000),
		"entity bomb":       []byte(bomb),
		"outside entity":    []byte(`<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>`),
		"no UTF-8":          []byte("\xc3\x28 \xa0\xa1 \xe2\x28\xa1 \xf0\x28\x8c\xbc {\"a\":\"\xff\xfe\xfd\"}"),
		"torn gzip":         {0x1f, 0x8b, 8, 0, 0, 0, 0},
		"torn zstd":         {0x28, 0xb5, 0x2f, 0xfd, 4},
		"long line":         bytes.Repeat([]byte("all work and no play "), longLine/21),
		"long string":       slices.Concat([]byte(`{"message":"`), bytes.Repeat([]byte("x"), 4<<20), []byte(`"}`)),
		"many keys":         slices.Concat([]byte("{"), bytes.Repeat([]byte(`"k":1,`), 500_000), []byte(`"z":1}`)),
		"many members":      slices.Concat([]byte("["), bytes.Repeat([]byte("{},"), 300_000), []byte("{}]")),
		"blank lines":       append(bytes.Repeat([]byte("\n"), 4<<20), 'x'),
		"quotes":            bytes.Repeat([]byte(`"`), 1<<20),
		"backslashes":       slices.Concat([]byte(`{"a":"`), bytes.Repeat([]byte(`\`), 1<<20), []byte(`"}`)),
		"headers":           bytes.Repeat([]byte("authorization: a cookie: b "), 40_000),
		"rule":              bytes.Repeat([]byte("-"), 1<<20),
		"options":           bytes.Repeat([]byte("--a"), 300_000),
		"references":        bytes.Repeat([]byte("password=$(token=("), 60_000),
		"prefixes":          bytes.Repeat([]byte("ghs_-xoxb-"), 100_000),
		"separators":        bytes.Repeat([]byte("password=:"), 100_000),
		"dashes":            bytes.Repeat([]byte("-----BEGIN "), 100_000),
		"key heads":         bytes.Repeat([]byte("-----BEGIN RSA PRIVATE KEY-----\n"), 30_000),
		"escapes":           bytes.Repeat([]byte("%3A%2F%2Fa%3A"), 100_000),
		"tags":              bytes.Repeat([]byte("<password>"), 100_000),
		"numbers":           []byte(`{"id":9007199254740993,"time":1e999,"timestamp":99999999999999999999,"n":-0,"line":1e308}`),
		"a bare word":       []byte("true"),
		"a bare number":     []byte("12345678901234567890"),
		"JSON in no order":  []byte("}{]["),
		"torn records":      bytes.Repeat([]byte("{\"a\":[1,\n"), 100_000),
	}
})

// broken are a sample's damaged forms.
func broken(data []byte) map[string][]byte {
	spread := func(every int, b byte) []byte {
		out := bytes.Clone(data)
		for i := every; i < len(out); i += every {
			out[i] = b
		}
		return out
	}
	return map[string][]byte{
		"NULs within":        spread(101, 0),
		"bad UTF-8 within":   spread(103, 0xff),
		"quotes within":      spread(107, '"'),
		"without its head":   data[min(len(data), 1+len(data)/3):],
		"without newlines":   bytes.ReplaceAll(data, []byte("\n"), []byte(" ")),
		"huge numbers":       digits(data, "123456789012345678901234567890"),
		"negative numbers":   digits(data, "-1"),
		"numbers as strings": digits(data, `"7"`),
		"numbers as null":    digits(data, "null"),
		"keys twice":         bytes.ReplaceAll(data, []byte(`{"`), []byte(`{"time":"x","time":0,"`)),
		"strings as null":    stringsAs(data, "null"),
		"strings as objects": stringsAs(data, `{"a":[1]}`),
		"garbage behind":     append(bytes.Clone(data), []byte("\n\x00}]>garbage")...),
	}
}

// digits replaces what stands as a number in JSON.
func digits(data []byte, by string) []byte {
	var out []byte
	for i := 0; i < len(data); i++ {
		out = append(out, data[i])
		if data[i] != ':' {
			continue
		}
		j := i + 1
		for j < len(data) && data[j] == ' ' {
			j++
		}
		end := j
		for end < len(data) && (data[end] >= '0' && data[end] <= '9' || data[end] == '.' || data[end] == '-') {
			end++
		}
		if end > j && end < len(data) && bytes.IndexByte([]byte(",}] \n\r"), data[end]) >= 0 {
			out = append(out, by...)
			i = end - 1
		}
	}
	return out
}

// stringsAs replaces every third string value of JSON.
func stringsAs(data []byte, by string) []byte {
	var out []byte
	n := 0
	for i := 0; i < len(data); i++ {
		out = append(out, data[i])
		if data[i] != ':' || i+1 >= len(data) || data[i+1] != '"' && (data[i+1] != ' ' || i+2 >= len(data) || data[i+2] != '"') {
			continue
		}
		if n++; n%3 != 0 {
			continue
		}
		from := i + 1 + bytes.IndexByte(data[i+1:], '"')
		end := from + 1
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		out = append(out, by...)
		i = end
	}
	return out
}

// dressed are other encodings of the same sample.
func dressed(data []byte) map[string][]byte {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(data) // into memory
	_ = w.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	forms := map[string][]byte{
		"gzip": zipped.Bytes(),
		"zstd": enc.EncodeAll(data, nil),
	}
	if !utf8.Valid(data) || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return forms
	}
	forms["byte order mark"] = append([]byte("\xef\xbb\xbf"), data...)
	little, big := []byte{0xff, 0xfe}, []byte{0xfe, 0xff}
	for _, u := range utf16.Encode([]rune(string(data))) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	forms["UTF-16LE"], forms["UTF-16BE"] = little, big
	return forms
}
