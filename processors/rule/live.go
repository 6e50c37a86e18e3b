package rule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"
)

// lookEvery is how often the files are looked at. Looking, unlike the kernel's notices, also works over symbolic links that
// are swapped and on network file systems.
const lookEvery = 2 * time.Second

// Live is the set of rules in use. Its files are looked at all the time: a changed set is read and checked as a whole, and
// then takes the place of the one before; a set with a mistake is refused as a whole, and the one before stays. Matchers
// of [Live.NewMatcher] and engines that follow [Live.Set] change over between two batches, and between two signals.
type Live struct {
	paths   []string
	load    func() (*Set, error)
	log     *zap.Logger
	current atomic.Pointer[inUse]

	// What the files looked like when they were read last, and at the last look. They are Run's alone.
	tried, seen uint64

	mu      sync.Mutex // guards what follows
	problem error
	loaded  time.Time
	reloads uint64
	refused uint64
	traffic traffic
	// accounts of rules, and the definitions that are quarantined, by the rule's id.
	accounts    map[string]*account
	quarantined map[string]definition
}

// NewLive calls load, and again whenever a file at or below the paths has changed. A set that cannot be used at the start is
// an error.
func NewLive(paths []string, load func() (*Set, error), log *zap.Logger) (*Live, error) {
	l := &Live{paths: paths, load: load, log: log, accounts: map[string]*account{}, quarantined: map[string]definition{},
		traffic: traffic{rules: map[string]*Counts{}, excepted: map[string]uint64{}, types: map[string]uint64{}, carried: map[typeField]bool{}}}
	var err error
	if l.tried, err = fingerprint(paths); err != nil {
		return nil, err
	}
	l.seen = l.tried
	set, err := load()
	if err != nil {
		return nil, err
	}
	l.use(set)
	return l, nil
}

func (l *Live) use(set *Set) {
	l.mu.Lock()
	l.loaded, l.problem = time.Now(), nil
	set.live = l
	l.current.Store(&inUse{set, l.quarantinedOf(set)})
	l.mu.Unlock()
	if notes := set.Notes(); len(notes) > 1 { // the last one sums up
		l.log.Warn("rules not in use, which tocsin rules check names", zap.String("reason", notes[len(notes)-1]))
	}
}

// Set returns the set in use.
func (l *Live) Set() *Set { return l.current.Load().set }

// NewMatcher returns a matcher for one worker. It judges each batch by the set that is in use when the batch begins.
func (l *Live) NewMatcher() *Matcher {
	m := l.Set().NewMatcher()
	m.live = l
	return m
}

// Problem returns what is wrong with the files at present, so that the set before stays in use; nil where nothing is.
func (l *Live) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// Run keeps the set fresh until ctx ends: a change is in use within about two looks.
func (l *Live) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.Look()
		}
	}
}

// Look reads the files that have changed, and have then been left alone for one look: a folder that is still being written
// to is not read. Run calls it; it is not to be called at the same time.
func (l *Live) Look() {
	now, err := fingerprint(l.paths)
	if err != nil {
		l.tried, l.seen = 0, 0
		l.refuse(err)
		return
	}
	settled := now == l.seen
	l.seen = now
	if !settled || now == l.tried {
		return
	}
	l.tried = now
	set, err := l.load()
	if after, statErr := fingerprint(l.paths); statErr != nil || after != now {
		l.tried = 0 // they moved while they were read: what was read means nothing
		return
	}
	if err != nil {
		l.refuse(err)
		return
	}
	l.use(set)
	l.mu.Lock()
	l.reloads++
	l.mu.Unlock()
	l.log.Info("rules loaded", zap.Int("rules", len(set.Rules)))
}

// refuse keeps the set in use. It logs each mistake, once.
func (l *Live) refuse(err error) {
	l.mu.Lock()
	told := l.problem != nil && l.problem.Error() == err.Error()
	if !told {
		l.problem = err
		l.refused++
	}
	l.mu.Unlock()
	if told {
		return
	}
	l.log.Error("rules not loaded, the set before stays", zap.Int("rules", len(l.Set().Rules)))
	var mistakes Errors
	if !errors.As(err, &mistakes) {
		l.log.Error("rules not loaded", zap.Error(err))
	}
	for _, m := range mistakes {
		l.log.Error("rules not loaded", zap.Error(m))
	}
}

// fingerprint tells the state of all files below the paths. It follows symbolic links, so a link that is swapped (as
// Kubernetes does it with a ConfigMap) is a change.
func fingerprint(paths []string) (uint64, error) {
	var names []string
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if name != path && isHidden(entry.Name()) {
					return fs.SkipDir
				}
				return nil
			}
			if isOurs(name) || name == path {
				names = append(names, name)
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("read rules: %w", err)
		}
	}
	slices.Sort(names)
	h := xxhash.New()
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return 0, fmt.Errorf("read rules: %w", err)
		}
		fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	}
	return h.Sum64(), nil
}

// isOurs tells whether a file is part of a set: a rule, exceptions, a list.
func isOurs(name string) bool { return IsRuleFile(name) || IsExceptionFile(name) || IsListFile(name) }

// isHidden tells folders that are not looked into: those of version control, and those that Kubernetes keeps the versions
// of a ConfigMap in.
func isHidden(name string) bool { return len(name) > 1 && name[0] == '.' && name != ".." }
