// Package detect warns early: it turns metric samples and event times into
// anomaly scores, one pass, with constant state per series.
//
// # Detectors
//
//   - [Anomaly] scores any metric series without knowing anything about it.
//   - [Silence] says when a source or host has been quiet for too long,
//     measured against its own habit.
//
// # Path of a sample
//
// The caller owns one detector per series and feeds it in offset order:
//
//	sample -> Anomaly.Observe -> AnomalyVerdict.Score -> alert, if over the bar
//	event  -> Silence.Observe ; watermark -> Silence.Check -> alert, if silent
//
// A detector's whole memory is the bytes of AppendBinary. After UnmarshalBinary
// into a detector built with the same configuration it continues as if it had
// never stopped, bit for bit; the shared suite in detecttest holds this for
// every detector.
//
// # What it must not do
//
// It reads no wall clock, starts no goroutine, takes no lock, keeps no
// reference to what it is given, and looks at nothing but the past: not the
// length, the minimum or the maximum of a series. It knows no Event, no Kafka
// and no ClickHouse. A detector belongs to one worker and is not safe for
// concurrent use.
package detect
