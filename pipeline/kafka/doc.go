// Package kafka connects the pipeline to Kafka, through franz-go: Consumer feeds one pipeline.Worker a partition (the
// ingest role), Publisher sends signals and dead letters, Detect runs the stateful role in transactions, EnsureTopics
// creates what is missing. It is the only importer of the Kafka client.
package kafka
