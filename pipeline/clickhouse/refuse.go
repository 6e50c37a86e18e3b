package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"

	"github.com/tocsin-project/tocsin/pipeline"
)

// maxRefused is how many rows of one chunk the server may refuse. Where it refuses more, it is the table that must be
// mended, and its topic is not drained into the dead letters.
const maxRefused = 128

// refuse finds the rows of the open chunk that the server refuses, takes them out and returns them as dead letters. It
// returns nil when it refuses none of them: then it is the table that is at fault, or a view of it.
//
// Rows are tried on a temporary table that has the columns and constraints of the sink's and stores nothing. So no half of
// a chunk is ever stored, and what is left goes out as one block under the chunk's own token: whether a replay finds the same rows
// guilty, others or none, the token has the first word.
func (s *sink[R]) refuse(ctx context.Context, c pipeline.Chunk) (*pipeline.Refused, error) {
	rows := s.kept
	if rows == nil {
		rows = make([]int, s.open.rows)
		for i := range rows {
			rows[i] = i
		}
	}
	refused := &pipeline.Refused{}
	var kept []int
	var try func(rows []int) error
	try = func(rows []int) error {
		err := s.probe(ctx, rows)
		switch {
		case err == nil:
			kept = append(kept, rows...)
			return nil
		case Classify(err) != Isolate:
			return fmt.Errorf("look for the refused rows: %w", err)
		case len(rows) == 1:
			if len(refused.Letters) == maxRefused {
				return fmt.Errorf("more than %d of %d rows are refused, which calls for a look at the table, the last: %w", maxRefused, s.open.rows, &halt{err})
			}
			refused.Letters = append(refused.Letters, s.letter(c, rows[0], err))
			return nil
		}
		if err := try(rows[:len(rows)/2]); err != nil {
			return err
		}
		return try(rows[len(rows)/2:])
	}
	if err := try(rows); err != nil {
		return nil, err
	}
	if len(refused.Letters) == 0 {
		return nil, nil
	}
	if kept == nil {
		kept = []int{} // nil would be all
	}
	s.kept = kept
	return refused, nil
}

// halt is an error that no longer calls for what its cause does.
type halt struct{ cause error }

func (h *halt) Error() string { return h.cause.Error() }

// probe asks the server whether it would take those rows, and stores nothing.
func (s *sink[R]) probe(ctx context.Context, rows []int) error {
	name := s.table.name + "_probe"
	input := s.open.pick(rows)
	return s.db.insert(ctx,
		ch.Query{Body: "CREATE OR REPLACE TEMPORARY TABLE " + name + " ENGINE = Null AS " + s.table.name},
		ch.Query{Body: input.Into(name), Input: input})
}

// refusedSeq is where the numbers of refused rows begin among a record's dead letters: behind all that parsing it can give.
const refusedSeq = 1 << 31

// letter is the dead letter of a row that the server refused with err.
func (s *sink[R]) letter(c pipeline.Chunk, row int, err error) pipeline.DeadLetter {
	from := s.open.origins[row]
	nth := uint32(0)
	for i := row - 1; i >= 0 && s.open.origins[i].offset == from.offset; i-- {
		nth++
	}
	code, message := Code(err)
	d := pipeline.DeadLetter{
		Topic: c.Topic, Partition: c.Partition, Offset: from.offset, Seq: refusedSeq + nth, Time: time.UnixMilli(from.millis).UTC(),
		Stage: "sink", Reason: message, Column: refusedColumn(message), Code: code,
	}
	if s.content != nil {
		d.Source, d.Data = s.content(s.open, row)
	}
	return d
}

// namedColumn finds the column in what ClickHouse says against a row.
var namedColumn = regexp.MustCompile("(?:Column values: |while converting source column |[Cc]olumn )[`']?([A-Za-z_][A-Za-z0-9_]*)")

// refusedColumn returns the name of the column that a message of ClickHouse is about, or "".
func refusedColumn(message string) string {
	if _, values, ok := strings.Cut(message, "Column values: "); ok {
		message = "Column values: " + values
	}
	if m := namedColumn.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}
