// A panel's frame: title, description, menu, and the one state that it is in: drawn, empty or failed. What is drawn stays
// until there is something newer: nothing flickers while it loads.

import { h, icon, menu, dialog } from '../dom.js';
import { ask } from '../api.js';
import { fields } from '../fields.js';
import { format } from '../format.js';
import { draw as stat } from './stat.js';
import { draw as table } from './table.js';
import { draw as bargauge } from './bargauge.js';
import { draw as timeseries } from './timeseries.js';
import { draw as timeline } from './timeline.js';
import { draw as heatmap } from './heatmap.js';

const TYPES = { stat, table, bargauge, timeseries, 'state-timeline': timeline, heatmap };

// Panel draws one panel of the file and keeps it up to date.
export class Panel {
  constructor(panel, zoom) {
    this.panel = panel;
    this.zoom = zoom;
    this.sort = { by: null, down: false, set: (name) => this.sortBy(name) };
    this.body = h('div.panel-body');
    this.note = h('p.panel-note', { hidden: true });
    const { x, y, w, h: height } = panel.gridPos;
    this.root = h('section.panel', {
      class: `panel-${panel.type}`, id: `panel-${panel.id}`, 'aria-labelledby': `title-${panel.id}`,
      style: { '--x': x + 1, '--y': y + 1, '--w': w, '--h': height },
    }, this.header(), this.note, this.body);
  }

  header() {
    const { title, id, description } = this.panel;
    const more = menu(icon('more'), (close) => [
      h('p.menu-text', {}, description),
      h('button.menu-item', { type: 'button', onclick: () => { close(); this.inspect(); } }, 'Figures and query'),
    ], { 'aria-label': `About ${title}`, class: 'quiet' });
    return h('header', {}, h('h2', { id: `title-${id}`, title: description }, title), more);
  }

  // load asks for the panel's data and draws it. It returns how many rows came.
  async load(view, annotations, signal) {
    const points = Math.round(Math.min(600, Math.max(60, this.body.clientWidth / 4))) || 200;
    let rows = 0;
    try {
      const results = await Promise.all(this.panel.targets.map((t) => ask('query', view, { panel: this.panel.id, ref: t.refId, points }, signal)));
      this.results = Object.fromEntries(this.panel.targets.map((t, i) => [t.refId, results[i]]));
      rows = results.reduce((sum, r) => sum + r.rows.length, 0);
      this.view = view;
      this.annotations = annotations;
      this.draw();
    } catch (err) {
      if (err.name === 'AbortError') throw err;
      this.say(err.message, true);
    }
    this.root.dataset.state = this.note.hidden ? 'drawn' : this.note.dataset.kind;
    return rows;
  }

  draw() {
    const main = this.panel.targets.find((t) => !t.hide);
    if (!this.results[main.refId].rows.length) {
      this.kept?.destroy?.();
      this.kept = null;
      this.body.replaceChildren();
      this.say(this.panel.fieldConfig?.defaults?.noValue ?? 'Nothing in this time range.');
      return;
    }
    this.note.hidden = true;
    const focused = this.body.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    const scrolled = this.body.firstElementChild?.scrollTop;
    this.kept = TYPES[this.panel.type](this.body, {
      panel: this.panel, results: this.results, view: this.view, annotations: this.annotations, zoom: this.zoom, sort: this.sort, kept: this.kept,
    });
    if (scrolled) this.body.firstElementChild.scrollTop = scrolled;
    if (focused) [...this.body.querySelectorAll('a')].find((a) => a.getAttribute('href') === focused)?.focus();
  }

  // repaint draws the same data again: a canvas does not follow the theme by itself.
  repaint() {
    if (this.results && this.kept) this.draw();
  }

  say(text, failed) {
    this.note.textContent = text;
    this.note.hidden = false;
    this.note.dataset.kind = failed ? 'failed' : 'empty';
    this.note.setAttribute('role', failed ? 'alert' : 'note');
  }

  sortBy(name) {
    this.sort.down = this.sort.by === name ? !this.sort.down : true;
    this.sort.by = name;
    this.draw();
  }

  // inspect shows the figures and the statement behind the panel.
  inspect() {
    const sections = this.panel.targets.map((t) => {
      const result = this.results?.[t.refId];
      return [
        h('h3', {}, t.hide ? 'Query of the details' : 'Query'),
        h('pre', { tabindex: '0' }, t.rawSql),
        result && h('h3', {}, `${result.rows.length} rows`),
        result && plain(this.panel, result),
      ];
    });
    dialog(this.panel.title, h('div.dialog-body', {}, h('p', {}, this.panel.description), sections));
  }

  close() {
    this.kept?.destroy?.();
  }
}

// plain is the result as it came, for reading and copying; the first few hundred rows are enough for that.
function plain(panel, result) {
  const all = fields(panel, result);
  const time = (f, v) => (/DateTime/.test(f.type) && v !== null ? new Date(v).toISOString() : format(v, f.config.unit, f.config.decimals));
  return h('div.table-scroll', { tabindex: '0', role: 'region', 'aria-label': 'Figures' }, h('table', {},
    h('thead', {}, h('tr', {}, all.map((f) => h('th', { scope: 'col' }, f.name)))),
    h('tbody', {}, result.rows.slice(0, 300).map((row) => h('tr', {}, all.map((f, i) => h('td', { 'data-label': f.name }, time(f, row[i]))))))));
}
