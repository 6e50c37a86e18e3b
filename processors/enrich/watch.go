package enrich

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// lookEvery is how often the files are looked at. Looking, unlike the kernel's notices, also works over symbolic links
// that are swapped and on network file systems.
const lookEvery = 2 * time.Second

// Run keeps the tables fresh until ctx ends: a change is in use within about two looks and the time to read the table.
func (en *Enricher) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			en.look()
		}
	}
}

// look reads the tables whose files have changed, and have then been left alone for one look: a file that is still being
// written is not read.
func (en *Enricher) look() {
	for _, t := range en.tables {
		now, err := stat(t.files)
		if err != nil {
			t.tried, t.seen = nil, nil
			en.failed(t, t.note(err))
			continue
		}
		settled := same(now, t.seen)
		t.seen = now
		if !settled || same(now, t.tried) {
			continue
		}
		started := time.Now()
		p, changed, err := t.load()
		if changed {
			continue
		}
		if err != nil {
			en.failed(t, err)
			continue
		}
		next := *en.current.Load()
		p.install(&next)
		en.current.Store(&next)
		t.told = ""
		entries, _ := p.size()
		en.log.Info("table loaded", zap.String("table", t.name), zap.Int("entries", entries), zap.Duration("elapsed", time.Since(started)))
	}
}

// failed logs a table's problem, once.
func (en *Enricher) failed(t *table, err error) {
	if t.told != err.Error() {
		t.told = err.Error()
		en.log.Error("table not loaded, the one before stays", zap.String("table", t.name), zap.Error(err))
	}
}
