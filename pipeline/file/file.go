// Package file reads records from files and standard input, for `tocsin parse`, `tocsin replay` and tests. A file is one
// record as long as it is small enough to be a document; a longer one is a log, and is cut at line ends.
package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// documentBytes is the size up to which a file is handed on as one record. chunkBytes is the size of the pieces of a longer
// one; a line is never cut.
const (
	documentBytes = 32 << 20
	chunkBytes    = 4 << 20
)

// Read reads r as records of the topic name that arrived at the given time, and calls f with each in a batch of its own,
// and with the number of lines before it. It stops at the first error.
func Read(r io.Reader, name string, arrival time.Time, f func(b *pipeline.Batch, linesBefore int) error) error {
	br := bufio.NewReaderSize(r, 1<<20)
	head, err := io.ReadAll(io.LimitReader(br, documentBytes+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	batch := func(offset int64, value []byte) *pipeline.Batch {
		return &pipeline.Batch{
			TopicPartition: pipeline.TopicPartition{Topic: name},
			Records:        []pipeline.Record{{Offset: offset, Time: arrival, Value: value}},
		}
	}
	if len(head) <= documentBytes {
		return f(batch(0, head), 0)
	}
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), br), 1<<20)
	for offset, lines := int64(0), 0; ; offset++ {
		chunk := make([]byte, chunkBytes)
		n, err := io.ReadFull(in, chunk)
		chunk = chunk[:n]
		if err == nil {
			var rest []byte
			rest, err = in.ReadBytes('\n')
			chunk = append(chunk, rest...)
		}
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if len(chunk) > 0 {
			if err := f(batch(offset, chunk), lines); err != nil {
				return err
			}
			lines += bytes.Count(chunk, []byte{'\n'})
		}
		if ended {
			return nil
		}
	}
}
