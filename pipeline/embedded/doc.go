// Package embedded runs the broker and the warehouse that a bare machine lacks:
// franz-go's kfake as Kafka, in this process, and a real ClickHouse in a child
// process. tocsin demo, tocsin dev and the tests use them through the same
// clients and the same code as a production cluster.
//
// # ClickHouse
//
// libchdb is ClickHouse as a shared library. It holds clickhouse-local, whose
// SYSTEM START LISTEN opens the real native and HTTP listeners. The path of a
// start:
//
//	parent  StartClickHouse   locks the folder, writes config.xml and users.xml,
//	                          runs its own binary again
//	child   MaybeChild        loads libchdb (purego, no cgo) and runs one query
//	                          list: open the listeners, write both port numbers
//	                          to a file, then read from a pipe that stays silent
//	parent  StartClickHouse   reads the ports: the server is up
//	parent  Stop              closes the child's stdin
//	child                     closes the silent pipe; the last query ends, and
//	                          with it the engine, cleanly
//
// The parent removes the ports file under the folder's lock before it starts
// the child, so what it then finds is this child's word: a foreign server on
// the same port is never taken for ours. A port of 0 is chosen by the kernel at
// the moment it is bound, so there is nothing to race for.
//
// The child's stdin is its lifeline. It closes when the parent stops, panics
// or is killed, and SIGTERM has the same effect; the engine then has
// childGrace to end cleanly before the child exits anyway. That is why there
// is no Pdeathsig: it would kill without the clean end, and it fires when the
// parent's thread dies, not its process.
//
// The engine must never run in the Go process itself: it replaces Go's SIGSEGV
// handler, after which a nil dereference hangs instead of panicking.
//
// # Files
//
//	lock             held for as long as a process uses the folder; names its pid
//	config.xml       written at each start
//	config.d/*.xml   yours: merged over config.xml, as in any ClickHouse
//	users.xml        written at each start from ClickHouseConfig.Users
//	users.d/*.xml    yours, but for embedded.xml: merged over users.xml
//	ports            native and HTTP port of the running child
//	clickhouse.log   output of the running child; .old is that of the one before
//	backups/         the one place BACKUP ... TO File('name') may write to
//	kafka.log        what kfake complained of (in Kafka's folder)
//
// # The library
//
// libchdb comes from npm, by the version and the sha512 that pin.go holds: `make
// deps` (go run ./pipeline/embedded/fetch) puts it into the user's cache, and
// LibraryPath finds it there. TOCSIN_CHDB_LIB names another one.
//
// # Known limits
//
//   - Linux on amd64 with glibc is tested, and its library is pinned by hash.
//     Linux and macOS on arm64 are pinned by version, npm checks the registry's
//     hash, and nobody has run the tests there yet. Elsewhere bring libchdb
//     yourself; Windows has none.
//   - The default user has no password, and the engine lets whoever may query
//     read and write any file that this user can, with file(). So it listens on
//     loopback only; on a machine shared with others, or with a fixed HTTP port
//     beside a web browser, set ClickHouseConfig.Users.
//   - Users live in users.xml; CREATE USER and CREATE ROW POLICY fail. The
//     database default is an overlay: create your own. No TLS, no .zip backups,
//     no writable ReplicatedMergeTree.
//   - kfake holds its index in memory and is one broker. Without an fsync a
//     batch it survives the death of the process, not of the machine.
package embedded
