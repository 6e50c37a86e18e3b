package parse

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// vpcFlow reads flow logs of AWS VPCs (versions 2 to 8) and Transit Gateways: fields in their versions' order, or any selection
// with its header line, also inside a CloudWatch subscription's JSON.
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
// https://docs.aws.amazon.com/vpc/latest/tgw/tgw-flow-logs.html
var vpcFlow = Format{
	Name: "vpc-flow-logs", Title: "AWS VPC and Transit Gateway flow logs", Phase: pipeline.PhaseOperation,
	Types: []string{"net.flow"},
	Known: "header line with srcaddr and dstaddr, or the columns of versions 2 to 8 and of Transit Gateways in their order",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("logGroup", "logEvents") && (bytes.Contains(s.Raw("logEvents"), []byte(" eni-")) || bytes.Contains(s.Raw("logEvents"), []byte(" tgw-")))
		}
		return isVPCHeader(s.Line()) || vpcDefault(s.Line()) != nil
	},
	Parse: parseVPCFlow,
}

var (
	// vpcColumns are all fields in the order in which versions 2 to 8 brought them, which is how a log of all fields has
	// them. The default is those of version 2.
	vpcColumns = strings.Fields("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status " +
		"vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id " +
		"pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path " +
		"ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id " +
		"ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id reject-reason")
	tgwColumns = strings.Fields("version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id " +
		"tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id " +
		"tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status type " +
		"packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags region " +
		"flow-direction pkt-src-aws-service pkt-dst-aws-service")
)

func isVPCHeader(l string) bool {
	return digits(l) == 0 && strings.Contains(l, "srcaddr") && strings.Contains(l, "dstaddr") && strings.Contains(l, "start")
}

// vpcDefault returns the columns of a line that has no header before it, nil where they cannot be told.
func vpcDefault(l string) []string {
	l = strings.TrimSpace(l)
	if version := digits(l); version == 0 || version > 2 || len(l) == version || l[version] != ' ' || strings.Contains(l, "  ") {
		return nil
	}
	n := strings.Count(l, " ") + 1
	switch {
	case n <= len(vpcColumns) && isVPCStatus(wordAt(l, vpcDefaultColumns-1)):
		return vpcColumns[:n]
	case n == len(tgwColumns) && isVPCStatus(wordAt(l, 25)):
		return tgwColumns
	}
	return nil
}

const vpcDefaultColumns = 14 // of version 2

// wordAt returns the n-th word of a line, from 0.
func wordAt(l string, n int) string {
	for range n {
		_, l, _ = strings.Cut(l, " ")
	}
	return firstWord(l)
}

func isVPCStatus(s string) bool { return s == "OK" || s == "NODATA" || s == "SKIPDATA" }

func parseVPCFlow(in *Input, out *Out) error {
	if isJSON(in.Data) {
		var v struct {
			LogGroup  string `json:"logGroup"`
			LogEvents []struct {
				Message string `json:"message"`
			} `json:"logEvents"`
		}
		if err := decode(in.Data, &v); err != nil {
			return err
		}
		for i := range v.LogEvents {
			l := strings.TrimSpace(v.LogEvents[i].Message)
			if err := vpcEvent(out, l, vpcDefault(l)); err != nil {
				return err
			}
		}
		return nil
	}
	var columns []string
	eachLine(in, out, func(l string) error {
		l = strings.TrimSpace(l)
		if isVPCHeader(l) {
			columns = strings.Fields(strings.ReplaceAll(l, ",", " "))
			for i := range columns {
				columns[i] = strings.ReplaceAll(strings.Trim(columns[i], "${}"), "_", "-")
			}
			return nil
		}
		if columns == nil {
			return vpcEvent(out, l, vpcDefault(l))
		}
		return vpcEvent(out, l, columns)
	})
	return nil
}

// vpcEvent reads one line whose columns are known.
func vpcEvent(out *Out, l string, columns []string) error {
	if columns == nil {
		return errors.New("vpc-flow-logs: line without a header, and not of the default columns")
	}
	if strings.Count(l, " ")+1 != len(columns) && len(strings.Fields(l)) != len(columns) {
		return errors.New("vpc-flow-logs: line does not have the columns that its header names")
	}
	e := out.Event("net.flow")
	e.Raw, e.Severity = l, pipeline.SeverityInfo
	var src, dst, srcPort, dstPort, proto string
	var start time.Time
	rest := l
	for _, column := range columns {
		var v string
		if i := strings.IndexByte(rest, ' '); i >= 0 {
			v, rest = rest[:i], skipBlanks(rest[i:])
		} else {
			v, rest = rest, ""
		}
		if v == "-" || v == "" {
			continue
		}
		switch column {
		case "srcaddr":
			src, e.SrcIP = v, addrOf(v)
		case "dstaddr":
			dst, e.DstIP = v, addrOf(v)
		case "srcport":
			srcPort = v
			e.SetAttr("source.port", v)
		case "dstport":
			dstPort = v
			e.SetAttr("destination.port", v)
		case "protocol":
			proto = transport(v)
			e.SetAttr("network.transport", proto)
		case "bytes":
			e.Bytes = count(v)
		case "packets":
			e.SetAttr("flow.packets", v)
		case "start":
			start = parseTime(v)
		case "end":
			e.SetAttr("flow.end", v)
		case "action":
			switch e.SetAttr("vpc.action", v); v {
			case "ACCEPT":
				e.Disposition = pipeline.DispositionAllowed
			case "REJECT":
				e.Disposition = pipeline.DispositionBlocked
			}
		case "instance-id":
			e.Host = v
		case "account-id":
			e.SetAttr("cloud.account.id", v)
		case "region":
			e.SetAttr("cloud.region", v)
		case "flow-direction":
			e.SetAttr("network.direction", v)
		case "version":
			e.SetAttr("vpc.version", v)
		default:
			e.SetAttr(column, v)
		}
	}
	if e.Attr("vpc.version") == "" && start.IsZero() && src == "" {
		out.takeBack()
		return errors.New("vpc-flow-logs: line without version, start and address")
	}
	flowTime(e, start, time.Time{})
	if src != "" {
		e.Title = out.flowTitle(first(proto, "flow"), src, srcPort, dst, dstPort)
	} else {
		e.Title = out.join("flow log ", strings.ToLower(e.Attr("log-status")), " ", e.Attr("interface-id"))
	}
	return nil
}
