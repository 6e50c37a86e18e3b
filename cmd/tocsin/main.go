// Tocsin reads what every phase of a DevSecOps life cycle emits from Kafka, normalizes, enriches and correlates it, warns of
// attacks, and leaves exact columnar data in ClickHouse. `tocsin --help` lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
)

// errNo means that the command did its work and the answer is "no": findings, failed tests, rejected input. What is
// wrong was already said.
var errNo = errors.New("no")

func main() {
	embedded.MaybeChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run returns the exit code: 0 fine, 1 the answer is "no", 2 wrong use, wrong configuration or a failure.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return 1
	}
	fmt.Fprintln(os.Stderr, "tocsin:", err)
	return 2
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tocsin",
		Short: "Streaming DevSecOps monitoring: from Kafka to ClickHouse, with alerts for each team",
		Long: `Tocsin reads what every phase of a DevSecOps life cycle emits, from Kafka; normalizes, enriches and correlates it
with expression rules; warns early of attacks, above all of databases that grow exponentially because of one; and
leaves exact columnar data in ClickHouse and alerts for each team on output topics.

Machine-readable output goes to standard output, everything for people to standard error.
Exit status: 0 fine, 1 the answer is "no" (findings, failed tests, rejected input), 2 wrong use or configuration.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newDemo(), newDev(), newRun(),
		newReceive(), newSend(), newSample(), newTop(),
		newParse(), newSources(), newCheck(),
		newRules(), newReplay(), newAlert(), newSigma(), newDLQ(), newAudit(),
		newBridge(),
		newDetect(),
		newMigrate(), newBackup(), newRestore(), newSQL(),
	)
	return root
}

// release is set by the linker for released builds.
var release string

// version names the release, or the commit that the binary was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			rev = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if rev == "" {
		return "devel"
	}
	return "devel-" + rev + dirty
}
