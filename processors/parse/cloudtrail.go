package parse

import (
	"bytes"
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// cloudTrail reads AWS CloudTrail: files with a Records array, records in lines, and the envelopes of EventBridge and
// CloudTrail Lake.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
var cloudTrail = Format{
	Name: "cloudtrail", Title: "AWS CloudTrail", Phase: pipeline.PhaseOperation,
	Types: []string{"api.call", "auth.success", "auth.failed", "user.modified", "log.cleared"},
	Known: "JSON with eventSource, eventName and awsRegion or userIdentity, alone, in Records or in detail",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		if records := s.Raw("Records"); len(records) > 0 && records[0] == '[' {
			inner := records[1:]
			inner = inner[skipSpace(inner):]
			return member(inner, "eventSource") != nil && member(inner, "eventName") != nil && member(inner, "s3") == nil
		}
		if events := s.Raw("logEvents"); events != nil { // a subscription of CloudWatch Logs
			return bytes.Contains(events, []byte(`\"eventSource\"`)) && bytes.Contains(events, []byte(`\"awsRegion\"`))
		}
		return s.Has("eventSource", "eventName") && (s.Has("userIdentity") || s.Has("eventVersion")) || s.Raw("detail", "eventName") != nil ||
			s.Raw("eventData", "eventName") != nil
	},
	Parse: func(in *Input, out *Out) error {
		if records := member(in.Data, "Records"); len(records) > 0 && records[0] == '[' {
			return eachElement(in, out, records, func(b []byte) error { return cloudTrailEvent(b, out) })
		}
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return cloudTrailEvent(b, out) })
		}
		if events := member(in.Data, "logEvents"); len(events) > 0 && events[0] == '[' {
			return eachElement(in, out, events, func(b []byte) error { return cloudTrailEvent([]byte(textOf(member(b, "message"))), out) })
		}
		for _, envelope := range [...]string{"detail", "eventData"} {
			if inner := member(in.Data, envelope); len(inner) > 0 && inner[0] == '{' {
				return cloudTrailEvent(inner, out)
			}
		}
		return cloudTrailEvent(in.Data, out)
	},
}

type cloudTrailRecord struct {
	EventID   string `json:"eventID"`
	Time      string `json:"eventTime"`
	Stamp     string `json:"@timestamp"`
	Source    string `json:"eventSource"`
	Name      string `json:"eventName"`
	Region    string `json:"awsRegion"`
	SourceIP  string `json:"sourceIPAddress"`
	Agent     string `json:"userAgent"`
	ErrorCode string `json:"errorCode"`
	Error     string `json:"errorMessage"`
	ReadOnly  Text   `json:"readOnly"`
	RequestID string `json:"requestID"`
	Type      string `json:"eventType"`
	Account   string `json:"recipientAccountId"`
	User      struct {
		Type      string `json:"type"`
		Principal string `json:"principalId"`
		ARN       string `json:"arn"`
		Account   string `json:"accountId"`
		KeyID     string `json:"accessKeyId"`
		Name      string `json:"userName"`
		InvokedBy string `json:"invokedBy"`
		Session   struct {
			Issuer struct {
				Name string `json:"userName"`
				ARN  string `json:"arn"`
			} `json:"sessionIssuer"`
			Attributes struct {
				MFA Text `json:"mfaAuthenticated"`
			} `json:"attributes"`
		} `json:"sessionContext"`
	} `json:"userIdentity"`
	Request  cloudTrailRequest  `json:"requestParameters"`
	Response cloudTrailResponse `json:"responseElements"`
	More     struct {
		MFA Text `json:"MFAUsed"`
	} `json:"additionalEventData"`
}

// cloudTrailRequest has the parameters that say what a call is about, whatever the service.
type cloudTrailRequest struct {
	Bucket   Text `json:"bucketName"`
	Key      Text `json:"key"`
	UserName Text `json:"userName"`
	RoleARN  Text `json:"roleArn"`
	RoleName Text `json:"roleName"`
	Policy   Text `json:"policyArn"`
	Instance Text `json:"instanceId"`
	Trail    Text `json:"name"`
	Group    Text `json:"groupId"`
	Database Text `json:"dBInstanceIdentifier"`
}

// UnmarshalJSON implements json.Unmarshaler: some services write text there.
func (r *cloudTrailRequest) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type object cloudTrailRequest
	return decode(b, (*object)(r))
}

