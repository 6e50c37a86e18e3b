// Package consoletest asks a running console for everything that its dashboards show.
package consoletest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// slow is what no panel may take.
const slow = 2 * time.Second

// Range is what the dashboards are asked for.
type Range struct {
	From, To time.Time
	// Vars are the values of variables that have no list to choose from, by name.
	Vars map[string]string
}

// Board is what the tests need of a dashboard's file.
type Board struct {
	UID    string
	Panels []struct {
		ID      int
		Title   string
		Type    string
		Targets []struct {
			RefID string
			Hide  bool
		}
	}
	Templating struct {
		List []struct {
			Name       string
			Type       string
			IncludeAll bool
			Multi      bool
			Options    []struct{ Value string }
		}
	}
	Annotations struct {
		List []json.RawMessage
	}
}

// Boards returns the dashboards of the console at the URL.
func Boards(t testing.TB, base string) (boards []Board) {
	t.Helper()
	var list []struct{ UID string }
	ask(t, base+"/api/dashboards", &list)
	for _, entry := range list {
		var b Board
		ask(t, base+"/api/dashboards/"+entry.UID, &b)
		boards = append(boards, b)
	}
	if len(boards) == 0 {
		t.Fatalf("%s has no dashboards", base)
	}
	return boards
}

// Dashboards runs every statement of every dashboard: panels, values of variables, annotations. None may fail or take two
// seconds. If full is set, no panel may come out empty, and all is asked once more with some values chosen of each
// variable.
func Dashboards(t *testing.T, base string, r Range, full bool) {
	for _, b := range Boards(t, base) {
		t.Run(b.UID, func(t *testing.T) {
			vars := url.Values{"dashboard": {b.UID}, "from": {millis(r.From)}, "to": {millis(r.To)}}
			chosen := url.Values{}
			for _, v := range b.Templating.List {
				values := []string{}
				switch v.Type {
				case "query":
					res := query(t, base+"/api/values?"+join(vars, url.Values{"name": {v.Name}}))
					for _, row := range res.Rows {
						values = append(values, fmt.Sprint(row[0]))
					}
				case "custom":
					for _, o := range v.Options {
						if o.Value != "$__all" {
							values = append(values, o.Value)
						}
					}
				case "textbox":
					values = append(values, r.Vars[v.Name])
				default:
					continue
				}
				if !v.IncludeAll { // as the page does: the first there is
					vars.Set("var-"+v.Name, append(values, "")[0])
				}
				if v.Multi {
					values = values[:min(2, len(values))]
				} else {
					values = values[:min(1, len(values))]
				}
				chosen["var-"+v.Name] = values
			}
			b.run(t, base, vars, full)
			if full {
				b.run(t, base, join2(vars, chosen), false)
			}
			if len(b.Annotations.List) > 0 {
				var ignored []any
				ask(t, base+"/api/annotations?"+vars.Encode(), &ignored)
			}
		})
	}
}

func (b Board) run(t *testing.T, base string, vars url.Values, full bool) {
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			var res result
			var took time.Duration
			for range 3 { // one that is slow once had a busy machine
				start := time.Now()
				res = query(t, base+"/api/query?"+join(vars, url.Values{"panel": {strconv.Itoa(p.ID)}, "ref": {target.RefID}}))
				if took = time.Since(start); took <= slow {
					break
				}
			}
			if took > slow {
				t.Errorf("%s, panel %d (%s): %v, want %v at most", b.UID, p.ID, p.Title, took, slow)
			}
			if full && len(res.Rows) == 0 {
				t.Errorf("%s, panel %d (%s) shows nothing", b.UID, p.ID, p.Title)
			}
		}
	}
}

type result struct {
	Columns []struct{ Name, Type string }
	Rows    [][]any
}

func query(t testing.TB, address string) (res result) {
	t.Helper()
	ask(t, address, &res)
	return res
}

// ask reads an answer as JSON. Anything but 200 is an error of the test, with the server's words.
func ask(t testing.TB, address string, into any) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var body struct{ Error string }
		err := json.NewDecoder(resp.Body).Decode(&body)
		t.Errorf("GET %s: %s: %s (%v)", address, resp.Status, body.Error, err)
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Errorf("GET %s: %v", address, err)
	}
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func join2(a, b url.Values) url.Values {
	sum := url.Values{}
	for _, values := range []url.Values{a, b} {
		for name, list := range values {
			sum[name] = list
		}
	}
	return sum
}

func join(a, b url.Values) string { return join2(a, b).Encode() }
