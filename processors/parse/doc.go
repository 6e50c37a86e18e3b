// Package parse turns records into events. Each source format is one file: a Format literal that says how it is
// recognised and a function that reads one piece of it. The table of formats.go lists them all.
//
// The path of a record through Parser.Process: decompress (gzip, zstd), drop a byte order mark, choose the format (the topic's
// binding, then headers, then the shape of its first bytes), cut the payload into pieces as the format's Frame says
// (the whole, one JSON value, one line), hand each piece to the format, then fill in what every event has: identity,
// class, context from headers, finding key, and take every secret out (redact.go).
//
// A piece that cannot be read gives no event; it is failed with line and reason, and the others go on.
// Formats know no network, no clock and no state: the same payload gives the same events.
package parse
