package pipeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/encoding/json"
)

// Alert says to one team that something needs it. It is the `data` of the records on tocsin.alerts.<team> and a row of
// tocsin.alerts; schemas/alert.schema.json is its published form. Consumers tell versions apart by (ID, Version).
type Alert struct {
	ID         uuid.UUID `json:"alert_id"`
	Version    uint64    `json:"version"`            // rises with every record of the same alert
	Status     string    `json:"status"`             // one of Status*
	Reopened   uint32    `json:"reopened,omitempty"` // how often it fired again after it was resolved
	Team       string    `json:"team"`
	Class      string    `json:"alert_class"` // one of Class*
	Visibility string    `json:"visibility"`  // one of Visibility*
	// RequestedBy is who asked for a sec_requested alert.
	RequestedBy string `json:"requested_by"`

	Rule        string `json:"rule_id"`
	RuleVersion int    `json:"rule_version"`
	Severity    uint8  `json:"severity_id"`
	Confidence  uint8  `json:"confidence"` // percent
	Phases      []int8 `json:"phases"`     // numbers of schemas.Phases
	Title       string `json:"title"`
	Summary     string `json:"summary"`

	Project     string             `json:"project"`
	Environment string             `json:"environment"`
	Entities    map[string]string  `json:"entities"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`

	FirstEventTime time.Time   `json:"first_event_time"`
	LastEventTime  time.Time   `json:"last_event_time"`
	EventCount     uint32      `json:"event_count"`
	EventIDs       []uuid.UUID `json:"event_ids"` // at most MaxAlertEvents

	DedupKey     string   `json:"dedup_key"`
	Incident     string   `json:"incident_id"`
	Campaign     string   `json:"campaign_id"`
	Attacks      []string `json:"attack_ids"`
	Labels       []string `json:"labels"`
	SuppressedBy string   `json:"suppressed_by"`
	// DetectLatencyMS is the time from the arrival of the last event in Kafka to this record, in milliseconds.
	DetectLatencyMS uint32 `json:"detect_latency_ms"`

	// ChangedBy is the person who acknowledged or resolved it, or whose silence keeps it quiet; "" where tocsin decided.
	// Reason is why, Until when that ends (nil for never).
	ChangedBy   string     `json:"changed_by,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Disposition string     `json:"disposition,omitempty"` // one of Dispositions, once a person has said so

	Links AlertLinks `json:"links"`

	// Digest is that of the rule: an alert of another digest is not continued. It is not part of the record.
	Digest uint64 `json:"-"`
	// Quiet keeps the record from the team's topic: it is stored only.
	Quiet bool `json:"-"`
}

// AlertLinks is where to look next.
type AlertLinks struct {
	Dashboard string `json:"dashboard"`
	Runbook   string `json:"runbook"`
	Query     string `json:"query"` // SQL that shows the evidence
}

// IncidentOf names the incident that an alert of the dedup key stands for, the same for each team.
func IncidentOf(dedup string) string { return "inc|" + dedup }

// IsIncident reports whether the alert stands for an incident, and is not only a member of one.
func (a *Alert) IsIncident() bool { return a.Incident == IncidentOf(a.DedupKey) }

// Statuses of an alert.
const (
	StatusFiring     = "firing"
	StatusUpdated    = "updated"
	StatusSuppressed = "suppressed"
	StatusAcked      = "acked"
	StatusResolved   = "resolved"
)

// Classes of an alert: a property of the subscription, not of the rule.
const (
	ClassNormal       = "normal"
	ClassSecRequested = "sec_requested"
)

// Visibilities of an alert.
const (
	VisibilityTeam    = "team"
	VisibilitySecOnly = "sec_only"
)

// Bounds of an alert's record.
const (
	MaxAlertEvents = 50
	MaxAlertBytes  = 64 << 10
)

// AlertType is the CloudEvents type of an alert's record.
const AlertType = "tocsin.alert.v1"

// alertEnvelope is the CloudEvents envelope around an Alert, in structured mode.
type alertEnvelope struct {
	SpecVersion string    `json:"specversion"`
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Time        time.Time `json:"time"`
	Subject     string    `json:"subject"`
	ContentType string    `json:"datacontenttype"`
	Data        *Alert    `json:"data"`
}

// EncodeAlert returns the alert's record as CloudEvents JSON. source names the instance, t is when the record is made.
func EncodeAlert(a *Alert, source string, t time.Time) ([]byte, error) {
	b, err := json.Marshal(alertEnvelope{
		SpecVersion: "1.0", Type: AlertType, ID: fmt.Sprintf("%s.%d", a.ID, a.Version), Source: source, Time: t.UTC(),
		Subject: a.DedupKey, ContentType: "application/json", Data: a,
	})
	if err != nil {
		return nil, fmt.Errorf("encode alert %s: %w", a.ID, err)
	}
	if len(b) > MaxAlertBytes {
		return nil, fmt.Errorf("encode alert %s: %d bytes, at most %d are allowed", a.ID, len(b), MaxAlertBytes)
	}
	return b, nil
}

// foundAlert is an alert on its way from the correlator to the desk.
type foundAlert struct {
	Digest uint64 `json:"digest"`
	Alert  *Alert `json:"alert"`
}

// EncodeFound returns the record in which detect hands an alert to the desk. The topic is private to tocsin.
func EncodeFound(a *Alert) ([]byte, error) {
	b, err := json.Marshal(foundAlert{a.Digest, a})
	if err != nil {
		return nil, fmt.Errorf("encode alert %s: %w", a.ID, err)
	}
	return b, nil
}

// DecodeFound reads what EncodeFound wrote.
func DecodeFound(b []byte) (*Alert, error) {
	var f foundAlert
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("decode found alert: %w", err)
	}
	if f.Alert == nil {
		return nil, errors.New("decode found alert: there is none in it")
	}
	f.Alert.Digest = f.Digest
	return f.Alert, nil
}

// DecodeAlert reads what EncodeAlert wrote.
func DecodeAlert(b []byte) (*Alert, error) {
	var env alertEnvelope
	if err := json.Unmarshal(b, &env); err != nil {
		return nil, fmt.Errorf("decode alert: %w", err)
	}
	if env.Type != AlertType || env.Data == nil {
		return nil, fmt.Errorf("decode alert: type %q, want %q with data", env.Type, AlertType)
	}
	return env.Data, nil
}
