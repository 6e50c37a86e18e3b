package clickhouse

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

// TestText: a column of text is the same bytes on the wire as ch-go's, encoded or written, whatever its values and however often
// it was used before.
func TestText(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var column text
	for round := range 20 {
		column.Reset()
		var want proto.ColStr
		for range random.IntN(3000) {
			s := strings.Repeat("x", random.IntN(200))
			if random.IntN(500) == 0 {
				s = strings.Repeat("y", random.IntN(3*textPiece))
			}
			column.add(s)
			want.Append(s)
		}
		var encoded, wanted proto.Buffer
		column.EncodeColumn(&encoded)
		want.EncodeColumn(&wanted)
		var written bytes.Buffer
		w := proto.NewWriter(&written, new(proto.Buffer))
		column.WriteColumn(w)
		if _, err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded.Buf, wanted.Buf) || !bytes.Equal(written.Bytes(), wanted.Buf) {
			t.Fatalf("round %d: the bytes are not those of ch-go", round)
		}
		if column.size() != len(wanted.Buf) || column.Rows() != want.Rows() {
			t.Fatalf("round %d: %d bytes and %d rows, want %d and %d", round, column.size(), column.Rows(), len(wanted.Buf), want.Rows())
		}
		for i, value := range column.values() {
			if string(value) != want.Row(i) {
				t.Fatalf("round %d: value %d is not what was added", round, i)
			}
		}
	}
}

// TestCompression: blocks go to another machine compressed, and as they are within this one.
func TestCompression(t *testing.T) {
	for addr, compressed := range map[string]bool{
		"127.0.0.1:9000": false, "[::1]:9000": false, "localhost:9000": false, "clickhouse:9000": true, "10.0.0.1:9000": true,
		"[2001:db8::1]:9440": true,
	} {
		if got := compression(addr) != ch.CompressionDisabled; got != compressed {
			t.Errorf("%s is compressed: %v, want %v", addr, got, compressed)
		}
	}
}
