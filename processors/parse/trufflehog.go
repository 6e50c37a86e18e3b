package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// trufflehog reads the JSON lines of trufflehog 3 (--json), its log lines among them, those of version 2, and the report of
// trufflehog3, another tool, whose rules have severities. The others have none: a secret is high, one that trufflehog has seen to work is critical.
// https://github.com/trufflesecurity/trufflehog
var trufflehog = Format{
	Name: "trufflehog", Title: "trufflehog report (JSON lines)", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected", "scan.completed", "log"},
	Known: "JSON object with DetectorName and SourceMetadata, with commitHash, reason and stringsFound, or with rule, path, secret and context",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("SourceMetadata") && (s.Has("DetectorName") || s.Has("DetectorType")) || s.Has("reason", "stringsFound") ||
			s.String("logger") == "trufflehog" || s.Has("path", "secret", "context") && s.Raw("rule", "message") != nil
	},
	Parse: parseTrufflehog,
}

// trufflehogRecord is a finding of version 3, one of version 2, or a line of trufflehog's own log, which goes to the same
// place as its report in many pipelines.
type trufflehogRecord struct {
	SourceMetadata struct {
		Data map[string]*trufflehogPlace `json:"Data"`
	} `json:"SourceMetadata"`
	SourceName        Text            `json:"SourceName"`
	Detector          Text            `json:"DetectorName"`
	DetectorType      Text            `json:"DetectorType"`
	Decoder           Text            `json:"DecoderName"`
	Verified          Text            `json:"Verified"`
	VerificationError Text            `json:"VerificationError"`
	Raw               Text            `json:"Raw"`
	RawV2             Text            `json:"RawV2"`
	Redacted          Text            `json:"Redacted"`
	Extra             map[string]Text `json:"ExtraData"`

	Branch     Text    `json:"branch"`
	CommitHash Text    `json:"commitHash"`
	Date       Text    `json:"date"`
	Path       Text    `json:"path"`
	Reason     Text    `json:"reason"`
	Strings    Strings `json:"stringsFound"`

	// Of trufflehog3.
	Rule struct {
		ID       Text `json:"id"`
		Severity Text `json:"severity"`
	} `json:"rule"`
	Secret Text `json:"secret"`
	Line   Text `json:"line"`
	Commit Text `json:"commit"`
	Author Text `json:"author"`

	Logger     Text `json:"logger"`
	Level      Text `json:"level"`
	TS         Text `json:"ts"`
	Msg        Text `json:"msg"`
	Error      Text `json:"error"`
	Chunks     Text `json:"chunks"`
	VerifiedN  Text `json:"verified_secrets"`
	Unverified Text `json:"unverified_secrets"`
}

// trufflehogPlace is where a secret was found; its members differ by kind of source.
type trufflehogPlace struct {
	Commit     Text `json:"commit"`
	File       Text `json:"file"`
	Path       Text `json:"path"`
	Filename   Text `json:"filename"`
	Email      Text `json:"email"`
	Username   Text `json:"username"`
	Repository Text `json:"repository"`
	Timestamp  Text `json:"timestamp"`
	Link       Text `json:"link"`
	Line       Text `json:"line"`
	Image      Text `json:"image"`
	Bucket     Text `json:"bucket"`
}

func parseTrufflehog(in *Input, out *Out) error {
	if in.Data[0] == '[' {
		var list []part[trufflehogRecord]
		if err := decode(in.Data, &list); err != nil {
			return err
		}
		for i := range list {
			list[i].Value.emit(out, list[i].Raw)
		}
		return nil
	}
	var v trufflehogRecord
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	v.emit(out, in.Text())
	return nil
}

