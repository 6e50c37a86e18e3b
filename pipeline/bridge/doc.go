// Package bridge carries alerts from the teams' topics to where people look: a webhook, Alertmanager, PagerDuty, Slack,
// Teams, e-mail, Pandora FMS, an OCSF collector, a SIEM that reads syslog.
//
//	topic -> Bridge.Deliver: for this bridge? newer than what was delivered? -> rate limit -> peer -> (again, later) -> commit
//
// A bridge is a consumer group of its own. A record's position is committed once the peer has it, so that a crash delivers
// it again: each peer is given a key by which it knows that (the table in docs/alerts.md). What a peer can't be asked again
// (it says that the request is wrong) is a dead letter with the reason; all else is tried until it works.
package bridge
