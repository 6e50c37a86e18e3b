package parse

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// decoded has every kind of field that the formats' structs have.
type decoded struct {
	embedded
	Text  string             `json:"text"`
	Any   Text               `json:"any"`
	Num   Number             `json:"num"`
	Some  Strings            `json:"some"`
	Bool  bool               `json:"bool"`
	Int   int                `json:"int"`
	Raw   stdjson.RawMessage `json:"raw"`
	Own   otlpValue          `json:"own"`
	Inner struct {
		A string `json:"a"`
		B Text   `json:"b"`
	} `json:"inner"`
	List     []decoded         `json:"list"`
	Words    []string          `json:"words"`
	Map      map[string]string `json:"map"`
	Untagged string
	Hidden   string `json:"-"`
	A1       string `json:"id.orig_h"`
	A2       string `json:"id_orig_h"`
	A3       string `json:"a_long_name_of_which_head_and_tail_are_those_of_another"`
	A4       string `json:"a_long_name_of_which_TAIL_and_HEAD_are_those_of_another"`
}

type embedded struct {
	Deep string `json:"deep"`
}

// FuzzDecode holds decode to encoding/json: what one refuses the other does, and what they read is the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "text" : "x" , "any":1, "num":"7", "some":["a",1,null], "bool":true, "int":-12, "raw":{"a":[1]} } `,
		`{"inner":{"a":"1","b":{"c":[true]}},"inner":{"b":null},"list":[{"text":"a"},{"int":1},null,{}],"list":[{"bool":false}]}`,
		`{"text":"\u00e9\n\"","any":"\ud83d\ude00","text":null,"num":null,"any":null,"some":null,"some":"one"}`,
		`{"words":["a","b"],"map":{"k":"v"},"untagged":"u","UNTAGGED":"v","-":"no","deep":"d","Hidden":"no"}`,
		`{"id.orig_h":"1","id_orig_h":"2","a_long_name_of_which_head_and_tail_are_those_of_another":"3","a_long_name_of_which_TAIL_and_HEAD_are_those_of_another":"4"}`,
		`{"text":"12345678\t","own":{"stringValue":"x"},"unknown":[[[]],{"a":{}},-0.0e-1,"\/"]}`,
		`{"a":01}`, `{"a":1,}`, `{"a" 1}`, `[1,]`, `{"text":1}`, `{"int":1.0}`, `{"int":"1"}`, `{"bool":"true"}`, `nul`, `{"a":tru}`,
		"{\"text\":\"tab\there\"}", `{"text":"\x"}`, `{"text":"\u12g4"}`, `{"text":"open`, `{"list":{}}`, `{"inner":[]}`, `{} {}`, `null`, `"x"`, `[`, `{"a":-}`,
		`{"t\u0065xt":"escaped key"}`, `{"text":"é€😀 and more than eight bytes"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want decoded
		err := decodeFold(data, &got)
		if errors.Is(err, errTooDeep) || strings.HasPrefix(fmt.Sprint(err), "JSON ") && strings.HasSuffix(err.Error(), "is expected") || !utf8.Valid(data) || strings.IndexByte(string(data), 0x1e) >= 0 {
			return // encoding/json reads deeper; what is no UTF-8, and the separators of RFC 7464, each takes its own way
		}
		wantErr := stdjson.Unmarshal(data, &want)
		if typ := new(stdjson.UnmarshalTypeError); errors.As(wantErr, &typ) {
			if err != nil && typ.Field != "" {
				t.Fatalf("%s: %v, but a value of the wrong kind is no reason to refuse a record", data, err)
			}
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, encoding/json says %v", data, err, wantErr)
		}
		if err == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%s:\n%+v\nencoding/json reads\n%+v", data, got, want)
		}
	})
}

// TestDecodeExactly is about keys in another case, which reports may have and logs may not.
func TestDecodeExactly(t *testing.T) {
	var got decoded
	if err := decode([]byte(`{"TEXT":"a","text":"b","Text":"c"}`), &got); err != nil || got.Text != "b" {
		t.Errorf("got %q, %v", got.Text, err)
	}
}
