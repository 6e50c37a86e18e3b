// Package detect warns early: it turns metric samples and event times into
// anomaly scores, one pass, with constant state per series.
//
// # Detectors
//
//   - [Anomaly] scores any metric series without knowing anything about it.
//   - [Deviation] says that a value is worse than the few before it.
//   - [Silence] says when a source or host has been quiet for too long,
//     measured against its own habit.
//   - [Growth] tells the exponential growth of a database under attack; it is
//     described there.
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
// # How the anomaly detector works, and what each part adds
//
// A row is looked at in five ways ([Evidence]); each view keeps the range it
// has moved in so far, and a row is anomalous by how far it lies outside. The
// five are joined by their Euclidean norm; of that a row scores what exceeds
// the decaying peak of the event it belongs to. There is no model of the
// series, no threshold inside and nothing to train.
//
// Measured by the rules of the Numenta Anomaly Benchmark v1.1 (Lavin and Ahmad
// 2015) on the half of it used in development, 29 series with 60 windows; bench/nab
// repeats it, bench/results/nab.txt has all of it. "Varied" is the mean over the
// corpus and eight variations of it; one point is within its noise:
//
//	                        standard   low FP   varied
//	range of values alone       56.6     54.5     56.2
//	all                         73.2     66.5     71.3
//	all but Value               70.8     65.3     70.2
//	all but Change              70.2     64.5     68.4
//	all but Spike               69.7     64.4     67.9
//	all but Shift               72.7     67.0     70.1
//	all but Season              71.1     65.7     70.1
//	all but the refractory time 71.2     64.9     69.3
//
// With the threshold taken from one half of the series and scored on the
// other it is 69.6; expect that rather than 73 of series never seen.
//
// Tried and left out, in points of the varied score: moving means in place of
// the medians -3; ranges that forget in 10000 rows -3; one range for both sides
// -2; a bound that follows a record by half only -2; a range for each hour of
// the day below -3; a profile of weekends -1; the size of a record against
// those before it -0.5; logarithms -1; learning the time of day from medians
// -2. The level's own range, noise level, autoregressive residuals, run
// lengths, gaps between rows, a second range of shorter memory, a peak for each
// view, other norms and weights: none adds more than 0.5. Tail probabilities of
// residuals in their own decayed history scored 43 where their ranges scored 59.
//
// What it does not see: a series that goes still at an ordinary level unless
// that breaks with the time of day, and a drift slower than some hundreds of
// rows until it leaves the range of values.
//
// # What it must not do
//
// It reads no wall clock, starts no goroutine, takes no lock, keeps no
// reference to what it is given, and looks at nothing but the past: not the
// length, the minimum or the maximum of a series. It knows no Event, no Kafka
// and no ClickHouse. A detector belongs to one worker and is not safe for
// concurrent use.
package detect
