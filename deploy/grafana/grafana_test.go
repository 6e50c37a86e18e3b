package grafana

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type dashboard struct {
	UID, Title, Description string
	Tags                    []string
	SchemaVersion           int
	Editable                bool
	Panels                  []panel
	Templating              struct {
		List []struct {
			Name, Type string
			Datasource *source
		}
	}
	Annotations struct {
		List []struct {
			Name       string
			Datasource source
			Target     target
		}
	}

	file string
}

type source struct{ Type, UID string }

type target struct {
	RefID, RawSQL string
	Format        int
	Hide          bool
	Datasource    source
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
	FieldConfig              struct {
		Defaults  map[string]any
		Overrides []struct {
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	files, err := fs.Glob(Dashboards, "dashboards/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, error %v", len(files), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(Dashboards, file)
		if err != nil {
			t.Fatal(err)
		}
		d := dashboard{file: strings.TrimPrefix(file, "dashboards/")}
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, data, "", "  "); err != nil || !bytes.Equal(pretty.Bytes(), data) {
			t.Errorf("%s is not indented by two spaces: its changes would be hard to read", file)
		}
		all = append(all, d)
	}
	return all
}

func TestDashboardsKeepTheRules(t *testing.T) {
	all := dashboards(t)
	seen := map[string]string{}
	for _, d := range all {
		if !strings.HasPrefix(d.UID, "tocsin-") || seen[d.UID] != "" {
			t.Errorf("%s: uid %q, want tocsin-<name> and one that %q has not", d.file, d.UID, seen[d.UID])
		}
		seen[d.UID] = d.file
		if d.Title == "" || d.Description == "" || d.SchemaVersion < 36 || d.Editable {
			t.Errorf("%s: title %q, description %q, schemaVersion %d, editable %v", d.file, d.Title, d.Description, d.SchemaVersion, d.Editable)
		}
		if folder := path.Dir(d.file); !slices.Contains(d.Tags, "tocsin") || !slices.Contains(d.Tags, folder) {
			t.Errorf("%s: tags %q, want tocsin and %s", d.file, d.Tags, folder)
		}
		if len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
			t.Errorf("%s: its first variable does not choose the data source", d.file)
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != "${datasource}") {
				t.Errorf("%s: variable %s does not ask ${datasource}", d.file, v.Name)
			}
		}
		for _, a := range d.Annotations.List {
			checkSQL(t, d.file, a.Name, a.Target)
		}
		if len(d.Panels) > 12 {
			t.Errorf("%s: %d panels, at most 12 can be taken in", d.file, len(d.Panels))
		}
	}
}

var types = []string{"stat", "timeseries", "table", "bargauge", "state-timeline", "heatmap"}

func TestPanelsKeepTheRules(t *testing.T) {
	for _, d := range dashboards(t) {
		ids := map[int]bool{}
		var taken [24][200]string
		for _, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel id %d is taken", d.file, p.ID)
			}
			ids[p.ID] = true
			if !slices.Contains(types, p.Type) {
				t.Errorf("%s, %s: type %q is none that the console draws", d.file, p.Title, p.Type)
			}
			if len(p.Description) < 20 || p.Title == "" || p.FieldConfig.Defaults["unit"] == nil {
				t.Errorf("%s, panel %d: title %q, description %q, unit %v", d.file, p.ID, p.Title, p.Description, p.FieldConfig.Defaults["unit"])
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if x >= 24 || taken[x][y] != "" {
						t.Fatalf("%s, %s: lies over the edge or over %q", d.file, p.Title, taken[x][y])
					}
					taken[x][y] = p.Title
				}
			}
			refs, shown := map[string]bool{}, 0
			for _, q := range p.Targets {
				if refs[q.RefID] {
					t.Errorf("%s, %s: query %s is there twice", d.file, p.Title, q.RefID)
				}
				refs[q.RefID] = true
				if !q.Hide {
					shown++
				}
				checkSQL(t, d.file, p.Title, q)
				series := q.Format == 0 && p.Type != "table"
				// Grafana makes lines of rows only where they come by time.
				if series && !strings.Contains(q.RawSQL, "ORDER BY time") {
					t.Errorf("%s, %s: the rows of a series do not come by time", d.file, p.Title)
				}
				if series && rawEvents.MatchString(q.RawSQL) && d.UID != "tocsin-entity" {
					t.Errorf("%s, %s: a series over time reads events, not events_1m", d.file, p.Title)
				}
			}
			if shown == 0 || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s, %s: %d queries of data source %q", d.file, p.Title, shown, p.Datasource.UID)
			}
		}
	}
}

var (
	rawEvents = regexp.MustCompile(`\b(FROM|JOIN) (v_)?events\b`)
	forbidden = regexp.MustCompile(`(?i)\bSETTINGS\b|;|\btocsin\.|\bINSERT\b|\bALTER\b|\bDROP\b`)
)

func checkSQL(t *testing.T, file, where string, q target) {
	t.Helper()
	if bad := forbidden.FindString(q.RawSQL); bad != "" {
		t.Errorf("%s, %s: the query has %q", file, where, bad)
	}
	if q.Datasource.UID != "${datasource}" || q.RawSQL == "" {
		t.Errorf("%s, %s: query %q of data source %q", file, where, q.RawSQL, q.Datasource.UID)
	}
}

// A link leads to a dashboard that there is, sets variables that it has, and keeps the time range.
func TestLinksLeadOn(t *testing.T) {
	all := dashboards(t)
	known := map[string][]string{}
	for _, d := range all {
		for _, v := range d.Templating.List {
			known[d.UID] = append(known[d.UID], v.Name)
		}
		known[d.UID] = append(known[d.UID], "")
	}
	address := regexp.MustCompile(`^/d/([\w-]+)\?(.*)$`)
	variable := regexp.MustCompile(`var-(\w+)=`)
	links := 0
	check := func(file, where string, data []byte) {
		var list []struct{ URL, Title string }
		if err := json.Unmarshal(data, &list); err != nil {
			t.Errorf("%s, %s: links %s: %v", file, where, data, err)
		}
		for _, l := range list {
			links++
			if l.URL == "${__data.fields.url}" { // a report outside
				continue
			}
			m := address.FindStringSubmatch(l.URL)
			if m == nil || known[m[1]] == nil || !strings.Contains(m[2], "${__url_time_range}") || l.Title == "" {
				t.Errorf("%s, %s: link %q titled %q, want /d/<a dashboard>?...${__url_time_range}", file, where, l.URL, l.Title)
				continue
			}
			for _, v := range variable.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(known[m[1]], v[1]) {
					t.Errorf("%s, %s: link %q sets %s, which %s does not have", file, where, l.URL, v[1], m[1])
				}
			}
		}
	}
	for _, d := range all {
		for _, p := range d.Panels {
			if l := p.FieldConfig.Defaults["links"]; l != nil {
				data, err := json.Marshal(l)
				if err != nil {
					t.Fatal(err)
				}
				check(d.file, p.Title, data)
			}
			for _, o := range p.FieldConfig.Overrides {
				for _, property := range o.Properties {
					if property.ID == "links" {
						check(d.file, p.Title, property.Value)
					}
				}
			}
		}
	}
	if links < 50 {
		t.Errorf("%d links were checked, there are more", links)
	}
}
