package embedded

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const loopback = "127.0.0.1"

// ClickHouseConfig says where an embedded ClickHouse keeps its data and
// listens. Only Dir is required.
type ClickHouseConfig struct {
	Lib      string // path of libchdb; "" takes LibraryPath
	Dir      string // data, configuration and log; created if missing
	TCPPort  int    // native protocol; 0 takes a free one
	HTTPPort int    // 0 takes a free one
	Users    string // the whole users.xml; "" is one user default, no password, all rights
	More     string // XML that is merged over the server's configuration, as a file of config.d; "" is nothing
}

// ClickHouse is a ClickHouse server in a child process, listening on loopback.
// Its methods may be called from any goroutine.
type ClickHouse struct {
	TCPAddr  string // host:port of the native protocol
	HTTPAddr string // host:port of HTTP

	dir      string
	cmd      *exec.Cmd
	lifeline io.Closer // the child's stdin
	stopping atomic.Bool
	done     chan struct{}
	err      error // why it ended; read after done
}

// StartClickHouse starts a server and returns when it answers, within a second
// as a rule. A folder that was used before comes back with its data; one that
// another process uses is refused. ctx bounds the start only. The caller owns
// the server and ends it with Stop; if this process dies first, the server
// ends by itself.
//
// It panics if MaybeChild was not called: the child would run main instead.
func StartClickHouse(ctx context.Context, cfg ClickHouseConfig) (*ClickHouse, error) {
	if !childChecked {
		panic("BUG: embedded.MaybeChild must be the first call of main and of TestMain")
	}
	c, err := startClickHouse(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start clickhouse: %w", err)
	}
	return c, nil
}

func startClickHouse(ctx context.Context, cfg ClickHouseConfig) (*ClickHouse, error) {
	if cfg.Lib == "" {
		lib, err := LibraryPath()
		if err != nil {
			return nil, err
		}
		cfg.Lib = lib
	}
	// The child and the engine resolve relative paths in ways of their own.
	var err error
	if cfg.Lib, err = filepath.Abs(cfg.Lib); err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child has its own copy

	config, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	c, err := spawn(cfg.Lib, config, cfg.Dir, lock)
	if err != nil {
		return nil, err
	}
	for {
		select {
		case <-c.done:
			return nil, c.err
		case <-ctx.Done():
			c.Kill()
			return nil, fmt.Errorf("not up in time: %w\n%s", ctx.Err(), logTail(cfg.Dir))
		case <-time.After(10 * time.Millisecond):
			// Ours for sure: prepare removed the last one's under the lock.
			ports, err := os.ReadFile(filepath.Join(cfg.Dir, portsFile))
			line, whole := strings.CutSuffix(string(ports), "\n")
			if err != nil || !whole {
				continue
			}
			tcp, http, _ := strings.Cut(line, "\t")
			c.TCPAddr, c.HTTPAddr = net.JoinHostPort(loopback, tcp), net.JoinHostPort(loopback, http)
			return c, nil
		}
	}
}

// serverConfig is the config.xml of the child.
type serverConfig struct {
	XMLName    xml.Name `xml:"clickhouse"`
	Path       string   `xml:"path"`
	ListenHost string   `xml:"listen_host"`
	TCPPort    int      `xml:"tcp_port"`
	HTTPPort   int      `xml:"http_port"`
	Users      string   `xml:"users_config"`
	Backups    string   `xml:"backups>allowed_path"`
}

const defaultUsers = `<clickhouse>
<profiles><default/></profiles>
<quotas><default/></quotas>
<users><default>
	<password></password>
	<networks><ip>127.0.0.1</ip></networks>
	<profile>default</profile>
	<quota>default</quota>
	<access_management>1</access_management>
</default></users>
</clickhouse>
`

// quickEnd is merged over users.xml. An idle native connection looks only every
// poll_interval whether the server is ending, and the end waits 5 s for it:
// with the default of 10 s a Stop takes those 5 s, with 1 s half a second.
const quickEnd = "<clickhouse><profiles><default><poll_interval>1</poll_interval></default></profiles></clickhouse>\n"

