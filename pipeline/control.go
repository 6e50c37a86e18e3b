package pipeline

import (
	"encoding/json" // knows omitzero
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Control is what a person says of alerts: a record of tocsin.control, keyed by the team. It is the audit of who quieted
// what, until when and why, and it is read in the order of the topic, so that a replay does the same.
type Control struct {
	ID     uuid.UUID `json:"id"`
	Time   time.Time `json:"time"`
	Action string    `json:"action"` // one of Control*
	Team   string    `json:"team"`   // whose alerts; what concerns all teams is one record for each
	By     string    `json:"by"`     // who says so
	Reason string    `json:"reason"`
	// Until is when it ends; zero is never, which a silence may not be.
	Until time.Time `json:"until,omitzero"`

	Alert uuid.UUID `json:"alert_id,omitzero"` // of an acknowledgement or a resolution
	// Disposition is what a resolution says of the alert: one of Dispositions, or "".
	Disposition string `json:"disposition,omitempty"`

	Silence uuid.UUID `json:"silence_id,omitzero"` // of a silence or its end
	// Window is why there is a silence: one of Windows. Windows that are not "silence" never cover the alerts of rules
	// with a security technique (C19).
	Window string  `json:"window,omitempty"`
	Match  Matcher `json:"match,omitzero"`
}

// Actions of a Control.
const (
	ControlAck     = "ack"
	ControlResolve = "resolve"
	ControlSilence = "silence"
	ControlExpire  = "expire" // ends a silence before its time
)

// Dispositions are what people say an alert was. Those of a rule give its precision.
var Dispositions = []string{"true_positive", "false_positive", "benign", "duplicate"}

// FalsePositive is the disposition that keeps an alert closed when it fires again within its dedup window.
const FalsePositive = "false_positive"

// Windows are the kinds of silences.
var Windows = []string{"silence", "maintenance", "chaos"}

// Teams are those whose alerts there are.
var Teams = []string{TeamDev, TeamSec, TeamOps, TeamMon}

// MaxSilence is the longest silence. What should be quiet for good is a change of the rule.
const MaxSilence = 30 * 24 * time.Hour

// Matcher says which alerts a silence covers: those that have all that is given here. One at least must be given.
type Matcher struct {
	Rule        string `json:"rule_id,omitempty"`
	Project     string `json:"project,omitempty"`
	Environment string `json:"environment,omitempty"`
	Entity      string `json:"entity,omitempty"` // kind=value, as in the alert's entities
}

// maxControlText bounds each text of a Control, in bytes.
const maxControlText = 1000

// Check returns what is wrong with the record, all of it; nil when it can be obeyed.
func (c *Control) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(Teams, c.Team) {
		bad("team %q is none of dev, sec, ops, mon", c.Team)
	}
	if c.By == "" {
		bad("by is empty: say who it is")
	}
	if c.Time.IsZero() {
		bad("time is missing")
	}
	for _, text := range []string{c.By, c.Reason, c.Match.Rule, c.Match.Project, c.Match.Environment, c.Match.Entity} {
		if len(text) > maxControlText {
			bad("a text has %d bytes, at most %d are allowed", len(text), maxControlText)
		}
	}
	switch c.Action {
	case ControlAck, ControlResolve:
		if c.Alert == uuid.Nil {
			bad("alert_id is missing")
		}
		if c.Disposition != "" && !slices.Contains(Dispositions, c.Disposition) {
			bad("disposition %q is none of %v", c.Disposition, Dispositions)
		}
	case ControlSilence:
		if c.Silence == uuid.Nil {
			bad("silence_id is missing")
		}
		if !slices.Contains(Windows, c.Window) {
			bad("window %q is none of %v", c.Window, Windows)
		}
		if c.Match == (Matcher{}) {
			bad("a silence that matches everything is refused: give a rule, project, environment or entity")
		}
		if c.Reason == "" {
			bad("reason is empty: a silence needs one")
		}
		if !c.Until.After(c.Time) || c.Until.Sub(c.Time) > MaxSilence {
			bad("until must come after now, by %v at most", MaxSilence)
		}
	case ControlExpire:
		if c.Silence == uuid.Nil {
			bad("silence_id is missing")
		}
	default:
		bad("action %q is none of ack, resolve, silence, expire", c.Action)
	}
	return errors.Join(errs...)
}

// EncodeControl returns the record's JSON.
func EncodeControl(c *Control) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode control %s: %w", c.ID, err)
	}
	return b, nil
}

// DecodeControl reads what EncodeControl wrote, or people's own tools, and checks it.
func DecodeControl(b []byte) (*Control, error) {
	var c Control
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("decode control: %w", err)
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("decode control: %w", err)
	}
	return &c, nil
}
