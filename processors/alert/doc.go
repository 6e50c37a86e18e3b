// Package alert turns what rules have found into records for teams.
//
// An [Episode] is the life of one dedup key of one rule: it fires, is updated, and is resolved. Each of these is one
// [pipeline.Alert] for each team that subscribes to the rule:
//
//	rule holds -> Episode.Add (evidence) -> Episode.Fire    -> firing, later updated (a minute apart, or at once when it gets worse)
//	rule ends  ->                           Episode.Resolve -> resolved, always
//
// The alert's id is made of the rule, its version, the team, the dedup key and the start of the dedup window, so that a
// replay gives the same ids. The package keeps no state of its own and reads no clock: whoever correlates owns the
// episodes and says what time it is.
package alert
