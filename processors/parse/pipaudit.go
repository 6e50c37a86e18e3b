package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pipAudit reads the JSON of pip-audit: an object with dependencies, before version 2 the array of them. It has no severity.
// https://github.com/pypa/pip-audit#usage
var pipAudit = Format{
	Name: "pip-audit", Title: "pip-audit report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "scan.completed"},
	Known: "JSON object with dependencies, or array of them, that have name and vulns",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array {
			return s.Has("name") && (s.Has("version", "vulns") || s.Has("skip_reason"))
		}
		list := s.Raw("dependencies")
		if len(list) == 0 || list[0] != '[' {
			return false
		}
		dependency := firstMember(list)
		if isEmptyArray(list) && len(s.members) == 1 {
			return true
		}
		return member(dependency, "vulns") != nil || member(dependency, "skip_reason") != nil || s.Has("fixes")
	},
	Parse: parsePipAudit,
}

type pipDependency struct {
	Name, Version Text
	SkipReason    Text `json:"skip_reason"`
	Vulns         []part[struct {
		ID, Description Text
		Fixed           Strings `json:"fix_versions"`
		Aliases         Strings
	}]
}

func parsePipAudit(in *Input, out *Out) error {
	var v struct{ Dependencies *[]pipDependency }
	if in.Data[0] == '[' {
		v.Dependencies = &[]pipDependency{}
		if err := decodeFold(in.Data, v.Dependencies); err != nil {
			return err
		}
	} else if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Dependencies == nil {
		return errors.New("pip-audit report without dependencies")
	}
	found, skipped := 0, 0
	for i := range *v.Dependencies {
		d := &(*v.Dependencies)[i]
		if d.SkipReason != "" {
			skipped++
		}
		for j := range d.Vulns {
			w := &d.Vulns[j].Value
			out.vulnerability(&vulnerability{
				IDs: append([]string{string(w.ID)}, w.Aliases...), Rule: string(w.ID), Title: string(w.Description), Fixed: strings.Join(w.Fixed, ", "),
				Ecosystem: "pypi", Name: string(d.Name), Version: string(d.Version),
			}).Raw = d.Vulns[j].Raw
			found++
		}
	}
	if found == 0 {
		e := out.clean(time.Time{}, "pip-audit")
		e.SetAttr("dependencies", strconv.Itoa(len(*v.Dependencies)))
		e.SetAttr("skipped", positive(skipped))
	}
	return nil
}
