// Bar gauge: one bar for each row, named by the row's text, as long as its number.

import { h } from '../dom.js';
import { fields, isNumber } from '../fields.js';
import { display, cssColor } from '../format.js';
import { anchor } from '../link.js';

export function draw(root, { panel, results, view }) {
  const result = results[panel.targets[0].refId];
  const all = fields(panel, result);
  const numbers = all.filter((f) => isNumber(f) && !f.config.custom?.hidden);
  const names = all.filter((f) => !isNumber(f) && !f.config.custom?.hidden);
  // Rows with a text are a bar each; a single row of numbers is a bar a column.
  const bars = names.length
    ? result.rows.map((_, i) => ({ name: names.map((f) => f.values[i]).filter(Boolean).join(' '), field: numbers[0], value: numbers[0].values[i], i, link: names[0] }))
    : numbers.map((f) => ({ name: f.label, field: f, value: f.values[0], i: 0, link: f }));
  const top = Math.max(...bars.map((b) => b.value), 0) || 1;
  const share = panel.options?.displayLog ? (v) => Math.log1p(v) / Math.log1p(top) : (v) => v / top;
  root.replaceChildren(h('ul.bars', {}, bars.map((bar) => {
    const { text, color } = display(bar.field.config, bar.value);
    const row = Object.fromEntries(all.map((f) => [f.name, f.values[bar.i]]));
    const links = bar.link.config.links ?? bar.field.config.links;
    return h('li', {},
      h('span.bar-name', { title: bar.name }, anchor(links, { view, value: bar.name, series: bar.name, row }, bar.name)),
      h('span.bar-value', {}, text),
      h('span.bar', { style: { '--share': Math.max(0, share(bar.value)), '--badge': cssColor(color ?? 'blue') } }));
  })));
}