// attachSystem makes the system database one on disk. It is in memory
// otherwise, and then query_log and its kin fail at the second start of a
// folder: their files are there, their tables are not.
const attachSystem = "ATTACH DATABASE _ UUID '7b1f9f3e-52d1-4a0a-9d5e-6c1f6a0e5a11' ENGINE = Atomic\n"

// prepare writes what the child reads and returns the path of its config.
func prepare(cfg ClickHouseConfig) (string, error) {
	in := func(name ...string) string { return filepath.Join(append([]string{cfg.Dir}, name...)...) }
	config, err := xml.MarshalIndent(serverConfig{
		Path:       cfg.Dir,
		ListenHost: loopback,
		TCPPort:    cfg.TCPPort,
		HTTPPort:   cfg.HTTPPort,
		Users:      in("users.xml"),
		Backups:    in("backups"),
	}, "", "\t")
	if err != nil {
		return "", err
	}
	if cfg.Users == "" {
		cfg.Users = defaultUsers
	}
	if cfg.More == "" {
		cfg.More = "<clickhouse/>"
	}
	err = errors.Join(
		os.MkdirAll(in("backups"), 0o750),
		os.MkdirAll(in("metadata"), 0o750),
		os.MkdirAll(in("users.d"), 0o750),
		os.MkdirAll(in("config.d"), 0o750),
		os.WriteFile(in("config.d", "more.xml"), []byte(cfg.More), 0o600),
		os.WriteFile(in("config.xml"), config, 0o600),
		os.WriteFile(in("users.xml"), []byte(cfg.Users), 0o600),
		os.WriteFile(in("users.d", "embedded.xml"), []byte(quickEnd), 0o600),
		os.WriteFile(in("metadata", "system.sql"), []byte(attachSystem), 0o640),
	)
	if err != nil {
		return "", err
	}
	for _, err := range []error{
		os.Rename(in("clickhouse.log"), in("clickhouse.log.old")),
		os.Remove(in(portsFile)),
	} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return in("config.xml"), nil
}

// spawn starts the child, which shares the lock.
func spawn(lib, config, dir string, lock *os.File) (*ClickHouse, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logPath(dir))
	if err != nil {
		return nil, err
	}
	defer log.Close()

	cmd := exec.Command(self)
	cmd.Args = []string{"tocsin-clickhouse", lib, config}
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the parent, who stops the child
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &ClickHouse{dir: dir, cmd: cmd, lifeline: lifeline, done: make(chan struct{})}
	go c.wait()
	return c, nil
}

// wait reaps the child.
func (c *ClickHouse) wait() {
	defer close(c.done)
	err := c.cmd.Wait()
	if err != nil || !c.stopping.Load() {
		c.err = fmt.Errorf("clickhouse in %s ended: %v\n%s", c.dir, c.cmd.ProcessState, logTail(c.dir))
	}
}

// Done is closed when the server has ended, asked or not; Err then tells why.
func (c *ClickHouse) Done() <-chan struct{} { return c.done }

// Err returns nil while the server runs and after a clean end by Stop, else
// how the child ended with the last lines of its log.
func (c *ClickHouse) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Stop ends the server cleanly and waits for it: 20 ms, a second with native
// connections open, 5 s with a query under way, which is then cut off. When ctx
// is done first the child is killed, which costs no acknowledged insert, and the
// context's error is returned. On a server that has ended it returns Err.
func (c *ClickHouse) Stop(ctx context.Context) error {
	c.stopping.Store(true)
	c.lifeline.Close()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		c.Kill()
		return fmt.Errorf("stop clickhouse in %s: killed: %w", c.dir, ctx.Err())
	}
}

// Kill ends the server as a crash would, and waits for it.
func (c *ClickHouse) Kill() {
	_ = c.cmd.Process.Kill() // fails where it has ended already
	<-c.done
}

func logPath(dir string) string { return filepath.Join(dir, "clickhouse.log") }

// logTail returns the end of the child's log, and what to do about it where
// that is known.
func logTail(dir string) string {
	const lines = 12
	log, err := os.ReadFile(logPath(dir))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	tail := strings.Join(all[max(0, len(all)-lines):], "\n")
	switch {
	case tail == "":
		tail = logPath(dir) + " is empty"
	case strings.Contains(tail, "Address already in use"):
		tail += "\nchoose another port; 0 takes a free one"
	}
	return tail
}
