package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/tocsin-project/tocsin/pipeline"
)

// peer is where a bridge leads to.
type peer interface {
	// deliver returns when the peer has the message; a refused error says that it never will.
	deliver(ctx context.Context, m *message) error
}

// refresher is a peer that has to be told again of what is open.
type refresher interface {
	refresh(ctx context.Context) error
}

// message is one version of an alert in the words of the bridge.
type message struct {
	*pipeline.Alert
	record []byte // as it is on the topic
	title  string // one line
	text   string
	link   string // of the dashboard; "" where there is none
}

// entity returns the first value of a kind of entity; "" where there is none.
func (m *message) entity(kind string) string {
	first, _, _ := strings.Cut(m.Entities[kind], ",+")
	return first
}

// key names the version, the same at each try.
func (m *message) key() string { return fmt.Sprintf("%s.%d", m.ID, m.Version) }

// open reports whether the message says that somebody should look, or looks.
func (m *message) open() bool {
	return m.Status == pipeline.StatusFiring || m.Status == pipeline.StatusUpdated || m.Status == pipeline.StatusAcked
}

// refused is an answer that no second try changes.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Times of a retry. The first one waits shortest, and each further one twice as long.
const (
	firstWait = 500 * time.Millisecond
	lastWait  = time.Minute
	// tryTime bounds one try.
	tryTime = 20 * time.Second
)

// maxKnown bounds how many alerts' versions are remembered; beyond it all that are over are forgotten.
const maxKnown = 10_000

// Bridge delivers alerts to one peer. It serves one goroutine.
type Bridge struct {
	cfg         Config
	log         *zap.Logger
	title, text *template.Template
	limit       *rate.Limiter
	peer        peer
	known       map[uuid.UUID]known // alerts that were carried
	wait        time.Duration       // before the second try
	metrics     *Metrics            // nil for none
}

type known struct {
	version uint64
	open    bool
}

// New returns a bridge. Nothing is connected to before the first alert.
func New(cfg Config, log *zap.Logger) (*Bridge, error) {
	if err := Check([]Config{cfg}); err != nil {
		return nil, err
	}
	if cfg.PerMinute == 0 {
		cfg.PerMinute = DefaultPerMinute
	}
	b := &Bridge{cfg: cfg, log: log, known: map[uuid.UUID]known{}, wait: firstWait, limit: rate.NewLimiter(rate.Limit(float64(cfg.PerMinute)/60), max(cfg.PerMinute/6, 1))}
	b.title = template.Must(words("title", either(cfg.Title, defaultTitle)))
	b.text = template.Must(words("text", either(cfg.Text, defaultText)))
	for _, k := range kinds {
		if k.name == cfg.Kind {
			var err error
			if b.peer, err = k.open(b); err != nil {
				return nil, fmt.Errorf("bridge %s: %w", cfg.Name, err)
			}
		}
	}
	return b, nil
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Deliver carries a record of a team's topic to the peer and returns when the peer has it, or ctx ends. What the peer
// refuses for good comes back as the reason, for the dead letters.
func (b *Bridge) Deliver(ctx context.Context, record []byte) (reason string, err error) {
	a, err := pipeline.DecodeAlert(record)
	if err != nil {
		return err.Error(), nil
	}
	before, carried := b.known[a.ID]
	if carried && a.Version <= before.version || !carried && !b.carries(a) {
		return "", nil
	}
	m := &message{Alert: a, record: record, title: b.render(b.title, usualTitle, a), text: b.render(b.text, usualText, a)}
	m.title = strings.Join(strings.Fields(m.title), " ") // one line, whatever events had in them
	if b.cfg.Links != "" && a.Links.Dashboard != "" {
		m.link = strings.TrimRight(b.cfg.Links, "/") + a.Links.Dashboard
	}
	began := time.Now()
	for wait := b.wait; ; wait = min(2*wait, lastWait) {
		if err := b.limit.Wait(ctx); err != nil {
			return "", fmt.Errorf("bridge %s: %w", b.cfg.Name, err)
		}
		try, cancel := context.WithTimeout(ctx, tryTime)
		err := b.peer.deliver(try, m)
		cancel()
		var no refused
		switch {
		case err == nil:
			b.remember(m)
			b.count(delivered)
			b.took(time.Since(began).Seconds())
			return "", nil
		case errors.As(err, &no):
			b.remember(m)
			b.count(refusedTry)
			return fmt.Sprintf("bridge %s: %v", b.cfg.Name, err), nil
		case ctx.Err() != nil:
			return "", fmt.Errorf("bridge %s: %w", b.cfg.Name, ctx.Err())
		}
		b.count(failedTry)
		var later tooMany
		if errors.As(err, &later) {
			wait = max(wait, later.after)
		}
		b.log.Warn("deliver alert, again later", zap.String("alert_id", a.ID.String()), zap.Uint64("version", a.Version), zap.Duration("wait", wait), zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// render returns the words for the alert; the usual ones where those of the configuration cannot be said of it: somebody is to
// be told all the same.
func (b *Bridge) render(words, usual *template.Template, a *pipeline.Alert) string {
	text, err := render(words, a)
	if err != nil {
		b.log.Error("template, the usual words instead", zap.String("alert_id", a.ID.String()), zap.Error(err))
		text, _ = render(usual, a) // a test renders them for every alert there can be
	}
	return text
}

// carries reports whether the bridge begins to carry such an alert. An alert's severity only rises, so that the end of one
// that was carried before a restart is carried as well.
func (b *Bridge) carries(a *pipeline.Alert) bool {
	return (len(b.cfg.Teams) == 0 || slices.Contains(b.cfg.Teams, a.Team)) && a.Severity >= b.cfg.MinSeverity
}

func (b *Bridge) remember(m *message) {
	if len(b.known) >= maxKnown {
		for id, k := range b.known {
			if !k.open {
				delete(b.known, id)
			}
		}
	}
	b.known[m.ID] = known{m.Version, m.open()}
}

// Refresh tells the peer again what it would forget. It is called every half minute.
func (b *Bridge) Refresh(ctx context.Context) {
	r, ok := b.peer.(refresher)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := r.refresh(ctx); err != nil && ctx.Err() == nil {
		b.log.Warn("tell the peer again", zap.Error(err))
	}
}
