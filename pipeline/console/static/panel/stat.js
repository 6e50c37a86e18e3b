// Stat: tiles with one figure each, with a sparkline where the figure is a series. A target that Grafana hides gives the
// tiles details: its first column names the tile, `severity` colours it, the other columns are small facts.

import { h, svg } from '../dom.js';
import { fields, series, steady, reduce, isNumber } from '../fields.js';
import { display, format, cssColor } from '../format.js';
import { anchor } from '../link.js';

export function draw(root, { panel, results, view }) {
  const main = panel.targets.find((t) => !t.hide);
  const extra = panel.targets.find((t) => t.hide);
  const result = results[main.refId];
  const tiles = main.format === 0 ? overTime(panel, result, view) : oneRow(panel, result);
  const details = extra ? detailsOf(results[extra.refId], panel) : new Map();
  root.replaceChildren(h('ul.tiles', {}, tiles.map((tile) => draw1(tile, details.get(tile.name), view))));
}

function overTime(panel, result, view) {
  const { lines, times } = steady(series(panel, result), result.step_ms, view.range);
  return lines.map((line) => ({
    name: line.name, config: line.config, times,
    value: reduce(line.values, panel.options?.reduceOptions?.calcs?.[0]),
    spark: panel.options?.graphMode === 'none' ? null : line.values,
  }));
}

function oneRow(panel, result) {
  const all = fields(panel, result);
  if (!result.rows.length) return [];
  const row = Object.fromEntries(all.map((f) => [f.name, f.values[0]]));
  return all.filter((f) => !f.config.custom?.hidden).map((f) => ({ name: f.label, config: f.config, value: f.values[0], row }));
}

function detailsOf(result, panel) {
  const all = fields(panel, result);
  return new Map(result.rows.map((row) => [String(row[0]), all.slice(1).map((f, i) => ({ field: f, value: row[i + 1] }))]));
}

function draw1(tile, facts, view) {
  const shown = display(tile.config, tile.value);
  const { length } = shown.text;
  const severity = facts?.find((f) => f.field.name === 'severity');
  const worst = severity && severity.value > 1 ? display(severity.field.config, severity.value) : null;
  const content = [
    h('span.tile-name', {}, tile.name),
    h('span.tile-value', { class: length > 9 ? 'long' : null, style: shown.color ? { color: cssColor(shown.color) } : {} }, shown.text),
    shown.word && h('small', { style: { color: cssColor(shown.color) } }, shown.word),
    facts && h('span.tile-facts', {},
      worst && h('span.badge', { style: { '--badge': cssColor(worst.color) } }, worst.text),
      facts.filter((f) => f !== severity && isNumber(f.field) && f.value > 0)
        .map((f) => h('span', {}, `${format(f.value, f.field.config.unit)} ${f.field.label}`))),
    tile.spark && sparkline(tile.spark),
  ];
  const edge = worst?.color ?? (shown.color === 'text' ? null : shown.color);
  const attributes = { class: 'tile', style: edge ? { '--edge': cssColor(edge) } : {} };
  const linked = anchor(tile.config.links, { view, value: tile.name, series: tile.name, row: tile.row }, content, attributes);
  return h('li', { class: length > 18 ? 'wide' : null }, linked === content ? h('div', attributes, content) : linked);
}

// sparkline is the shape of a series, without axes.
export function sparkline(values) {
  const width = 100;
  const height = 24;
  const top = Math.max(...values, 0) || 1;
  const x = (i) => (values.length > 1 ? (i * width) / (values.length - 1) : 0);
  const line = values.map((v, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${(height - 1 - ((v ?? 0) / top) * (height - 2)).toFixed(1)}`).join('');
  return svg('svg.spark', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('path.spark-area', { d: `${line}L${width} ${height}L0 ${height}Z` }), svg('path.spark-line', { d: line }));
}
