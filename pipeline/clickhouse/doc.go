// Package clickhouse is the warehouse: it makes the tables (DB.Migrate), writes the rows (EventSink and its kin) and
// answers queries. It is the only importer of ClickHouse's clients.
//
// The path of a batch:
//
//	Append  each field of each event is copied into its column of the open block (event.go, column.go, block.go)
//	Flush   the block goes out as one native block in one INSERT, LZ4, with all settings that the guarantee rests on and
//	        the chunk's token (sink.go), over one of a few ch-go connections (pool.go)
//	error   Classify says retry, isolate or halt (errors.go); the block stays, so a retry is the same bytes
//
// A table's columns are one list of name, type and getter (event.go, record.go); migrations in package sql make the same
// columns, and a test compares the two with each other and with schemas.EventFields. Queries and DDL go through
// clickhouse-go, blocks through ch-go, which takes columns as they are.
//
// What is not obvious:
//   - A token is kept by the table, not by the server: every view's target has a window of its own.
//   - ClickHouse stores a block atomically by partition of the table. A block over several days that broke off half-way is
//     completed by the retry, as each partition has the token's hash for itself.
//   - Strings are copied on Append, LowCardinality ones into a dictionary that outlives the block. A block is given back to
//     its table after Flush: sinks of idle partitions hold no memory.
//   - A row's time is clamped (clamp.go), so that no block has more days than ClickHouse takes.
package clickhouse
