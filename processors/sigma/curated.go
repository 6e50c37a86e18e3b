package sigma

import "slices"

// curated are the log sources of making and running software.
var curated = []LogSource{
	{Product: "github"}, {Product: "bitbucket"}, {Product: "kubernetes"}, {Product: "aws"}, {Product: "okta"}, {Product: "linux"},
	{Category: "webserver"}, {Service: "apache"}, {Service: "nginx"}, {Category: "application"}, {Category: "database"},
}

// IsCurated reports whether the rule is about making and running software.
func (r *Rule) IsCurated() bool {
	return slices.ContainsFunc(curated, func(s LogSource) bool { return s.Covers(r.Source) })
}

// Keep leaves out the detection rules that want does not take, with their results, and the correlations of rules that go.
func (s *Set) Keep(want func(*Rule) bool) {
	gone := map[*Rule]bool{}
	out := func(r *Rule) bool { return gone[r] }
	for _, r := range s.Rules {
		gone[r] = !want(r)
	}
	for _, r := range s.Correlations { // each after those that it refers to
		gone[r] = slices.ContainsFunc(r.correlation.rules, out)
	}
	s.Rules, s.Correlations = slices.DeleteFunc(s.Rules, out), slices.DeleteFunc(s.Correlations, out)
	s.Results = slices.DeleteFunc(s.Results, func(r Result) bool { return r.Rule != nil && gone[r.Rule] })
}
