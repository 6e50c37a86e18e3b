package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// dashboard is a Grafana dashboard file: what the server needs of it. The browser gets the file as it is.
type dashboard struct {
	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Panels      []panel  `json:"panels"`
	Templating  struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []annotation `json:"list"`
	} `json:"annotations"`

	folder string
	file   []byte
}

// panel is one panel with its queries.
type panel struct {
	ID       int      `json:"id"`
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Interval string   `json:"interval"` // narrowest step of a time series, as in 1m
	Targets  []target `json:"targets"`
}

// target is one query of a panel.
type target struct {
	RefID  string `json:"refId"`
	RawSQL string `json:"rawSql"`
}

// variable is one variable of a dashboard.
type variable struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"` // query, custom, textbox or datasource
	Query   json.RawMessage `json:"query"`
	Current struct {
		Value json.RawMessage `json:"value"`
	} `json:"current"`
}

// annotation is a query for what is drawn over the time series.
type annotation struct {
	Name   string `json:"name"`
	Target target `json:"target"`
}

// all is Grafana's value of a variable that selects everything.
const all = "$__all"

// loadDashboards reads <root>/<folder>/<name>.json. They come back by uid.
func loadDashboards(files fs.FS, root string) (map[string]*dashboard, error) {
	names, err := fs.Glob(files, path.Join(root, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	boards := map[string]*dashboard{}
	for _, name := range names {
		file, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		d := &dashboard{folder: path.Base(path.Dir(name)), file: file}
		if err := json.Unmarshal(file, d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", name, err)
		}
		if d.UID == "" || boards[d.UID] != nil {
			return nil, fmt.Errorf("dashboard %s: uid %q is empty or taken", name, d.UID)
		}
		boards[d.UID] = d
	}
	return boards, nil
}

// sorted returns the dashboards by title, the front page first.
func sorted(boards map[string]*dashboard) []*dashboard {
	home := func(d *dashboard) int {
		if slices.Contains(d.Tags, "home") {
			return 0
		}
		return 1
	}
	return slices.SortedFunc(maps.Values(boards), func(a, b *dashboard) int {
		return cmp.Or(home(a)-home(b), strings.Compare(a.Title, b.Title))
	})
}

// target returns the query of a panel, by the panel's id and the query's letter.
func (d *dashboard) target(id int, refID string) (*panel, *target) {
	for i := range d.Panels {
		p := &d.Panels[i]
		if p.ID != id {
			continue
		}
		for j := range p.Targets {
			if p.Targets[j].RefID == refID {
				return p, &p.Targets[j]
			}
		}
	}
	return nil, nil
}

func (d *dashboard) variable(name string) *variable {
	for i := range d.Templating.List {
		if d.Templating.List[i].Name == name {
			return &d.Templating.List[i]
		}
	}
	return nil
}

// sql returns the statement that lists the values of a query variable.
func (v *variable) sql() string {
	var text string
	if json.Unmarshal(v.Query, &text) == nil {
		return text
	}
	var object struct {
		RawSQL string `json:"rawSql"`
	}
	if json.Unmarshal(v.Query, &object) == nil {
		return object.RawSQL
	}
	return ""
}

// preset is the variable's value in the file, for a request that has none.
func (v *variable) preset() choice {
	var list []string
	if json.Unmarshal(v.Current.Value, &list) != nil {
		var one string
		if json.Unmarshal(v.Current.Value, &one) != nil {
			return choice{All: true}
		}
		list = []string{one}
	}
	return choose(list)
}

func choose(values []string) choice {
	if slices.Contains(values, all) {
		return choice{All: true}
	}
	return choice{Values: values}
}

// steps are the widths that a step of a time series may have.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// step returns the narrowest width that draws the range in that many points or fewer, and at least the panel's own.
func (p *panel) step(span time.Duration, points int) time.Duration {
	narrowest, _ := time.ParseDuration(p.Interval) // empty is none
	want := max(narrowest, span/time.Duration(points))
	for _, s := range steps {
		if s >= want {
			return s
		}
	}
	return want.Round(24 * time.Hour)
}
