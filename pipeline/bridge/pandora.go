package bridge

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pandora creates events in Pandora FMS by its external API (op=set, op2=create_event); url is that of the console's
// include/api.php, user and secret an account, key the API's password. The alert's id is the event's extra id: Pandora
// validates the older events of the same one when an event with it comes.
type pandora struct{ cfg *Config }

func newPandora(b *Bridge) (peer, error) { return &pandora{&b.cfg}, nil }

// pandoraCriticity converts OCSF severities: 1 informational, 5 minor, 3 warning, 6 major, 4 critical.
var pandoraCriticity = []string{"1", "1", "5", "3", "6", "4", "4"}

// pandoraStatus converts statuses: 0 new, 1 validated, 2 in process.
var pandoraStatus = map[string]string{
	pipeline.StatusFiring: "0", pipeline.StatusUpdated: "0", pipeline.StatusAcked: "2", pipeline.StatusSuppressed: "1", pipeline.StatusResolved: "1",
}

func (p *pandora) deliver(ctx context.Context, m *message) error {
	criticity := pandoraCriticity[min(int(m.Severity), 6)]
	if m.Status == pipeline.StatusResolved {
		criticity = "2" // normal
	}
	other := []string{
		clip(m.title, 250), "0", "0", pandoraStatus[m.Status], p.cfg.User, "system", criticity, "0", "0",
		"", "", "", clip(m.text, 1000), "", "tocsin", m.Rule, "", "0", m.ID.String(), either(m.entity("host"), "tocsin"), "0",
	}
	for i, text := range other { // Pandora decodes each of them once more than the form; all of its versions know %20
		other[i] = strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	}
	form := url.Values{
		"op": {"set"}, "op2": {"create_event"}, "return_type": {"string"}, "other": {strings.Join(other, "|")}, "other_mode": {"url_encode_separator_|"},
		"apipass": {p.cfg.Key}, "user": {p.cfg.User}, "pass": {p.cfg.Secret},
	}
	answer, err := post(ctx, p.cfg.URL, "application/x-www-form-urlencoded", []byte(form.Encode()), nil)
	if err != nil {
		return err
	}
	// It answers 200 to everything: with the event's id, or with a sentence about the account, its rights or the database.
	if id, err := strconv.Atoi(strings.TrimSpace(string(answer))); err != nil || id <= 0 {
		return fmt.Errorf("Pandora has made no event: %s", clip(strings.TrimSpace(string(answer)), 200))
	}
	return nil
}

// pandoraAgent writes the XML of an agent into the folder that Pandora's data server, or a Tentacle client, reads: one
// agent for each host, and for each rule a module async_string that says how it stands.
type pandoraAgent struct{ dir string }

func newPandoraAgent(b *Bridge) (peer, error) {
	u, err := url.Parse(b.cfg.URL)
	if err != nil || !filepath.IsAbs(u.Path) {
		return nil, fmt.Errorf("url: want file:///and/a/folder")
	}
	return &pandoraAgent{u.Path}, nil
}

type agentData struct {
	XMLName   xml.Name      `xml:"agent_data"`
	Agent     string        `xml:"agent_name,attr"`
	Timestamp string        `xml:"timestamp,attr"`
	Version   string        `xml:"version,attr"`
	OS        string        `xml:"os_name,attr"`
	Module    []agentModule `xml:"module"`
}

type agentModule struct {
	Name        string `xml:"name"`
	Type        string `xml:"type"`
	Data        string `xml:"data"`
	Description string `xml:"description"`
	StrWarning  string `xml:"str_warning"`
	StrCritical string `xml:"str_critical"`
}

func (p *pandoraAgent) deliver(_ context.Context, m *message) error {
	state := "ok"
	if m.open() {
		state = []string{"ok", "ok", "warning", "warning", "critical", "critical", "critical"}[min(int(m.Severity), 6)]
	}
	b, err := xml.MarshalIndent(agentData{
		Agent: either(m.entity("host"), "tocsin"), Timestamp: m.LastEventTime.UTC().Format("2006/01/02 15:04:05"), Version: "tocsin", OS: "Other",
		Module: []agentModule{{
			Name: "tocsin " + m.Rule + " " + m.Team, Type: "async_string", Data: state + ": " + clip(m.title, 250), Description: clip(m.text, 1000),
			StrWarning: "^warning", StrCritical: "^critical",
		}},
	}, "", " ")
	if err != nil {
		return refused{err}
	}
	// The name is that of the version: what is written twice is one file. It takes it at once or not at all.
	name := filepath.Join(p.dir, "tocsin."+base64.RawURLEncoding.EncodeToString([]byte(m.key()))+".data")
	if err := os.WriteFile(name+".part", append([]byte(xml.Header), b...), 0o640); err != nil {
		return err
	}
	return os.Rename(name+".part", name)
}
