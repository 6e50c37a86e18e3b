package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// mongoDate is a time of MongoDB's Extended JSON: {"$date": "2026-11-23T07:01:17.280+00:00"}.
type mongoDate struct {
	Date Text `json:"$date"`
}

// mongoLog is a record of the structured log of mongod and mongos, from version 4.4 on, or of MongoDB's audit log, whose
// members begin at Action.
// https://www.mongodb.com/docs/manual/reference/log-messages/ https://www.mongodb.com/docs/manual/reference/audit-message/mongo/
type mongoLog struct {
	Time      mongoDate `json:"t"`
	Level     Text      `json:"s"`
	Component Text      `json:"c"`
	ID        Text      `json:"id"`
	Context   Text      `json:"ctx"`
	Message   Text      `json:"msg"`
	Attr      struct {
		Remote      Text   `json:"remote"`
		Client      Text   `json:"client"`
		User        Text   `json:"user"`
		Principal   Text   `json:"principalName"`
		DB          Text   `json:"db"`
		AuthDB      Text   `json:"authenticationDatabase"`
		Mechanism   Text   `json:"mechanism"`
		Speculative Text   `json:"speculative"`
		IsSpec      Text   `json:"isSpeculative"`
		Error       Text   `json:"error"`
		Namespace   Text   `json:"ns"`
		Type        Text   `json:"type"`
		Command     Text   `json:"command"`
		Millis      Number `json:"durationMillis"`
	} `json:"attr"`

	Action Text          `json:"atype"`
	At     mongoDate     `json:"ts"`
	From   mongoEndpoint `json:"remote"`
	Users  []mongoUser   `json:"users"`
	Param  struct {
		mongoUser
		Mechanism Text `json:"mechanism"`
		Command   Text `json:"command"`
		Namespace Text `json:"ns"`
	} `json:"param"`
	Result Text `json:"result"`
}

type mongoUser struct {
	User Text `json:"user"`
	DB   Text `json:"db"`
}

type mongoEndpoint struct {
	IP Text `json:"ip"`
}

// isMongo reports whether an object is a record of either log.
func isMongo(s *Shape) bool {
	return s.Has("t", "s", "c", "ctx", "msg") || s.Has("atype", "ts", "users", "result")
}

func mongoJSON(b []byte, out *Out) error {
	v := scratch[mongoLog](out)
	if err := decode(b, v); err != nil {
		return err
	}
	switch {
	case v.Action != "":
		v.audit(out, alias(b))
	case v.Message != "":
		v.message(out, alias(b))
	default:
		return errors.New("db-audit: record of MongoDB without msg or atype")
	}
	return nil
}

func (v *mongoLog) message(out *Out, raw string) {
	a := &v.Attr
	d := dbEvent{
		typ: "log", time: parseTime(string(v.Time.Date)), title: string(v.Message), session: string(v.Context),
		user: string(first(a.User, a.Principal)), database: string(first(a.DB, a.AuthDB)), address: hostOf(string(first(a.Remote, a.Client))),
		severity: mongoSeverity(string(v.Level)), outcome: pipeline.OutcomeUnknown,
	}
	switch v.ID { // ids stay the same from version to version, words do not
	case "20249", "5286307": // "Authentication failed", "Failed to authenticate"
		d.typ, d.reason = "auth.failed", string(a.Error)
	case "20250", "5286306": // "Authentication succeeded", "Successfully authenticated"
		d.typ = "auth.success"
	case "51803": // "Slow query"
		d.typ, d.class, d.severity, d.outcome = "db.statement", "slow", pipeline.SeverityLow, pipeline.OutcomeSuccess
		d.command, d.statement = string(a.Type), string(a.Command)
		d.database, d.object, _ = strings.Cut(string(a.Namespace), ".")
		d.title = "slow: " + string(a.Type) + " " + string(a.Namespace)
	case "20436": // "Checking authorization failed"
		d.typ, d.denied, d.reason = "db.statement", true, string(a.Error)
	}
	if d.typ == "auth.failed" || d.typ == "auth.success" {
		d.title += ": " + d.user
	}
	e := d.event(out, raw, "mongodb")
	if a.Speculative == "true" || a.IsSpec == "true" { // the driver's first try within its greeting; its verdict follows
		e.SetAttr("auth.evidence", "trace")
	}
	e.SetAttr("auth.method", string(a.Mechanism))
	e.SetAttr("log.level", string(v.Level))
	if d.class == "slow" {
		e.SetAttr("db.duration_seconds", a.Millis.ms())
	}
}

func (v *mongoLog) audit(out *Out, raw string) {
	d := dbEvent{
		typ: "db.statement", time: parseTime(string(v.At.Date)), address: string(v.From.IP), command: string(v.Action), code: string(v.Result),
		outcome: pipeline.OutcomeSuccess,
	}
	if len(v.Users) > 0 {
		d.user, d.database = string(v.Users[0].User), string(v.Users[0].DB)
	}
	if v.Param.Namespace != "" {
		d.database, d.object, _ = strings.Cut(string(v.Param.Namespace), ".")
	}
	if v.Result != "0" {
		d.outcome = pipeline.OutcomeFailure
	}
	switch v.Action {
	case "authenticate":
		d.typ = "auth.success"
		if v.Result != "0" {
			d.typ = "auth.failed"
		}
		d.user, d.database = string(v.Param.User), string(v.Param.DB)
	case "logout":
		d.typ = "auth.logout"
	case "authCheck":
		d.command, d.denied = string(first(v.Param.Command, v.Action)), v.Result == "13"
	}
	d.title = strings.TrimSpace(d.command + " " + string(first(v.Param.Namespace, v.Param.User)))
	e := d.event(out, raw, "mongodb")
	e.SetAttr("auth.method", string(v.Param.Mechanism))
	if d.typ == "db.statement" { // createUser, grantRolesToUser and their like name whom they are about
		e.SetAttr("target.user", string(v.Param.User))
	}
}

// mongoSeverity converts the log's letters: Fatal, Error, Warning, Info, Debug 1 to 5.
func mongoSeverity(s string) uint8 {
	switch s {
	case "F":
		return pipeline.SeverityCritical
	case "E":
		return pipeline.SeverityHigh
	case "W":
		return pipeline.SeverityMedium
	}
	return pipeline.SeverityInfo
}
