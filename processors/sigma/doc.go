// Package sigma reads Sigma detection rules (specification 2.1, github.com/SigmaHQ/sigma-specification) and judges JSON
// events by them.
//
//	YAML -> node tree with places      yaml.go
//	     -> searches and condition     detection.go, modifier.go, condition.go: refused, or honoured to the letter
//	     -> atoms, shared by all rules atom.go, test.go, pattern.go: answered once an event
//	     -> index                      plan.go, index.go, substring.go: a necessary condition of each rule
//
//	JSON line -> fields in one pass    event.go
//	          -> candidates -> rules   matcher.go
//	          -> windows of correlations, in event time   correlation.go, correlator.go
//
//	pipeline's events -> views of them as log sources   view.go, taxonomy/, audit.go
//	                  -> signals for the engine         detector.go, processor.go, alert.go, beside.go
//
// Index and trying every rule give the same answers: a property test holds that. docs/sigma.md says what is understood,
// and what was chosen where the specification is silent.
//
// A matcher must not keep state from event to event, a correlator does; and no rule of others is part of it: rules are their authors'.
package sigma
