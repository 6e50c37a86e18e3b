// Package rule reads rules, checks them, and evaluates them on events: the ingest side of correlation. The state of
// rules (windows, sequences) is held by package correlate, which reads the same [Rule].
//
// A rule is a YAML file; docs/adding-a-rule.md is for its author. [Load] reports everything that is wrong in all files at
// once, with file:line:column and a pointer, and gives a [Set] or nothing. A [Matcher] of the set judges the events of one
// worker:
//
//	event -> index: which steps may match?       index.go      necessary conditions: equality, prefix, suffix, substring, presence
//	      -> condition tree of each candidate    condition.go  atoms are shared by all rules and evaluated once an event
//	      -> expr, for atoms that are programs   expression.go bounded in length, nesting, nodes and memory; no loops within loops
//	      -> Signal: key, values, fields         matcher.go    only what the rule's alert or aggregates want
//
// Index and tree give the answers that expr gives for the whole expression: a property test holds that.
//
// It must not keep state from event to event, and it never fails a batch: a rule whose expression ends with an error does
// not match, and is counted.
package rule
