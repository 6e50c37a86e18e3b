// Heat map: a row for each name, a column for each step of time, darker where there is more.

import { h } from '../dom.js';
import { series, steady } from '../fields.js';
import { format } from '../format.js';
import { stamp } from '../state.js';

export function draw(root, { panel, results, view }) {
  const result = results[panel.targets[0].refId];
  const { times, lines } = steady(series(panel, result), result.step_ms, view.range);
  lines.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  const top = Math.max(1, ...lines.flatMap((l) => l.values));
  root.replaceChildren(h('table.heatmap', {},
    h('caption.hidden', {}, panel.title),
    h('colgroup', {}, h('col.heatmap-name'), h('col', { span: times.length })),
    h('tbody', {}, lines.map((line) => h('tr', {}, h('th', { scope: 'row', title: line.name }, line.name),
      line.values.map((v, i) => h('td', {
        title: `${line.name}, ${stamp(times[i])}: ${format(v, line.config.unit)}`,
        style: { '--heat': v ? 0.15 + 0.85 * Math.sqrt(v / top) : 0 },
      })))))),
    h('div.timeline-ends', { 'aria-hidden': 'true' }, h('span', {}, stamp(view.range.from)), h('span', {}, stamp(view.range.to))));
}
