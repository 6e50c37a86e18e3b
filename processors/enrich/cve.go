package enrich

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// kev is CISA's catalogue of vulnerabilities that are known to be exploited.
// https://www.cisa.gov/known-exploited-vulnerabilities-catalog
type kev struct {
	due      map[string]string // CVE to the date by which agencies have to have mended it
	released time.Time
}

func readKEV(files []*file) (part, error) {
	f := files[0]
	var v struct {
		Released        time.Time `json:"dateReleased"`
		Vulnerabilities []struct {
			ID  string `json:"cveID"`
			Due string `json:"dueDate"`
		} `json:"vulnerabilities"`
	}
	var m mistakes
	if err := json.Unmarshal(f.data, &v); err != nil {
		m.atJSON(f, err, "expected CISA's known_exploited_vulnerabilities.json")
		return nil, m.err()
	}
	k := &kev{due: make(map[string]string, len(v.Vulnerabilities)), released: v.Released}
	for i, e := range v.Vulnerabilities {
		if !strings.HasPrefix(e.ID, "CVE-") {
			m.at(f.path, 0, 0, fmt.Sprintf("vulnerabilities[%d].cveID: %.40q is no CVE", i, e.ID), "")
			continue
		}
		k.due[e.ID] = e.Due
	}
	if len(v.Vulnerabilities) == 0 {
		m.at(f.path, 0, 0, "no vulnerabilities", "expected CISA's known_exploited_vulnerabilities.json")
	}
	return k, m.err()
}

// lineColumn returns the place of the byte before an offset, from 1.
func lineColumn(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset-1, 0), len(data))]
	return bytes.Count(before, []byte{'\n'}) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func (k *kev) install(s *set) { s.kev = k }

func (k *kev) size() (int, time.Time) { return len(k.due), k.released }

// epss is FIRST's forecast of how likely a vulnerability is exploited within 30 days, 0 to 1.
// https://www.first.org/epss/data_stats
type epss struct {
	scores map[string]epssScore
	date   time.Time
}

type epssScore struct {
	value float32
	text  string // as the file has it
}

func readEPSS(files []*file) (part, error) {
	f := files[0]
	p := &epss{scores: map[string]epssScore{}}
	var m mistakes
	// The first line is a remark with the day: #model_version:v2025.03.14,score_date:2026-11-20T12:55:00Z
	if first, _, _ := bytes.Cut(f.data, []byte{'\n'}); bytes.HasPrefix(first, []byte{'#'}) {
		_, date, _ := strings.Cut(string(first), "score_date:")
		if len(date) >= len(time.DateOnly) {
			p.date, _ = time.Parse(time.DateOnly, date[:len(time.DateOnly)]) // none where it is unreadable: the file's time counts
		}
	}
	csvRows(f, epssColumns, &m, func(c []cell, line, column int) {
		v, err := strconv.ParseFloat(c[1].text, 32)
		if !strings.HasPrefix(c[0].text, "CVE-") || err != nil || !(v >= 0 && v <= 1) {
			m.at(f.path, line, column, fmt.Sprintf("%.40q is no score of a CVE", c[0].text+","+c[1].text), "expected FIRST's epss_scores-current.csv.gz: cve,epss,percentile")
			return
		}
		p.scores[c[0].text] = epssScore{float32(v), c[1].text}
	})
	return p, m.err()
}

var epssColumns = []string{"cve", "epss", "percentile"}

func (p *epss) install(s *set) { s.epss = p }

func (p *epss) size() (int, time.Time) { return len(p.scores), p.date }

// enrichVulnerability adds vulnerability.kev and its due date where one of the event's vulnerabilities is known to be
// exploited, and vulnerability.epss with the highest of their scores.
func enrichVulnerability(e *pipeline.Event, k *kev, p *epss) {
	if len(e.Vulns) == 0 {
		return
	}
	if k != nil {
		for _, id := range e.Vulns {
			if due, known := k.due[id]; known {
				setAttr(e, "vulnerability.kev", "true")
				setAttr(e, "vulnerability.kev.due_date", due)
				break
			}
		}
	}
	if p != nil {
		var highest epssScore
		for _, id := range e.Vulns {
			if s := p.scores[id]; s.text != "" && (highest.text == "" || s.value > highest.value) {
				highest = s
			}
		}
		setAttr(e, "vulnerability.epss", highest.text)
	}
}
