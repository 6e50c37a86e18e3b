// Fetch puts the pinned libchdb into the user's cache and prints its path:
//
//	go run ./pipeline/embedded/fetch
//
// It does nothing if the library is there. npm does the download.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()

	path, err := embedded.FetchLibrary(ctx, progress())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}

// progress draws on stderr if that is a terminal.
func progress() func(done, total int64) {
	st, err := os.Stderr.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return func(done, total int64) {}
	}
	const width = 40
	return func(done, total int64) {
		bar := strings.Repeat("#", int(done*width/total))
		fmt.Fprintf(os.Stderr, "\rfetch libchdb [%-*s] %d of %d MB", width, bar, done/1e6, total/1e6)
		if done == total {
			fmt.Fprintln(os.Stderr, "\nverify and unpack")
		}
	}
}
