package parse

import "github.com/tocsin-project/tocsin/pipeline"

// within appends the events of a payload that stands within the piece, at that line, under the name of its own format. It
// returns how many they are: none where the format cannot read all of it, which leaves nothing behind.
func (o *Out) within(f *Format, line int, record *pipeline.Record, data []byte) int {
	before, outer, piece := len(o.batch.Events), o.format, o.piece
	o.format = f
	failed := false
	eachPiece(f, data, func(b []byte) {
		inner := Input{Data: b, Line: line, Record: record}
		o.piece = &inner
		failed = f.Parse(&inner, o) != nil || failed
	})
	o.format, o.piece = outer, piece
	if failed {
		o.batch.Events = o.batch.Events[:before]
		o.named = o.named[:before-o.first]
	}
	return len(o.batch.Events) - before
}

// eachPiece cuts data as a format's frame says.
func eachPiece(f *Format, data []byte, do func(b []byte)) {
	switch {
	case f.Frame == Lines:
		for rest := data; len(rest) > 0; {
			var l []byte
			if l, rest = cutLine(rest); skipSpace(l) < len(l) {
				do(l)
			}
		}
	case f.Frame == Values || f.Frame == Reports && isJSON(data):
		for pos := skipSpace(data); pos < len(data); pos += skipSpace(data[pos:]) {
			end, err := valueEnd(data[pos:])
			if err != nil {
				end = len(data) - pos
			}
			do(data[pos : pos+end])
			pos += end
		}
	default:
		do(data)
	}
}