// emit gives a finding's event. Its identity is its text and where it stands in the report: one secret found twice at a
// place, by two decoders or in two forms, is told twice.
func (v *trufflehogRecord) emit(out *Out, raw string) {
	if v.Logger != "" && v.Detector == "" {
		v.log(out, raw)
		return
	}
	e := out.Event("secret.detected")
	e.Raw = raw
	e.Severity, e.Disposition, e.Outcome = pipeline.SeverityHigh, pipeline.DispositionDetected, pipeline.OutcomeFailure
	var place trufflehogPlace
	for kind, p := range v.SourceMetadata.Data {
		if p != nil {
			place = *p
			e.SetAttr("trufflehog.source", strings.ToLower(kind))
		}
	}
	file, line := string(first(place.File, place.Path, place.Filename, v.Path)), string(first(place.Line, v.Line))
	if line == "0" {
		line = ""
	}
	e.Rule = string(first(v.Detector, v.Reason, v.DetectorType, v.Rule.ID))
	e.Severity = first(severityWord(string(v.Rule.Severity)), e.Severity)
	e.Repo, e.Ref = repoOf(string(place.Repository)), strings.TrimPrefix(refOf(string(v.Branch)), "origin/")
	e.Commit = commitOf(string(first(place.Commit, v.CommitHash, v.Commit)))
	e.Actor = string(first(place.Email, place.Username, v.Author))
	e.Artifact = string(place.Image)
	e.Time = trufflehogTime(string(first(place.Timestamp, v.Date)))
	e.SetAttr("code.file.path", file)
	e.SetAttr("code.line.number", line)
	e.SetAttr("url.full", string(place.Link))
	e.SetAttr("bucket", string(place.Bucket))
	e.SetAttr("decoder", string(v.Decoder))
	e.SetAttr("verified", string(v.Verified))
	e.SetAttr("verification.error", oneLine(string(v.VerificationError), 200))
	if strings.HasPrefix(string(v.Redacted), "AKIA") || strings.HasPrefix(string(v.Redacted), "ASIA") { // a public id
		e.SetAttr("credential.id", string(v.Redacted))
	}
	e.SetAttr("cloud.account.id", string(v.Extra["account"]))
	secret := string(first(v.Raw, v.Secret))
	if secret == "" && len(v.Strings) > 0 {
		secret = v.Strings[0]
	}
	e.SetAttr("credential", out.Secret(secret))
	out.Secret(string(v.RawV2))
	for _, s := range v.Strings {
		out.Secret(s)
	}
	e.Title = e.Rule + " in " + first(file, string(place.Image), string(place.Bucket), "an unnamed place")
	if v.Verified == "true" {
		e.Severity = pipeline.SeverityCritical
		e.Title += ", verified to work"
	}
	out.ID(e, raw, strconv.Itoa(out.piece.Line), strconv.Itoa(len(out.batch.Events)-out.first))
}

// log gives the end of a scan, and other log lines as they are.
func (v *trufflehogRecord) log(out *Out, raw string) {
	typ := "log"
	if v.Msg == "finished scanning" {
		typ = "scan.completed"
	}
	e := out.Event(typ)
	e.Raw, e.Severity, e.Time = raw, pipeline.SeverityInfo, parseTime(string(v.TS))
	if typ == "scan.completed" {
		e.Outcome = pipeline.OutcomeSuccess
	}
	if strings.HasPrefix(string(v.Level), "error") {
		e.Severity = pipeline.SeverityMedium
	}
	e.SetAttr("secrets.verified", string(v.VerifiedN))
	e.SetAttr("secrets.unverified", string(v.Unverified))
	e.SetAttr("chunks", string(v.Chunks))
	e.SetAttr("error.message", string(v.Error))
	e.Title = "trufflehog: " + string(v.Msg)
}

// trufflehogTime reads "2022-06-16 10:17:40 -0700 -0700", as Go prints a time of a zone without a name.
func trufflehogTime(s string) time.Time {
	if f := strings.Fields(s); len(f) == 4 {
		s = strings.Join(f[:3], " ")
	}
	return parseTime(s)
}
