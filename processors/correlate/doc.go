// Package correlate holds the state of rules: what happened in which window, which step of a sequence was seen, how a
// database grows. An [Engine] serves one partition of the signals topic; the correlation key is the partition's key, so
// no state is shared.
//
// The path of a signal through [Engine.Process]:
//
//	seen before? (one high-water mark for each input partition) -> dropped, counted
//	watermark moves -> timers: windows that are over resolve their alerts, empty keys are forgotten
//	later than the watermark allows? -> dropped, counted
//	state of (rule, key): threshold.go, sequence.go, growth.go -> alert.Episode -> records in Output
//
// # Time
//
// All time is event time. The watermark is the least of the input partitions' newest event times, less the lateness
// bound. That of rules that take alerts is the least of what the engines of all partitions say of the rules that give
// them, less the bound (clock.go). Signals may come in any order within it: a window is judged for every position that a late event changes, so
// what fires does not depend on the order; what an alert says at its first record may.
//
// # Transactions
//
// The caller processes the signals of a poll, then writes alerts, growth rows, the changed states (Dirty) and the
// consumer's offsets in one Kafka transaction. If it is committed it calls Commit, if it is aborted Rollback: then the
// state is as it was at the last Commit, byte for byte, and the same signals come again. A key's state is encoded when
// a transaction touches it first; that one encoding serves Rollback, Dirty and Restore.
//
// # What it must not do
//
// It reads no clock, starts no goroutine, takes no lock and knows no Kafka.
package correlate
