package parse

import (
	"errors"
	"strings"
)

func matchAccessJSON(s *Shape) bool {
	return s.Has("RequestMethod", "DownstreamStatus") || s.Has("ClientAddr", "RequestHost") || // Traefik
		(s.Has("remote_addr") || s.Has("remote_ip") || s.Has("clientip") || s.Has("client_ip") || s.Has("remoteIP")) &&
			(s.Has("status") || s.Has("response") || s.Has("status_code")) ||
		s.Has("request", "status", "size") || // Caddy
		s.Has("response_code", "method", "path") // Envoy
}

// webRecord has the keys that people and programs give to requests.
type webRecord struct {
	Time        Text `json:"time"`
	TimeISO     Text `json:"time_iso8601"`
	TimeLocal   Text `json:"time_local"`
	Timestamp   Text `json:"@timestamp"`
	Stamp       Text `json:"timestamp"`
	MSec        Text `json:"msec"`
	TS          Text `json:"ts"`
	Start       Text `json:"start_time"`
	Client      Text `json:"remote_addr"`
	RemoteIP    Text `json:"remote_ip"`
	RemoteIP2   Text `json:"remoteIP"`
	ClientIP    Text `json:"clientip"`
	ClientIP2   Text `json:"client_ip"`
	Downstream  Text `json:"downstream_remote_address"`
	Forwarded   Text `json:"x_forwarded_for"`
	User        Text `json:"remote_user"`
	User2       Text `json:"user"`
	UserID      Text `json:"user_id"`
	Auth        Text `json:"auth"`
	Method      Text `json:"request_method"`
	Method2     Text `json:"method"`
	Verb        Text `json:"verb"`
	URI         Text `json:"request_uri"`
	URI2        Text `json:"uri"`
	URL         Text `json:"url"`
	Path        Text `json:"path"`
	Protocol    Text `json:"server_protocol"`
	Protocol2   Text `json:"protocol"`
	Status      Text `json:"status"`
	StatusCode  Text `json:"status_code"`
	Response    Text `json:"response"`
	ResponseNo  Text `json:"response_code"`
	Bytes       Text `json:"body_bytes_sent"`
	Bytes2      Text `json:"bytes_sent"`
	Bytes3      Text `json:"bytes"`
	Size        Text `json:"size"`
	Agent       Text `json:"http_user_agent"`
	Agent2      Text `json:"user_agent"`
	Agent3      Text `json:"agent"`
	Referer     Text `json:"http_referer"`
	Referer2    Text `json:"referer"`
	Referer3    Text `json:"referrer"`
	Host        Text `json:"http_host"`
	Host2       Text `json:"host"`
	ServerName  Text `json:"server_name"`
	Authority   Text `json:"authority"`
	RequestTime Text `json:"request_time"`
	Duration    Text `json:"duration"`
	Upstream    Text `json:"upstream_addr"`
	Upstream2   Text `json:"upstream_host"`
	Level       Text `json:"level"`

	// Request is the request line, or Caddy's object.
	Request webRequest `json:"request"`

	// Traefik
	TClient   Text `json:"ClientHost"`
	TUser     Text `json:"ClientUsername"`
	TMethod   Text `json:"RequestMethod"`
	TPath     Text `json:"RequestPath"`
	THost     Text `json:"RequestHost"`
	TProtocol Text `json:"RequestProtocol"`
	TStatus   Text `json:"DownstreamStatus"`
	TSize     Text `json:"DownstreamContentSize"`
	TStart    Text `json:"StartUTC"`
	TService  Text `json:"ServiceName"`
	TRouter   Text `json:"RouterName"`
	TBackend  Text `json:"ServiceAddr"`
	TAgent    Text `json:"request_User-Agent"`
	TReferer  Text `json:"request_Referer"`
}

// webRequest is a request as one line of text, or as an object.
type webRequest struct {
	Line     string
	RemoteIP Text `json:"remote_ip"`
	Remote   Text `json:"remote_addr"`
	ClientIP Text `json:"client_ip"`
	Proto    Text `json:"proto"`
	Method   Text `json:"method"`
	Host     Text `json:"host"`
	URI      Text `json:"uri"`
	Headers  struct {
		Agent   Strings `json:"User-Agent"`
		Referer Strings `json:"Referer"`
	} `json:"headers"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *webRequest) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type object webRequest
		return decode(b, (*object)(r))
	}
	var t Text
	err := t.UnmarshalJSON(b)
	r.Line = string(t)
	return err
}

func parseAccessJSON(in *Input, out *Out) error {
	if in.Data[0] == '[' {
		return eachElement(in, out, in.Data, func(b []byte) error { return accessJSON(b, out) })
	}
	return accessJSON(in.Data, out)
}

func accessJSON(b []byte, out *Out) error {
	v := scratch[webRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	q := &v.Request
	r := accessRecord{
		vhost:    said(v.THost, q.Host, v.Host, v.Authority, v.Host2, v.ServerName),
		client:   said(v.TClient, q.ClientIP, q.RemoteIP, q.Remote, v.Client, v.RemoteIP, v.RemoteIP2, v.ClientIP, v.ClientIP2, v.Downstream, v.Forwarded),
		user:     said(v.TUser, v.User, v.UserID, v.Auth, v.User2),
		request:  q.Line,
		method:   said(v.TMethod, q.Method, v.Method, v.Method2, v.Verb),
		target:   said(v.TPath, q.URI, v.URI, v.URI2, v.Path, v.URL),
		protocol: said(v.TProtocol, q.Proto, v.Protocol, v.Protocol2),
		status:   first(statusText(v.TStatus), statusText(v.Status), statusText(v.StatusCode), statusText(v.ResponseNo), statusText(v.Response)),
		bytes:    said(v.TSize, v.Bytes, v.Bytes2, v.Size, v.Bytes3),
		referer:  said(v.TReferer, v.Referer, v.Referer2, v.Referer3),
		agent:    said(v.TAgent, v.Agent, v.Agent2, v.Agent3),
		upstream: said(v.TBackend, v.Upstream, v.Upstream2),
	}
	if len(q.Headers.Agent) > 0 {
		r.agent = q.Headers.Agent[0]
	}
	if len(q.Headers.Referer) > 0 {
		r.referer = q.Headers.Referer[0]
	}
	if r.status == "" && r.method == "" && r.request == "" {
		return errors.New("access-log: JSON without a request")
	}
	stamp := said(v.TStart, v.TimeISO, v.Start, v.Timestamp, v.MSec, v.TS, v.Time, v.Stamp, v.TimeLocal)
	var ok bool
	if r.time, ok = clfTime(strings.Trim(stamp, "[]")); !ok {
		r.time = parseTime(stamp)
	}
	r.title = strings.TrimSpace(out.join(first(strings.TrimSpace(out.join(r.method, " ", r.target)), r.request), " ", r.status))
	e := r.event(out)
	e.Raw = alias(b)
	e.Service = string(v.TService)
	e.SetAttr("traefik.router", string(v.TRouter))
	e.SetAttr("http.request.header.x-forwarded-for", dash(string(v.Forwarded)))
	e.SetAttr("http.duration_seconds", said(v.RequestTime, v.Duration))
	return nil
}
