//go:build e2e

package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/console/consoletest"
)

// TestBrowser reads the console with real Chromium: the pages draw, the links lead on, and nothing of it is refused by the
// policy or logged as an error. It fails where there is no Chromium. TOCSIN_SCREENSHOTS names a folder for
// pictures of what it saw.
func TestBrowser(t *testing.T) {
	browser := chromium(t)
	now := time.Now()
	full := migrated(t)
	seed(t, full, now)
	said := make(chan pipeline.Control, 10)
	base, empty := serve(t, Config{DB: full, People: []Person{{"maria", mariasToken}}, Say: func(_ context.Context, list []pipeline.Control) error {
		said <- list[0]
		return nil
	}}), serve(t, Config{DB: migrated(t)})
	boards := consoletest.Boards(t, base)

	for _, size := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1440, 900, "light"}, {"dark", 1440, 900, "dark"}, {"phone", 390, 844, "light"}} {
		t.Run(size.name, func(t *testing.T) {
			p := open(t, browser, size.width, size.height, size.scheme)
			for _, b := range boards {
				address := base + "/d/" + b.UID
				switch b.UID {
				case "tocsin-entity":
					address += "?var-id=203.0.113.7"
				case "tocsin-event":
					address += "?var-event=" + anyEvent(t, full)
				}
				p.visit(address, b.UID)
				p.shot(size.name + "-" + b.UID)
				for _, panel := range b.Panels {
					if state := p.text(fmt.Sprintf(`document.getElementById('panel-%d').dataset.state`, panel.ID)); state != "drawn" {
						t.Errorf("%s, panel %d (%s) is %q, want drawn: %s", b.UID, panel.ID, panel.Title, state, p.text(fmt.Sprintf(`document.querySelector('#panel-%d .panel-note').textContent`, panel.ID)))
					}
				}
				if blank := p.text(`[...document.querySelectorAll('canvas')].filter((c) => !c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)).length`); blank != "0" {
					t.Errorf("%s: %s charts are blank", b.UID, blank)
				}
				if wide := p.text(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide != "0" {
					t.Errorf("%s scrolls sideways by %s px at a width of %d", b.UID, wide, size.width)
				}
			}
			p.quiet()
		})
	}

	t.Run("which database, since when, because of whom, full when", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		from, to := fmt.Sprint(now.Add(-50*time.Minute).UnixMilli()), fmt.Sprint(now.UnixMilli())
		p.visit(base+"/?from="+from+"&to="+to, "tocsin-overview")
		p.click("#panel-3 td a")
		p.loaded("tocsin-dbgrowth")
		text := p.text(`document.querySelector('#panel-1').innerText`)
		for _, want := range []string{"db-1/pay/public.audit_log", "critical", "Full in", "Since"} {
			if !strings.Contains(text, want) {
				t.Errorf("the growth page does not say %q:\n%s", want, text)
			}
		}
		p.wantRange(from, to)
		p.click("#panel-3 td a")
		p.loaded("tocsin-entity")
		if id := p.query("var-id"); !strings.HasPrefix(id, "203.0.113.") && !strings.HasPrefix(id, "198.51.100.") {
			t.Errorf("the first address leads to %q", id)
		}
		p.wantRange(from, to)
		p.do(chromedp.NavigateBack())
		p.loaded("tocsin-dbgrowth")

		p.visit(base+"/?from="+from+"&to="+to, "tocsin-overview")
		p.click("#panel-5 td a")
		p.loaded("tocsin-alert")
		if text := p.text(`document.querySelector('#panel-1').innerText`); !strings.Contains(text, "grows exponentially under attack") {
			t.Errorf("the first alert says\n%s", text)
		}
		p.wantRange(from, to)
		p.quiet()
	})

	t.Run("dragging zooms", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		p.visit(base+"/d/tocsin-dbgrowth", "tocsin-dbgrowth")
		box, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]float64](`(() => { const r = document.querySelector('#panel-2 .u-over').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`))
		if err != nil {
			t.Fatal(err)
		}
		x, y := box[0]+box[2]*0.25, box[1]+box[3]/2
		p.do(chromedp.DragAndDropXY(x, y, x+box[2]*0.3, y))
		p.wait(`new URLSearchParams(location.search).has('from')`)
		if from, to := p.query("from"), p.query("to"); len(from) != 13 || to <= from {
			t.Errorf("after dragging the range is %s to %s", from, to)
		}
		p.quiet()
	})

	t.Run("keys and variables", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		p.visit(base+"/", "tocsin-overview")
		p.do(chromedp.KeyEvent("t"))
		p.wait(`document.querySelector('.range-form')`)
		p.do(chromedp.KeyEvent(kb.Escape))
		p.wait(`!document.querySelector('.range-form')`)
		p.do(chromedp.KeyEvent("t"), chromedp.SetValue(chromedp.CSS(".range-form input[name=from]"), "now-2h"))
		p.click(".range-form .primary")
		p.wait(`new URLSearchParams(location.search).get('from') === 'now-2h'`)
		p.loaded("tocsin-overview")

		p.click(".variable button")
		p.wait(`document.querySelectorAll('.options input').length > 1`)
		p.click(".options label:nth-of-type(2) input")
		p.shot("variable")
		p.click(".options .primary")
		p.wait(`new URLSearchParams(location.search).has('var-project')`)
		p.loaded("tocsin-overview")

		p.click("#panel-5 header button")
		p.click("#panel-5 header .menu-item")
		p.wait(`document.querySelector('dialog[open] pre')`)
		p.shot("inspect")
		p.do(chromedp.KeyEvent(kb.Escape))
		p.wait(`!document.querySelector('dialog')`)
		p.quiet()
	})

	t.Run("an alert is acknowledged, and its rule silenced", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		p.visit(base+"/d/tocsin-alert", "tocsin-alert")
		p.click("#say")
		p.wait(`document.querySelector('.say-form')`)
		p.shot("say")
		p.do(chromedp.SetValue(chromedp.CSS(".say-form [name=reason]"), "mine"), chromedp.SetValue(chromedp.CSS(".say-form [name=token]"), "nobody's"))
		p.click(".say-form .primary")
		p.wait(`/nobody's/.test(document.querySelector('.say-form .problem').innerText)`)
		p.do(chromedp.SetValue(chromedp.CSS(".say-form [name=token]"), mariasToken))
		p.click(".say-form .primary")
		p.wait(`/as maria/.test(document.querySelector('.say-form [role=status]')?.innerText)`)
		if c := <-said; c.Action != pipeline.ControlAck || c.By != "maria" || c.Reason != "mine" || c.Until.Sub(c.Time) != 2*time.Hour {
			t.Errorf("said was %+v", c)
		}
		p.click("dialog button[aria-label=Close]")
		p.click("#say")
		p.wait(`document.querySelector('.say-form')`)
		p.text(`(() => { const s = document.querySelector('.say-form [name=what]'); s.value = 4; s.dispatchEvent(new Event('change')); })()`)
		p.do(chromedp.SetValue(chromedp.CSS(".say-form [name=reason]"), "known"))
		p.click(".say-form .primary") // the tab remembers the token
		p.wait(`/as maria/.test(document.querySelector('.say-form [role=status]')?.innerText)`)
		if c := <-said; c.Action != pipeline.ControlSilence || c.Match.Rule == "" || c.Match.Entity == "" {
			t.Errorf("said was %+v", c)
		}
	})

	t.Run("alerts as they come", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		p.visit(base+"/", "tocsin-overview")
		p.do(chromedp.KeyEvent("l"))
		p.wait(`document.querySelectorAll('#tail li').length > 3`)
		p.shot("tail")
		if err := full.Exec(t.Context(), "INSERT INTO alerts (alert_id, version, ts, severity_id, status, team, title) VALUES ('0192aaaa-0000-4000-8000-00000000abcd', 1, now64(3), 5, 'firing', 'sec', 'brand new')"); err != nil {
			t.Fatal(err)
		}
		p.wait(`/brand new/.test(document.querySelector('#tail li').innerText)`)
		p.click("#tail li a")
		p.loaded("tocsin-alert")
		p.wait(`document.querySelectorAll('#tail li').length > 3`)
		p.click("#tail button[aria-label=Close]")
		p.wait(`!document.querySelector('#tail')`)
		p.quiet()
	})

	t.Run("nothing yet, and nothing in this range", func(t *testing.T) {
		p := open(t, browser, 1440, 900, "light")
		p.visit(empty+"/", "tocsin-overview")
		if text := p.text(`document.getElementById('notice').innerText`); !strings.Contains(text, "Nothing has arrived yet") {
			t.Errorf("an empty console says %q", text)
		}
		p.shot("empty")
		p.visit(base+"/?from=1600000000000&to=1600003600000", "tocsin-overview")
		p.shot("elsewhere")
		p.click("#notice button")
		p.wait(`document.getElementById('notice').hidden && document.body.dataset.loaded`)
		p.quiet()
		p.visit(base+"/d/no-such", "broken")
		p.shot("broken")
	})
}

