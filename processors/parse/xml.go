package parse

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"golang.org/x/net/html/charset"
)

// xmlReader reads XML element by element and knows where it is, so that an event's raw can be its part of the document.
// It does not expand entities that a document declares itself: those are refused.
type xmlReader struct {
	*xml.Decoder
	data []byte // the document in UTF-8
}

// newXML returns a reader of a document in any charset that its declaration names.
func newXML(b []byte) (*xmlReader, error) {
	if label := xmlEncoding(b); label != "" && !strings.HasPrefix(label, "utf") && label != "us-ascii" {
		r, err := charset.NewReaderLabel(label, bytes.NewReader(b))
		if err != nil {
			return nil, errors.New("XML in an encoding that is not known")
		}
		if b, err = io.ReadAll(r); err != nil {
			return nil, errors.New("XML is not in the encoding that it declares")
		}
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // done above, or by the frame
	return &xmlReader{d, b}, nil
}

// xmlEncoding returns the encoding of the XML declaration in lower case, "" where there is none.
func xmlEncoding(b []byte) string {
	b = b[skipSpace(b):]
	if !bytes.HasPrefix(b, []byte("<?xml")) {
		return ""
	}
	head, _, _ := bytes.Cut(b[:min(len(b), 200)], []byte("?>"))
	_, rest, ok := strings.Cut(string(head), "encoding")
	if !ok {
		return ""
	}
	rest = strings.TrimLeft(rest, " \t\r\n=")
	if rest == "" {
		return ""
	}
	label, _, _ := strings.Cut(rest[1:], rest[:1])
	return strings.ToLower(strings.TrimSpace(label))
}

// text returns the document from offset start to where the reader is.
func (x *xmlReader) text(start int64) string { return alias(x.data[start:x.InputOffset()]) }

// fail says in a user's words, and at which line, what the XML parser found. Its own texts quote the input.
func (x *xmlReader) fail(err error) error {
	line, _ := x.InputPos()
	reason := errors.New("not well-formed XML")
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		line = syntax.Line
		if strings.Contains(syntax.Msg, "unexpected EOF") {
			reason = errors.New("XML ends within an element")
		}
	}
	return &lineError{line: max(line-1, 0), err: reason}
}

// xmlAttr returns an attribute of an element by its local name, "" where there is none.
func xmlAttr(e *xml.StartElement, name string) string {
	for i := range e.Attr {
		if e.Attr[i].Name.Local == name {
			return e.Attr[i].Value
		}
	}
	return ""
}
