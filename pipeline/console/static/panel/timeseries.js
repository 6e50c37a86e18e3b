// Time series, drawn by uPlot: lines, areas, bars and stacks, two axes, thresholds, annotations, zoom by dragging.

import uPlot from '../vendor/uplot/uPlot.esm.js';
import { h } from '../dom.js';
import { series, steady, reduce } from '../fields.js';
import { format, paint, cssColor, PALETTE } from '../format.js';
import { stamp } from '../state.js';

const together = uPlot.sync('page'); // the crosshair moves in all charts at once

// draw returns what the next draw continues with: a chart whose lines are the same gets new data and keeps its zoom cursor.
export function draw(root, { panel, results, view, zoom, annotations, kept }) {
  const result = results[panel.targets[0].refId];
  let data = merge(panel, results);
  const stacked = data.lines.some((l) => l.config.custom?.stacking?.mode === 'normal');
  if (stacked || data.lines.some((l) => l.config.custom?.drawStyle === 'bars')) data = steady(data, result.step_ms, view.range);
  const hidden = kept?.hidden ?? new Set();
  const state = { panel, view, zoom, annotations, hidden, data, stacked, step: result.step_ms };
  const plot = build(root, state, kept);
  return { hidden, destroy: plot.destroy, repaint: () => draw(root, { panel, results, view, zoom, annotations, kept: { ...kept, hidden } }) };
}

// merge joins the series of all targets on one list of times.
function merge(panel, results) {
  const parts = panel.targets.filter((t) => !t.hide).map((t) => series(panel, results[t.refId]));
  if (parts.length === 1) return parts[0];
  const times = [...new Set(parts.flatMap((p) => p.times))].sort((a, b) => a - b);
  return {
    times,
    lines: parts.flatMap((p) => {
      const at = new Map(p.times.map((t, i) => [t, i]));
      return p.lines.map((line) => ({ ...line, values: times.map((t) => line.values[at.get(t)] ?? null) }));
    }),
  };
}

function build(root, state, kept) {
  kept?.destroy?.();
  const { panel, view, data } = state;
  const lines = data.lines.map((line, i) => ({ ...line, color: line.config.color?.mode === 'fixed' ? line.config.color.fixedColor : PALETTE[i % PALETTE.length] }));
  const visible = lines.filter((l) => !state.hidden.has(l.name));
  const canvas = h('div.chart');
  const tip = h('div.tip', { hidden: true });
  const legend = h('ul.legend', {}, lines.length > 1 || panel.options?.legend?.showLegend
    ? lines.map((line) => legendItem(line, state, () => build(root, state, { destroy }))) : []);
  root.replaceChildren(canvas, legend, tip);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', describe(panel, lines));

  const stackedValues = state.stacked ? stack(visible) : visible.map((l) => l.values);
  const right = visible.some((l) => l.config.custom?.axisPlacement === 'right');
  const log = visible.some((l) => l.config.custom?.scaleDistribution?.type === 'log');
  const lastTime = data.times.at(-1) ?? 0;
  const size = () => ({ width: Math.max(80, canvas.clientWidth), height: Math.max(90, canvas.clientHeight) });
  const options = {
    ...size(),
    tzDate: (ts) => new Date(ts),
    ms: 1,
    padding: [8, right ? 0 : 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: together.key, setSeries: false }, drag: { x: true, y: false, setScale: false }, points: { size: 7 }, focus: { prox: 24 } },
    scales: {
      // A forecast may lie behind the range's end: then the range is drawn wider, for that is what it is for.
      x: { time: true, range: () => [view.range.from, Math.max(view.range.to, lastTime)] },
      y: { distr: log ? 3 : 1, range: (_, min, max) => bounds(min, max, visible, log, panel.fieldConfig?.defaults) },
      right: { range: (_, min, max) => [0, (max || 1) * 1.1] },
    },
    series: [{}, ...visible.map((line) => lineStyle(line, state))],
    axes: [
      axis({ size: 26, space: 64, values: timeLabels }),
      axis({ size: axisSize, incrs: increments(lines, false), values: (_, ticks) => ticks.map((v) => label(v, lines, false)) }),
      ...(right ? [axis({ scale: 'right', side: 1, incrs: increments(lines, true), grid: { show: false }, size: axisSize, values: (_, ticks) => ticks.map((v) => label(v, lines, true)) })] : []),
    ],
    hooks: {
      setSelect: [(u) => {
        if (u.select.width < 6) return;
        state.zoom({ from: u.posToVal(u.select.left, 'x'), to: u.posToVal(u.select.left + u.select.width, 'x') });
      }],
      setCursor: [(u) => showTip(u, tip, visible, data.times, state.annotations)],
      drawClear: [(u) => drawAnnotations(u, state.annotations)],
      draw: [(u) => { drawThresholds(u, panel, visible); drawNow(u, view, lastTime); }],
    },
  };
  const plot = new uPlot(options, [data.times, ...stackedValues], canvas);
  const observer = new ResizeObserver(() => plot.setSize(size()));
  observer.observe(canvas);
  const destroy = () => {
    observer.disconnect();
    plot.destroy();
  };
  return { destroy };
}

