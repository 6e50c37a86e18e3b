package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// iperf reads iperf3's report (--json): throughput of a path, and its round trip (TCP) or jitter and loss (UDP). Each is an
// event of its own, with the test's id. A test that could not run is one event that failed.
// https://software.es.net/iperf/
var iperf = Format{
	Name: "iperf3", Title: "iperf3 report (--json)", Phase: pipeline.PhasePackaging,
	Types: []string{"netprobe.finished"},
	Known: "JSON object with start, intervals and end, whose start says iperf",
	Frame: Values,
	Match: func(s *Shape) bool { return s.Has("start") && s.Has("intervals") && s.Has("end") && !s.Has("runs") },
	Parse: parseIperf,
}

type iperfSum struct {
	BitsPerSecond Number `json:"bits_per_second"`
	Bytes         Number `json:"bytes"`
	JitterMS      Number `json:"jitter_ms"`
	LostPercent   Number `json:"lost_percent"`
}

func parseIperf(in *Input, out *Out) error {
	var r struct {
		Title string `json:"title"`
		Start struct {
			Connected []struct {
				LocalHost  string `json:"local_host"`
				RemoteHost string `json:"remote_host"`
			} `json:"connected"`
			Version   string `json:"version"`
			System    string `json:"system_info"`
			Timestamp struct {
				Seconds int `json:"timesecs"`
			} `json:"timestamp"`
			ConnectingTo struct {
				Host string `json:"host"`
				Port int    `json:"port"`
			} `json:"connecting_to"`
			Cookie string `json:"cookie"`
			Test   struct {
				Protocol string `json:"protocol"`
				Reverse  int    `json:"reverse"`
			} `json:"test_start"`
		} `json:"start"`
		End struct {
			Streams []struct {
				Sender struct {
					MeanRTT Number `json:"mean_rtt"` // microseconds
				} `json:"sender"`
			} `json:"streams"`
			Sum         *iperfSum `json:"sum"`
			SumReceived *iperfSum `json:"sum_received"`
		} `json:"end"`
		Error string `json:"error"`
	}
	if err := decode(in.Data, &r); err != nil {
		return err
	}
	if !strings.HasPrefix(r.Start.Version, "iperf") {
		return errors.New("no report of iperf3: start.version does not say so")
	}
	at := time.Time{}
	if r.Start.Timestamp.Seconds > 0 {
		at = time.Unix(int64(r.Start.Timestamp.Seconds), 0).UTC()
	}
	p := probe{out: out, tool: "iperf3", at: at, to: r.Start.ConnectingTo.Host, protocol: strings.ToLower(r.Start.Test.Protocol), id: r.Start.Cookie, raw: in.Text()}
	if len(r.Start.Connected) > 0 {
		p.source, p.destination = r.Start.Connected[0].LocalHost, r.Start.Connected[0].RemoteHost
	}
	// system_info is uname's line: the second word is the host.
	if words := strings.Fields(r.Start.System); len(words) > 1 {
		p.host = strings.ToLower(words[1])
	}
	if r.Error != "" {
		p.failed(r.Error)
		return nil
	}
	sum := r.End.SumReceived
	if sum == nil || sum.Bytes == 0 && r.End.Sum != nil {
		sum = r.End.Sum
	}
	if sum == nil {
		return errors.New("report of iperf3 without sums and without an error")
	}
	p.result("net.throughput_bps", sum.BitsPerSecond.Or(0), "bit/s")
	if p.protocol == "udp" {
		p.result("net.loss_ratio", sum.LostPercent.Or(0)/100, "of the packets lost")
		p.result("net.jitter_ms", sum.JitterMS.Or(0), "ms jitter")
	} else if len(r.End.Streams) > 0 && r.End.Streams[0].Sender.MeanRTT > 0 {
		p.result("net.rtt_ms", float64(r.End.Streams[0].Sender.MeanRTT)/1000, "ms round trip")
	}
	return nil
}

