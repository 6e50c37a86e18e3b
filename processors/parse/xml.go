package parse

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"golang.org/x/net/html/charset"
)

// newXML returns a decoder that reads a document element by element, in any charset that its declaration names. It does
// not expand entities that a document declares itself: those are refused.
func newXML(b []byte) *xml.Decoder {
	d := xml.NewDecoder(xmlReader(b))
	d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		if strings.HasPrefix(strings.ToLower(label), "utf-16") { // made UTF-8 by the frame
			return r, nil
		}
		return charset.NewReaderLabel(label, r)
	}
	return d
}

// xmlReader reads a document that is declared to be XML 1.1 as XML 1.0, the only version that encoding/xml takes: they
// differ in which control characters and line ends they allow. Java's writers, Jenkins' among them, declare 1.1.
func xmlReader(b []byte) io.Reader {
	const version = "1.1"
	head, _, ok := bytes.Cut(b[:min(len(b), 100)], []byte(version))
	if !ok || !bytes.HasPrefix(head, []byte("<?xml")) || bytes.Contains(head, []byte("?>")) {
		return bytes.NewReader(b)
	}
	return io.MultiReader(bytes.NewReader(head), strings.NewReader("1.0"), bytes.NewReader(b[len(head)+len(version):]))
}

// xmlText returns the document's text from offset start to where the decoder is: an event's raw is its part of the
// document. A document in another charset than UTF-8 has other offsets than its decoder; its parts have no text.
func xmlText(b []byte, d *xml.Decoder, start int64) string {
	end := d.InputOffset()
	if start < 0 || start > end || end > int64(len(b)) || !isUTF8(b) {
		return ""
	}
	return alias(b[start:end])
}

// isUTF8 reports whether an XML document is declared to be in UTF-8, or in nothing else.
func isUTF8(b []byte) bool {
	head, _, _ := bytes.Cut(b[:min(len(b), 200)], []byte("?>"))
	_, label, ok := strings.Cut(strings.ToLower(string(head)), "encoding")
	return !ok || strings.Contains(label, "utf") || strings.Contains(label, "ascii")
}

// xmlError says in a user's words, and at which line, what the XML decoder found. Its own texts quote the input, which may
// hold a secret.
func xmlError(err error) error {
	var syntax *xml.SyntaxError
	if !errors.As(err, &syntax) {
		return errors.New("not well-formed XML, or in an encoding that is not known")
	}
	reason := errors.New("not well-formed XML")
	if strings.Contains(syntax.Msg, "unexpected EOF") {
		reason = errors.New("XML ends within an element")
	}
	return &lineError{line: max(syntax.Line-1, 0), err: reason}
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

// walkXML calls f with every element of a document from outside inwards, until it returns an error. f may decode the
// element, whose content is then not walked; at is where the element begins.
func walkXML(in *Input, f func(d *xml.Decoder, e *xml.StartElement, at int64) error) error {
	d := newXML(in.Data)
	for elements := 0; ; {
		at := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if elements == 0 {
				return errors.New("XML without an element")
			}
			return nil
		}
		if err != nil {
			return xmlError(err)
		}
		if e, ok := t.(xml.StartElement); ok {
			elements++
			if err := f(d, &e, at); err != nil {
				return err
			}
		}
	}
}

// decodeXML reads the element that begins with e into v.
func decodeXML(d *xml.Decoder, e *xml.StartElement, v any) error {
	if err := d.DecodeElement(v, e); err != nil {
		return xmlError(err)
	}
	return nil
}

// xmlSkip passes over the element whose start was read last.
func xmlSkip(d *xml.Decoder) error {
	if err := d.Skip(); err != nil {
		return xmlError(err)
	}
	return nil
}
