// Package alert turns what rules have found into records for teams.
//
// An [Episode] is the life of one dedup key of one rule: it fires, is updated, and is resolved. Each of these is one
// [pipeline.Alert] for each team that subscribes to the rule:
//
//	rule holds -> Episode.Add (evidence) -> Episode.Fire    -> firing, later updated (a minute apart, or at once when it gets worse)
//	rule ends  ->                           Episode.Resolve -> resolved, always
//
// What was found goes to the [Desk], which sees all alerts of a team and what people say of them:
//
//	found -> closed by a person? -> a label, a window, a silence, an inhibition? -> acknowledged? -> the team's quota -> told
//	           (nothing new: dropped)       (stored: suppressed)                      (acked)         (else stored: cap)
//
// It numbers the versions of each alert, sees to it that every alert that a team was told of is resolved for it, and holds
// its state in a changelog.
//
// The alert's id is made of the rule, its version, the team, the dedup key and the start of the dedup window, so that a
// replay gives the same ids. The package reads no clock: whoever correlates owns the episodes and says what time
// it is, and the desk's time is that of its records.
package alert