const axis = (options) => ({
  stroke: paint('muted'), font: '11px system-ui, sans-serif', gap: 6,
  grid: { stroke: paint('grid'), width: 1 }, ticks: { show: false }, ...options,
});

function axisSize(u, values) {
  const longest = (values ?? []).reduce((a, v) => Math.max(a, v.length), 0);
  return Math.max(34, longest * 6.4 + 12);
}

// ofAxis is a line that the axis belongs to.
const ofAxis = (lines, right) => lines.find((l) => (l.config.custom?.axisPlacement === 'right') === right) ?? lines[0];

const POWERS_OF_TWO = Array.from({ length: 60 }, (_, i) => 2 ** i);

// increments are the steps that an axis may have: of bytes the round ones are powers of two.
function increments(lines, right) {
  return /^(bytes|binBps)$/.test(ofAxis(lines, right)?.config.unit) ? POWERS_OF_TWO : undefined;
}

const DAY = 864e5;
const pad = (n) => String(n).padStart(2, '0');

// timeLabels writes ticks by their distance: seconds only where they differ, the day where it begins.
function timeLabels(_, ticks, __, ___, increment) {
  return ticks.map((tick) => {
    const d = new Date(tick);
    const midnight = !d.getHours() && !d.getMinutes() && !d.getSeconds();
    if (increment >= DAY || midnight) return `${d.getDate()} ${d.toLocaleString('en', { month: 'short' })}`;
    return `${pad(d.getHours())}:${pad(d.getMinutes())}${increment < 6e4 ? `:${pad(d.getSeconds())}` : ''}`;
  });
}

function label(value, lines, right) {
  const line = ofAxis(lines, right);
  return line ? format(value, line.config.unit, line.config.decimals) : String(value);
}

function bounds(min, max, lines, log, defaults) {
  if (log) return [Math.max(1, min * 0.8), Math.max(10, max * 1.25)];
  if (min === null || max === null) return [0, 1];
  const zero = defaults?.min === 0 || lines.some((l) => l.config.custom?.drawStyle === 'bars' || l.config.custom?.stacking?.mode === 'normal');
  const pad = (max - min || Math.abs(max) || 1) * 0.08;
  return [zero || min >= 0 && min < (max - min) ? 0 : min - pad, defaults?.max ?? max + pad];
}

// lineStyle is how one line looks. Stacks are drawn from the top down, each over the one above it.
function lineStyle(line, state) {
  const custom = line.config.custom ?? {};
  const fill = (custom.fillOpacity ?? 0) / 100;
  const bars = custom.drawStyle === 'bars';
  return {
    label: line.name, scale: custom.axisPlacement === 'right' ? 'right' : 'y',
    stroke: paint(line.color), width: bars ? 0 : (custom.lineWidth ?? 1.5),
    // What is stacked covers what lies below it: opaque, or the colours would mix.
    fill: state.stacked || bars ? paint(line.color, 0.75, 'panel') : fill ? paint(line.color, fill) : null,
    dash: custom.lineStyle?.fill === 'dash' ? custom.lineStyle.dash ?? [6, 5] : undefined,
    spanGaps: custom.spanNulls !== false, points: { show: false },
    paths: bars ? uPlot.paths.bars({ size: [0.8, 40], gap: 1 }) : custom.lineInterpolation === 'stepAfter' ? uPlot.paths.stepped({ align: 1 }) : undefined,
  };
}

// stack adds each line to those behind it, so that the first, drawn first, is the whole.
function stack(lines) {
  const sums = [];
  let above = null;
  for (let i = lines.length - 1; i >= 0; i--) {
    above = lines[i].values.map((v, j) => (v ?? 0) + (above?.[j] ?? 0));
    sums[i] = above;
  }
  return sums;
}

