// Package demo is the storyline that `tocsin demo` plays: thirty simulated minutes of the project "payments" under attack,
// as records in their tools' native formats (story.go, records.go), played into Kafka by their times (play.go), and the
// checks of what must have come out (check.go). The same storyline is the end-to-end test.
package demo
