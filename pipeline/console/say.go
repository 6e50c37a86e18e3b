package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Person is somebody who may acknowledge, resolve and silence alerts on the console.
type Person struct {
	Name  string `yaml:"name"`  // stands in tocsin.control as who said it
	Token string `yaml:"token"` // proves it; minToken bytes or more, of nobody else
}

// minToken is what a token has at least, in bytes: no shorter one is worth calling a secret.
const minToken = 16

// maxSayBytes bounds a request that says something.
const maxSayBytes = 8 << 10

// CheckPeople returns everything that is wrong with the people. It repeats no token.
func CheckPeople(people []Person) error {
	var errs []error
	names, tokens := map[string]bool{}, map[string]bool{}
	for i, p := range people {
		if p.Name == "" || names[p.Name] {
			errs = append(errs, fmt.Errorf("admin.people[%d].name: %q is empty or there already", i, p.Name))
		}
		if len(p.Token) < minToken || tokens[p.Token] {
			errs = append(errs, fmt.Errorf("admin.people[%d].token: want %d bytes or more, and another one than anybody else's", i, minToken))
		}
		names[p.Name], tokens[p.Token] = true, true
	}
	return errors.Join(errs...)
}

// person returns whose token the request bears, "" for nobody's. A browser does not send the header by itself, so no page of
// another site can make it speak for its reader.
func (s *Server) person(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	name, given := "", sha256.Sum256([]byte(token))
	for _, p := range s.cfg.People { // all of them, so that the time tells nothing
		own := sha256.Sum256([]byte(p.Token))
		if subtle.ConstantTimeCompare(own[:], given[:]) == 1 {
			name = p.Name
		}
	}
	return name
}

// saying is what a person says of an alert.
type saying struct {
	Action      string `json:"action"` // ack, resolve or silence; a silence is of the alert's rule
	Reason      string `json:"reason"`
	Minutes     int    `json:"minutes"` // how long an acknowledgement or a silence holds; 0 for until the alert ends
	Disposition string `json:"disposition"`
	Entity      string `json:"entity"` // what a silence is about, kind=value; "" for all that the rule says
}

// said is what must be known of an alert to say something of it.
type said struct {
	Team     string   `json:"team"`
	Rule     string   `json:"rule_id"`
	Title    string   `json:"title"`
	Entities []string `json:"entities"` // kind=value
	Writable bool     `json:"writable"` // whether anybody may say anything here
	By       string   `json:"by"`       // whose token the request bears
}

// getAlert answers what the page needs to offer what can be said.
func (s *Server) getAlert(w http.ResponseWriter, r *http.Request) {
	a, _, err := s.alert(r)
	if err != nil {
		s.report(w, r, err)
		return
	}
	a.Writable, a.By = len(s.cfg.People) > 0, s.person(r)
	reply(w, http.StatusOK, a)
}

// alert reads the alert that the address names.
func (s *Server) alert(r *http.Request) (a said, id uuid.UUID, err error) {
	if id, err = uuid.Parse(r.PathValue("id")); err != nil {
		return a, id, wrong("%q is no id of an alert", r.PathValue("id"))
	}
	if s.cfg.DB == nil {
		return a, id, &problem{http.StatusServiceUnavailable, "this process has no warehouse"}
	}
	var n uint64
	err = s.cfg.DB.QueryRow(r.Context(), `SELECT count(), toString(any(team)), any(rule_id), any(title),
		any(arrayMap((k, v) -> concat(k, '=', splitByString(',+', v)[1]), mapKeys(entities), mapValues(entities))) FROM v_alerts WHERE alert_id = $1`, id).
		Scan(&n, &a.Team, &a.Rule, &a.Title, &a.Entities)
	if err == nil && n == 0 {
		err = &problem{http.StatusNotFound, fmt.Sprintf("no alert %s", id)}
	}
	return a, id, err
}

// say writes what a person says of an alert to tocsin.control.
func (s *Server) say(w http.ResponseWriter, r *http.Request) {
	by := s.person(r)
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case len(s.cfg.People) == 0:
		fail(w, http.StatusForbidden, errors.New("this console only reads: name who may write under admin.people"))
		return
	case by == "":
		s.cfg.Log.Warn("a token that is nobody's", zap.String("from", r.RemoteAddr))
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, errors.New("the token is nobody's"))
		return
	case kind != "application/json":
		fail(w, http.StatusUnsupportedMediaType, fmt.Errorf("content type %q, want application/json", kind))
		return
	}
	var v saying
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSayBytes))
	in.DisallowUnknownFields()
	if err := in.Decode(&v); err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("the request cannot be read: %w", err))
		return
	}
	a, id, err := s.alert(r)
	if err != nil {
		s.report(w, r, err)
		return
	}
	c := v.control(&a, id, by, time.Now().UTC())
	if err := c.Check(); err != nil {
		fail(w, http.StatusBadRequest, errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
		return
	}
	if err := s.cfg.Say(r.Context(), []pipeline.Control{c}); err != nil {
		s.cfg.Log.Warn("write what was said of an alert", zap.Error(err))
		fail(w, http.StatusBadGateway, fmt.Errorf("it could not be written: %w", err))
		return
	}
	reply(w, http.StatusAccepted, map[string]string{"by": by})
}

// control returns the record of what was said of an alert.
func (v *saying) control(a *said, id uuid.UUID, by string, now time.Time) pipeline.Control {
	c := pipeline.Control{ID: uuid.New(), Time: now, Action: v.Action, Team: a.Team, By: by, Reason: v.Reason}
	if v.Minutes > 0 {
		c.Until = now.Add(time.Duration(v.Minutes) * time.Minute)
	}
	switch v.Action {
	case pipeline.ControlAck, pipeline.ControlResolve:
		c.Alert, c.Disposition = id, v.Disposition
	case pipeline.ControlSilence:
		c.Silence, c.Window, c.Match = uuid.New(), pipeline.Windows[0], pipeline.Matcher{Rule: a.Rule, Entity: v.Entity}
	}
	return c
}