// ping reads the summary of ping (iputils, BusyBox, BSD and macOS): loss, and the mean round trip where anything came back.
// https://man7.org/linux/man-pages/man8/ping.8.html
var ping = Format{
	Name: "ping", Title: "ping's output", Phase: pipeline.PhasePackaging,
	Types: []string{"netprobe.finished"},
	Known: "text that begins with \"PING \" and a host",
	Frame: Document,
	Match: func(s *Shape) bool {
		return s.Begins("PING ", "PING6(") && strings.Contains(s.Line(), "bytes")
	},
	Parse: parsePing,
}

func parsePing(in *Input, out *Out) error {
	p := probe{out: out, tool: "ping", protocol: "icmp", raw: in.Text()}
	loss, rtt := -1.0, -1.0
	for line := range strings.Lines(in.Text()) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "PING"):
			p.to, p.destination = pingTarget(line)
		case strings.Contains(line, "% packet loss"):
			before, _, _ := strings.Cut(line, "% packet loss")
			loss = pingNumber(before[strings.LastIndexAny(before, " \t")+1:]) / 100
		case strings.HasPrefix(line, "rtt min/avg/max") || strings.HasPrefix(line, "round-trip min/avg/max"):
			_, values, _ := strings.Cut(line, "= ")
			if parts := strings.Split(values, "/"); len(parts) > 2 {
				rtt = pingNumber(parts[1])
			}
		}
	}
	switch {
	case loss < 0:
		return errors.New("output of ping without its statistics")
	case loss == 1:
		p.failed("nothing came back")
	}
	p.result("net.loss_ratio", loss, "of the packets lost")
	if rtt >= 0 {
		p.result("net.rtt_ms", rtt, "ms round trip")
	}
	return nil
}

// pingTarget reads "PING host (address) 56(84) bytes of data." and its kin.
func pingTarget(line string) (host, address string) {
	if _, arrow, ok := strings.Cut(line, "--> "); ok { // PING6(56=40+8+8 bytes) ::1 --> ::1
		host, _, _ = strings.Cut(arrow, " ")
		return host, host
	}
	host, rest, _ := strings.Cut(strings.TrimPrefix(line, "PING "), "(")
	address, _, _ = strings.Cut(rest, ")")
	host, _, _ = strings.Cut(strings.TrimSpace(host), " ")
	if strings.IndexFunc(address, func(r rune) bool { return r != '.' && r != ':' && !strings.ContainsRune("0123456789abcdefABCDEF", r) }) >= 0 {
		address = ""
	}
	return host, first(address, host)
}

// pingNumber reads a number, -1 where it is none.
func pingNumber(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 {
		return -1
	}
	return v
}

// probe gives an event for each result of one measurement of a path.
type probe struct {
	out                               *Out
	tool, id, host, to, protocol, raw string
	source, destination               string
	at                                time.Time
	written                           bool
}

func (p *probe) event() *pipeline.Event {
	e := p.out.Event("netprobe.finished")
	e.Severity, e.Outcome, e.Time = pipeline.SeverityInfo, pipeline.OutcomeSuccess, p.at
	e.Host = p.host
	e.SrcIP, e.DstIP = addrOf(p.source), addrOf(p.destination)
	if !addrOf(p.to).IsValid() {
		e.DstDomain = hostOf(p.to)
	}
	e.SetAttr("tool", p.tool)
	e.SetAttr("network.transport", p.protocol)
	e.SetAttr("probe.id", p.id)
	e.SetAttr("server.address", p.to)
	e.Raw = ""
	if !p.written {
		e.Raw, p.written = p.raw, true
	}
	return e
}

func (p *probe) result(metric string, value float64, unit string) {
	e := p.event()
	e.Metric, e.Value = metric, value
	e.Title = p.tool + " to " + first(p.to, p.destination, "a peer") + ": " + strconv.FormatFloat(value, 'g', 6, 64) + " " + unit
}

func (p *probe) failed(why string) {
	e := p.event()
	e.Severity, e.Outcome = pipeline.SeverityLow, pipeline.OutcomeFailure
	e.Metric, e.Value = "net.reachable", 0
	e.Title = p.tool + " to " + first(p.to, p.destination, "a peer") + " failed: " + why
}
