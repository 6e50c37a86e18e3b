// Alerts as they come: a box over the page that asks every two seconds for what is new, and keeps the newest hundred.

import { h, icon } from './dom.js';
import { get } from './api.js';
import { cssColor } from './format.js';

const EVERY = 2000;
const LOOK_BACK = 15000; // versions are stored out of order
const KEPT = 100;
const COLORS = ['gray', 'gray', 'blue', 'yellow', 'orange', 'red', 'dark-red']; // by severity_id, as in the dashboards
const WORDS = ['unknown', 'info', 'low', 'medium', 'high', 'critical', 'fatal'];

let tail = null; // what is open

// toggleTail opens the box, or closes it.
export function toggleTail() {
  if (tail) return tail.close();
  const list = h('ol', { role: 'log', 'aria-live': 'polite', 'aria-label': 'Alerts, the newest first', tabindex: '0' });
  const note = h('p', {}, 'Nothing in the last hour.');
  let paused = false;
  const pause = h('button.control.quiet', { type: 'button', onclick: () => { paused = !paused; pause.textContent = paused ? 'Go on' : 'Pause'; } }, 'Pause');
  const root = h('section.tail', { id: 'tail', 'aria-label': 'Alerts as they come' },
    h('header', {}, h('h2', {}, 'Alerts as they come'), pause,
      h('button.control.quiet', { type: 'button', 'aria-label': 'Close', onclick: () => tail.close() }, icon('close'))), note, list);
  const seen = new Set();
  const abort = new AbortController();
  let after = null;
  let timer = null;

  const ask = async () => {
    if (!paused && !document.hidden) {
      try {
        const answer = await get('/api/tail' + (after === null ? '' : `?after=${after}`), abort.signal);
        const at = Object.fromEntries(answer.columns.map((c, i) => [c.name, i]));
        for (const row of answer.rows) {
          const key = `${row[at.id]} ${row[at.version]}`;
          if (seen.has(key)) continue;
          seen.add(key);
          list.prepend(line(Object.fromEntries(Object.keys(at).map((name) => [name, row[at[name]]]))));
        }
        while (list.children.length > KEPT) list.lastChild.remove();
        note.hidden = list.children.length > 0;
        after = answer.now - LOOK_BACK;
      } catch (err) {
        if (err.name === 'AbortError') return;
        note.textContent = err.message;
        note.hidden = false;
      }
    }
    timer = setTimeout(ask, EVERY);
  };
  tail = {
    close() {
      abort.abort();
      clearTimeout(timer);
      root.remove();
      tail = null;
    },
  };
  document.body.append(root);
  ask();
}

function line(alert) {
  return h('li', { class: alert.status },
    h('time', {}, new Date(alert.ts).toLocaleTimeString([], { hour12: false })), h('span', {}, alert.team),
    alert.status === 'resolved' ? h('span', {}, 'resolved') : h('span', { style: { color: cssColor(COLORS[alert.severity_id]) } }, WORDS[alert.severity_id]),
    h('a', { href: `/d/tocsin-alert?var-alert=${encodeURIComponent(alert.id)}&from=${alert.ts - 36e5}&to=${alert.ts + 36e5}`, title: `${alert.title} (${alert.rule}, ${alert.status})` }, alert.title));
}
