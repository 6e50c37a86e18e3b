// Package pipeline is the core that everybody reads first: what flows (Record, Batch, Event, Signal, Alert), who works on
// it (Processor), where it comes from and goes to (the interfaces of worker.go), and in which order (Worker).
//
// It knows no Kafka, no ClickHouse and no rule. The path of a record is written down in docs/ARCHITECTURE.md.
package pipeline