// chromium returns the browser's path.
func chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no chromium: install Debian's package chromium")
	return ""
}

// tab is one tab of a browser and what it complained of.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	errors []string
}

func open(t *testing.T, browser string, width, height int64, scheme string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return // the tab is closed
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				p.mu.Lock()
				p.errors = append(p.errors, m.String())
				p.mu.Unlock()
			}
		}
	}()
	p.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	return p
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.fatal(err)
	}
}

func (p *tab) fatal(err error) {
	p.t.Helper()
	p.shot("failed")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("%v; the browser complained of %q", err, p.errors)
}

// wait waits until an expression holds.
func (p *tab) wait(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")")); err != nil {
		p.fatal(fmt.Errorf("wait until %s: %w", expression, err))
	}
}

// loaded waits until the page has asked for everything once.
func (p *tab) loaded(uid string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`document.body?.dataset.loaded === %q && !document.body.classList.contains('busy')`, uid))
}

func (p *tab) visit(address, uid string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
	p.loaded(uid)
}

// click clicks the first element of a CSS selector.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// text returns the value of an expression, as text.
func (p *tab) text(expression string) string {
	p.t.Helper()
	s, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		p.fatal(fmt.Errorf("%s: %w", expression, err))
	}
	return s
}

// query returns a parameter of the page's address.
func (p *tab) query(name string) string {
	p.t.Helper()
	return p.text(fmt.Sprintf(`new URLSearchParams(location.search).get(%q)`, name))
}

func (p *tab) wantRange(from, to string) {
	p.t.Helper()
	if p.query("from") != from || p.query("to") != to {
		p.t.Errorf("the link led to the range %s to %s, want %s to %s", p.query("from"), p.query("to"), from, to)
	}
}

// quiet fails the test if the browser has had to complain.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.errors {
		p.t.Errorf("browser: %s", err)
	}
}

func (p *tab) shot(name string) {
	dir := os.Getenv("TOCSIN_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}
