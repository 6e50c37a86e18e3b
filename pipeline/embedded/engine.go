//go:build !static

package embedded

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// runEngine loads libchdb and runs clickhouse-local with args to its end.
func runEngine(lib string, args ...string) error {
	handle, err := purego.Dlopen(lib, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("load libchdb: %w\nrun `make deps`, or set TOCSIN_CHDB_LIB to a libchdb.so for this machine", err)
	}
	var (
		setSignalHandlers func(enabled int32)
		queryCmdline      func(argc int32, argv **byte) unsafe.Pointer
		resultError       func(unsafe.Pointer) string
	)
	purego.RegisterLibFunc(&setSignalHandlers, handle, "chdb_set_signal_handlers_enabled")
	purego.RegisterLibFunc(&queryCmdline, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")

	// With its own handlers a crashed engine sleeps for many seconds; without
	// them the kernel ends the child at once.
	setSignalHandlers(0)

	var pin runtime.Pinner
	defer pin.Unpin()
	argv := []*byte{}
	for _, arg := range append([]string{"clickhouse-local"}, args...) {
		c := append([]byte(arg), 0)
		pin.Pin(&c[0])
		argv = append(argv, &c[0])
	}
	argv = append(argv, nil)
	pin.Pin(&argv[0])
	if msg := resultError(queryCmdline(int32(len(argv)-1), &argv[0])); msg != "" {
		return fmt.Errorf("clickhouse: %s", msg)
	}
	return nil
}