function legendItem(line, state, rebuild) {
  const off = state.hidden.has(line.name);
  const toggle = () => {
    if (off) state.hidden.delete(line.name);
    else state.hidden.add(line.name);
    rebuild();
  };
  const calc = state.panel.options?.legend?.calcs?.[0];
  return h('li', {}, h('button', { type: 'button', 'aria-pressed': String(!off), title: off ? 'Show' : 'Hide', onclick: toggle },
    h('i.swatch', { style: { background: cssColor(line.color) } }), line.name,
    calc && h('b', {}, format(reduce(line.values, calc), line.config.unit, line.config.decimals))));
}

function describe(panel, lines) {
  const parts = lines.slice(0, 8).map((l) => `${l.name} ${format(reduce(l.values), l.config.unit, l.config.decimals)}`);
  return `${panel.title}: ${parts.join(', ') || 'no data'}. The panel's menu shows the figures as a table.`;
}

function showTip(u, tip, lines, times, annotations) {
  const { idx, left, top } = u.cursor;
  const own = u.over.matches(':hover');
  if (idx === null || idx === undefined || left < 0 || !own) {
    tip.hidden = true;
    return;
  }
  const rows = lines.map((line) => ({ line, value: line.values[idx] })).filter((r) => r.value !== null && r.value !== undefined)
    .sort((a, b) => b.value - a.value).slice(0, 12);
  const near = (annotations ?? []).filter((a) => Math.abs(u.valToPos(a.time, 'x') - left) < 7 || a.time < u.posToVal(left, 'x') && u.posToVal(left, 'x') < a.end);
  tip.replaceChildren(h('b', {}, stamp(times[idx])), ...near.slice(0, 4).map((a) => h('p', { style: { color: cssColor(a.color) } }, a.text)), h('table', {}, rows.map(({ line, value }) => h('tr', {},
    h('td', {}, h('i.swatch', { style: { background: cssColor(line.color) } }), line.name),
    h('td.number', {}, format(value, line.config.unit, line.config.decimals))))));
  tip.hidden = !rows.length;
  const box = u.over.getBoundingClientRect();
  const root = tip.parentElement.getBoundingClientRect();
  const x = box.left - root.left + left;
  const flip = x + tip.offsetWidth + 24 > root.width;
  tip.style.setProperty('translate', `${Math.max(0, flip ? x - tip.offsetWidth - 14 : x + 14)}px ${Math.max(0, Math.min(box.top - root.top + top - 20, root.height - tip.offsetHeight))}px`);
}

function drawThresholds(u, panel, lines) {
  const { thresholds, custom } = panel.fieldConfig?.defaults ?? {};
  if (!thresholds || !custom?.thresholdsStyle || custom.thresholdsStyle.mode === 'off' || !lines.length) return;
  for (const step of thresholds.steps) {
    if (step.value !== null) rule(u, 'y', step.value, step.color, [4, 4]);
  }
}

const MANY = 20; // marks of one kind that are still told apart as lines

// drawAnnotations draws spans and lines, and ticks at the foot where there are too many for lines.
function drawAnnotations(u, annotations) {
  const count = Map.groupBy(annotations ?? [], (a) => a.name);
  for (const a of annotations ?? []) {
    if (a.end > a.time) {
      const [from, to] = [a.time, a.end].map((t) => Math.min(Math.max(u.valToPos(t, 'x', true), u.bbox.left), u.bbox.left + u.bbox.width));
      u.ctx.fillStyle = paint(a.color, 0.1);
      u.ctx.fillRect(from, u.bbox.top, to - from, u.bbox.height);
    }
    const many = count.get(a.name).length > MANY;
    rule(u, 'x', a.time, a.color, many ? [] : [2, 3], many ? 0.03 : 1);
  }
}

// drawNow parts what happened from what is forecast.
function drawNow(u, view, lastTime) {
  if (lastTime > view.range.to) rule(u, 'x', view.range.to, 'muted', [1, 3]);
}

// rule draws a line at a value, over a share of the chart from its foot.
function rule(u, scale, value, color, dash, share = 1) {
  const p = Math.round(u.valToPos(value, scale, true));
  const { left, top, width, height } = u.bbox;
  const along = scale === 'x';
  if (along ? p < left || p > left + width : p < top || p > top + height) return;
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = paint(color, 0.7);
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(along ? p : left, along ? top + height * (1 - share) : p);
  ctx.lineTo(along ? p : left + width, along ? top + height : p);
  ctx.stroke();
  ctx.restore();
}