type cloudTrailResponse struct {
	Login     Text `json:"ConsoleLogin"`
	AccessKey struct {
		ID     Text `json:"accessKeyId"`
		Secret Text `json:"secretAccessKey"`
	} `json:"accessKey"`
	Credentials struct {
		ID     Text `json:"accessKeyId"`
		Secret Text `json:"secretAccessKey"`
		Token  Text `json:"sessionToken"`
	} `json:"credentials"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *cloudTrailResponse) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type object cloudTrailResponse
	if decode(b, (*object)(r)) != nil {
		*r = cloudTrailResponse{} // of another service, with the same names for other things
	}
	return nil
}

func cloudTrailEvent(b []byte, out *Out) error {
	v := scratch[cloudTrailRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	if v.Name == "" || v.Source == "" {
		return errors.New("cloudtrail: record without eventName or eventSource")
	}
	failed := v.ErrorCode != "" || v.Error != "" || v.Response.Login == "Failure"
	e := out.Event(v.eventType(failed))
	e.Raw, e.Severity, e.Outcome = alias(b), pipeline.SeverityInfo, pipeline.OutcomeSuccess
	if t := parseTime(first(v.Time, v.Stamp)); !t.IsZero() {
		e.Time = t
	}
	u := &v.User
	e.Actor = first(u.Name, u.Session.Issuer.Name, arnName(u.ARN), u.InvokedBy, u.Principal)
	e.Service = strings.TrimSuffix(v.Source, ".amazonaws.com")
	if e.SrcIP = addrOf(v.SourceIP); !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", v.SourceIP)
	}
	by, why := "", ""
	if e.Actor != "" {
		by = " by "
	}
	if failed {
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		why = ": "
		if strings.Contains(v.ErrorCode, "AccessDenied") || strings.Contains(v.ErrorCode, "Unauthorized") {
			e.Disposition = pipeline.DispositionUnauthorized
		}
	} else if e.Type == "log.cleared" {
		e.Severity = pipeline.SeverityHigh
	} else if u.Type == "Root" || e.Type == "user.modified" {
		e.Severity = pipeline.SeverityMedium
	}
	e.Title = out.join(e.Service, " ", v.Name, by, e.Actor, why, ifKind(failed, first(v.ErrorCode, v.Error, "failure")))
	e.SetAttr("cloud.provider", "aws")
	e.SetAttr("cloud.account.id", first(v.Account, u.Account))
	e.SetAttr("cloud.region", v.Region)
	e.SetAttr("aws.event_name", v.Name)
	e.SetAttr("aws.event_type", v.Type)
	e.SetAttr("aws.user_type", u.Type)
	e.SetAttr("aws.arn", first(u.ARN, u.Session.Issuer.ARN))
	e.SetAttr("aws.read_only", string(v.ReadOnly))
	e.SetAttr("aws.request_id", v.RequestID)
	e.SetAttr("auth.mfa", first(string(v.More.MFA), string(u.Session.Attributes.MFA)))
	e.SetAttr("credential.id", first(u.KeyID, string(v.Response.AccessKey.ID), string(v.Response.Credentials.ID)))
	e.SetAttr("error.type", v.ErrorCode)
	e.SetAttr("error.message", v.Error)
	e.SetAttr("user_agent.original", v.Agent)
	q := &v.Request
	e.SetAttr("aws.s3.bucket", string(q.Bucket))
	e.SetAttr("aws.s3.key", string(q.Key))
	e.SetAttr("aws.target", first(string(q.UserName), string(q.RoleARN), string(q.RoleName), string(q.Policy), string(q.Instance),
		string(q.Group), string(q.Database), string(q.Trail)))
	secret := out.Secret(first(string(v.Response.AccessKey.Secret), string(v.Response.Credentials.Secret)))
	e.SetAttr("credential", secret)
	out.Secret(string(v.Response.Credentials.Token))
	if v.EventID != "" {
		out.ID(e, v.EventID, v.Time, v.Name)
	}
	return nil
}

func (v *cloudTrailRecord) eventType(failed bool) string {
	switch v.Name {
	case "ConsoleLogin", "SwitchRole", "CheckMfa", "CredentialVerification":
		if failed {
			return "auth.failed"
		}
		return "auth.success"
	case "StopLogging", "DeleteTrail", "DeleteFlowLogs", "DeleteLogGroup", "DeleteDetector", "StopConfigurationRecorder":
		return "log.cleared"
	}
	if v.Source == "iam.amazonaws.com" && (v.ReadOnly == "false" || v.ReadOnly == "") {
		for _, verb := range [...]string{"Create", "Delete", "Update", "Attach", "Detach", "Put", "Add", "Remove", "Deactivate"} {
			if strings.HasPrefix(v.Name, verb) {
				return "user.modified"
			}
		}
	}
	return "api.call"
}

// arnName returns the last part of an ARN's resource: "arn:aws:sts::123:assumed-role/admin/session" is "admin/session".
func arnName(arn string) string {
	i := strings.LastIndexByte(arn, ':')
	if i < 0 {
		return ""
	}
	_, name, ok := strings.Cut(arn[i+1:], "/")
	if !ok {
		return arn[i+1:]
	}
	return name
}
