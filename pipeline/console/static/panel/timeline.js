// State timeline: a row for each series, a bar for as long as it keeps a value.

import { h } from '../dom.js';
import { fields, isTime } from '../fields.js';
import { display, cssColor } from '../format.js';
import { stamp } from '../state.js';

export function draw(root, { panel, results, view }) {
  const result = results[panel.targets[0].refId];
  const all = fields(panel, result);
  const time = all.find((f) => f.name === 'time') ?? all.find(isTime);
  const value = all.at(-1);
  const names = all.filter((f) => f !== time && f !== value);
  const { from, to } = view.range;
  const rows = new Map();
  time.values.forEach((t, i) => {
    const name = names.map((f) => f.values[i]).filter(Boolean).join(' ') || value.label;
    let spans = rows.get(name);
    if (!spans) rows.set(name, spans = []);
    const last = spans.at(-1);
    if (last) last.to = t;
    if (last?.value !== value.values[i]) spans.push({ value: value.values[i], from: Math.max(t, from), to });
    else last.to = to;
  });
  const percent = (t) => `${(100 * (Math.min(Math.max(t, from), to) - from)) / (to - from)}%`;
  root.replaceChildren(
    h('dl.timeline', {}, [...rows].map(([name, spans]) => [
      h('dt', { title: name }, name),
      h('dd', {}, spans.map((s) => {
        const { text, color } = display(value.config, s.value);
        return h('span', {
          title: `${text}: ${stamp(s.from)} – ${stamp(s.to)}`,
          style: { left: percent(s.from), width: `calc(${percent(s.to)} - ${percent(s.from)})`, '--badge': cssColor(color ?? 'gray') },
        }, text);
      })),
    ])),
    h('div.timeline-ends', { 'aria-hidden': 'true' }, h('span', {}, stamp(from)), h('span', {}, stamp(to))));
}
