package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/ClickHouse/ch-go/proto"
)

// sink takes what peers write, on loopback, and only counts it:
//
//	POST /lines    JSON lines; the last one may lack its end
//	POST /metrics  Telegraf's batches
//	POST /         as ClickHouse's HTTP interface takes what the Collector's exporter inserts; rows of the table alerts are alerts
//	TCP            JSON lines
type sink struct {
	HTTP, TCP    string // host:port
	rows, alerts atomic.Int64

	web   *http.Server
	lines net.Listener
}

func openSink() (*sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &sink{HTTP: listener.Addr().String(), TCP: lines.Addr().String(), lines: lines}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /lines", s.takeLines)
	mux.HandleFunc("POST /metrics", s.takeMetrics)
	mux.HandleFunc("/", s.takeInserts)
	s.web = &http.Server{Handler: mux}
	go func() { _ = s.web.Serve(listener) }() // until Close
	go s.accept()
	return s, nil
}

// Close ends both servers; connections over TCP end when the peer does.
func (s *sink) Close() error { return errors.Join(s.web.Close(), s.lines.Close()) }

func (s *sink) accept() {
	for {
		c, err := s.lines.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for b := make([]byte, 256<<10); ; {
				n, err := c.Read(b)
				s.rows.Add(int64(bytes.Count(b[:n], []byte{'\n'})))
				if err != nil {
					return
				}
			}
		}()
	}
}

func (s *sink) takeLines(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		return
	}
	n := bytes.Count(body, []byte{'\n'})
	if body[len(body)-1] != '\n' {
		n++
	}
	s.rows.Add(int64(n))
}

func (s *sink) takeMetrics(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		s.rows.Add(int64(bytes.Count(body, []byte(`"name":"kafka_consumer"`))))
	}
}

// revision is of ClickHouse's protocol: the first with which the exporter's client inserts.
const revision = 54460

// takeInserts answers what the client asks before its first insert, and counts the rows of each block that it sends.
func (s *sink) takeInserts(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	query := r.URL.Query().Get("query")
	if query == "" {
		query, body = string(body), nil
	}
	switch {
	case strings.HasPrefix(query, "SELECT displayName()"):
		number := new(proto.ColUInt32)
		number.Append(revision)
		answer(w, []string{"displayName()", "version()", "revision()", "timezone()"}, []proto.Column{texts("counting"), texts("25.3.1.1"), number, texts("UTC")})
	case strings.HasPrefix(query, "DESC"):
		var names, types, none []string
		for _, c := range exporterColumns {
			names, types, none = append(names, c[0]), append(types, c[1]), append(none, "")
		}
		answer(w, []string{"name", "type", "default_type", "default_expression", "comment", "codec_expression", "ttl_expression"},
			[]proto.Column{texts(names...), texts(types...), texts(none...), texts(none...), texts(none...), texts(none...), texts(none...)})
	case len(body) > 0: // a block in the format Native: the number of columns, then that of rows
		_, n := binary.Uvarint(body)
		rows, _ := binary.Uvarint(body[n:])
		if strings.Contains(query, "alerts") {
			s.alerts.Add(int64(rows))
		} else {
			s.rows.Add(int64(rows))
		}
	}
}

// exporterColumns are those of the table that the exporter makes for logs.
var exporterColumns = [][2]string{
	{"Timestamp", "DateTime64(9)"}, {"TraceId", "String"}, {"SpanId", "String"}, {"TraceFlags", "UInt8"}, {"SeverityText", "LowCardinality(String)"},
	{"SeverityNumber", "UInt8"}, {"ServiceName", "LowCardinality(String)"}, {"Body", "String"}, {"ResourceSchemaUrl", "LowCardinality(String)"},
	{"ResourceAttributes", "Map(LowCardinality(String), String)"}, {"ScopeSchemaUrl", "LowCardinality(String)"}, {"ScopeName", "String"},
	{"ScopeVersion", "LowCardinality(String)"}, {"ScopeAttributes", "Map(LowCardinality(String), String)"},
	{"LogAttributes", "Map(LowCardinality(String), String)"}, {"EventName", "String"},
}

func texts(values ...string) *proto.ColStr {
	c := new(proto.ColStr)
	c.AppendArr(values)
	return c
}

func answer(w http.ResponseWriter, names []string, columns []proto.Column) {
	var in proto.Input
	for i, name := range names {
		in = append(in, proto.InputColumn{Name: name, Data: columns[i]})
	}
	block := proto.Block{Rows: columns[0].Rows(), Columns: len(in), Info: proto.BlockInfo{BucketNum: -1}}
	var b proto.Buffer
	if err := block.EncodeBlock(&b, revision, in); err != nil {
		panic("BUG: " + err.Error())
	}
	_, _ = w.Write(b.Buf) // a client that is gone asks again
}
