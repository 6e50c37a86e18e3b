// Table: rows with links, coloured words and bars in cells. On a phone each row is a card.

import { h } from '../dom.js';
import { fields, isNumber } from '../fields.js';
import { display, cssColor } from '../format.js';
import { anchor } from '../link.js';

export function draw(root, { panel, results, view, sort }) {
  const result = results[panel.targets[0].refId];
  const all = fields(panel, result);
  const shown = all.filter((f) => !f.config.custom?.hidden);
  const order = result.rows.map((_, i) => i);
  if (sort.by) {
    const by = all.find((f) => f.name === sort.by);
    if (by) order.sort((a, b) => compare(by.values[a], by.values[b]) * (sort.down ? -1 : 1));
  }
  const head = shown.map((f) => h('th', {
    scope: 'col', class: classes({ number: isFigure(f) }),
    'aria-sort': sort.by === f.name ? (sort.down ? 'descending' : 'ascending') : null,
    style: f.config.custom?.width ? { width: `${f.config.custom.width}px` } : {},
  }, h('button.sort', { type: 'button', onclick: () => sort.set(f.name) }, f.label, h('span.sort-mark', { 'aria-hidden': 'true' }))));
  const body = order.map((i) => {
    const row = Object.fromEntries(all.map((f) => [f.name, f.values[i]]));
    return h('tr', {}, shown.map((f) => cell(f, f.values[i], row, view)));
  });
  root.replaceChildren(h('div.table-scroll', { tabindex: '0', role: 'region', 'aria-label': panel.title },
    h('table', {}, h('thead', {}, h('tr', {}, head)), h('tbody', {}, body))));
}

// isFigure tells whether a column is read as figures, and so stands to the right: codes with words for them are not.
const isFigure = (field) => isNumber(field) && !field.config.mappings?.some((m) => m.type === 'value' && Object.keys(m.options).length > 2);

const classes = (wanted) => Object.keys(wanted).filter((name) => wanted[name]).join(' ') || null;

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return typeof a === 'number' ? a - b : String(a).localeCompare(String(b));
}

function cell(field, value, row, view) {
  const { text, color, word } = display(field.config, value);
  const kind = field.config.custom?.cellOptions?.type;
  let content = h('span', color && kind !== 'color-background' ? { style: { color: cssColor(color) } } : {}, text);
  if (kind === 'color-background' && color) content = h('span.badge', { style: { '--badge': cssColor(color) } }, text);
  if (kind === 'gauge' && typeof value === 'number') {
    const share = Math.min(1, Math.max(0, (value - (field.config.min ?? 0)) / ((field.config.max ?? 1) - (field.config.min ?? 0))));
    content = h('span.meter', { style: { '--share': share, '--badge': cssColor(color) } }, text);
  }
  if (field.config.unit === 'dateTimeFromNow' && typeof value === 'number') content = h('time', { 'data-ms': value }, text);
  if (word && kind) content.append(h('span.hidden', {}, ` (${word})`));
  return h('td', {
    'data-label': field.label,
    class: classes({ number: isFigure(field), wrap: field.config.custom?.cellOptions?.wrapText, empty: value === '' || value === null }),
    title: typeof value === 'string' && value.length > 40 ? value : null,
  }, anchor(field.config.links, { view, value, text, series: field.name, row }, content));
}
