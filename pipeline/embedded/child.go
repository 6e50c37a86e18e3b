package embedded

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	childEnv = "TOCSIN_EMBEDDED_CLICKHOUSE"

	// portsFile is where the engine says that it listens, "tcp\thttp\n", in its
	// working folder, the data folder. Never /dev/stdout: INTO OUTFILE renames a
	// new file over one that exists, and root may do that in /dev.
	portsFile = "ports"

	// childGrace is how long the engine may take to end cleanly once the
	// lifeline is cut. Idle it takes under 0.2 s.
	childGrace = 30 * time.Second
)

// childChecked says that MaybeChild was called.
var childChecked bool

// MaybeChild must be the first call of main, and of TestMain in a package
// whose tests start ClickHouse. In the child process that StartClickHouse
// makes of this binary it runs the server and never returns; in every other
// process it returns at once.
func MaybeChild() {
	childChecked = true
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild(os.Args[1], os.Args[2]))
	}
}

// runChild serves until stdin ends or SIGTERM comes. It returns the exit code:
// 0 after a clean end that was asked for.
func runChild(lib, config string) int {
	runtime.LockOSThread()
	// A plain pipe(2), because the engine opens it anew under /dev/fd and on
	// darwin that would share the non-blocking mode of Go's own pipes.
	var silent [2]int
	if err := syscall.Pipe(silent[:]); err != nil {
		fmt.Fprintln(os.Stderr, "make a pipe:", err)
		return 1
	}
	var asked atomic.Bool
	go func() {
		awaitEnd()
		asked.Store(true)
		_ = syscall.Close(silent[1]) // the engine sees the end of its input
		time.Sleep(childGrace)
		fmt.Fprintf(os.Stderr, "no clean end within %v\n", childGrace)
		os.Exit(1)
	}()

	err := runEngine(lib, "--config-file", config, "--query", fmt.Sprintf(
		`SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;
		SELECT getServerPort('tcp_port'), getServerPort('http_port') INTO OUTFILE '%s' FORMAT TSV;
		SELECT count() FROM file('/dev/fd/%d', 'LineAsString', 'line String') FORMAT Null`, portsFile, silent[0]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if !asked.Load() {
		return 1 // the engine has told its reason on stderr
	}
	return 0
}

// awaitEnd returns when the parent has closed the lifeline, has died, or
// somebody sent SIGTERM.
func awaitEnd() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	cut := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however it ends
		close(cut)
	}()
	select {
	case <-term:
	case <-cut:
	}
}
