// Values as people read them, by Grafana's units, thresholds and mappings.

import { stamp } from './state.js';

const number = (value, decimals) => value.toLocaleString('en-US', decimals === undefined
  ? { maximumFractionDigits: Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2 }
  : { minimumFractionDigits: decimals, maximumFractionDigits: decimals });

// scaled writes a value with the largest of the steps that fits.
function scaled(value, base, names, decimals) {
  let i = 0;
  while (Math.abs(value) >= base && i < names.length - 1) {
    value /= base;
    i++;
  }
  return number(value, decimals) + names[i];
}

const IEC = [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB'];
const SI = ['', 'k', 'M', 'G', 'T'];

function duration(seconds, decimals) {
  const s = Math.abs(seconds);
  const [by, unit] = s >= 172800 ? [86400, 'd'] : s >= 7200 ? [3600, 'h'] : s >= 120 ? [60, 'min'] : s >= 1 || s === 0 ? [1, 's'] : [0.001, 'ms'];
  return `${number(seconds / by, decimals)} ${unit}`;
}

// ago is a duration in one short word, for ages.
export function ago(ms, now = Date.now()) {
  const s = Math.round((now - ms) / 1000);
  if (s < 0) return `in ${duration(-s, 0)}`;
  return s < 2 ? 'now' : `${duration(s, 0)} ago`;
}

const UNITS = {
  none: (v, d) => number(v, d),
  short: (v, d) => scaled(v, 1000, SI, d),
  bytes: (v, d) => scaled(v, 1024, IEC, d),
  binBps: (v, d) => `${scaled(v, 1024, IEC, d)}/s`,
  percent: (v, d) => `${number(v, d)} %`,
  percentunit: (v, d) => `${number(v * 100, d)} %`,
  ms: (v, d) => duration(v / 1000, d),
  s: duration,
  m: (v, d) => duration(v * 60, d),
  h: (v, d) => duration(v * 3600, d),
  dateTimeAsIso: (v) => stamp(v),
  dateTimeFromNow: (v) => ago(v),
  ops: (v, d) => `${scaled(v, 1000, SI, d)}/s`,
};

// format writes a value in a unit. Text stays text; what is missing is a dash.
export function format(value, unit, decimals) {
  if (value === null || value === undefined || value === '') return '–';
  if (Array.isArray(value)) return value.join(', ');
  if (typeof value === 'object') return Object.entries(value).map(([k, v]) => `${k}: ${v}`).join(', ');
  if (typeof value !== 'number') return String(value);
  if (unit?.startsWith('suffix:')) return scaled(value, 1000, SI, decimals) + unit.slice(7);
  return (UNITS[unit] ?? UNITS.short)(value, decimals);
}

// display is a field's value as text, with the colour that its mappings or thresholds give it.
export function display(config, value) {
  const mapped = mapping(config.mappings, value);
  const text = mapped?.text ?? format(value, config.unit, config.decimals);
  if (mapped?.color) return { text, color: mapped.color };
  if (config.color?.mode === 'fixed') return { text, color: config.color.fixedColor };
  if (typeof value !== 'number' || !config.thresholds || (config.color && config.color.mode !== 'thresholds')) return { text };
  return { text, ...threshold(config.thresholds, value) };
}

function mapping(mappings, value) {
  for (const m of mappings ?? []) {
    if (m.type === 'value' && m.options[String(value)]) return m.options[String(value)];
    if (m.type === 'range' && typeof value === 'number' && value >= (m.options.from ?? -Infinity) && value <= (m.options.to ?? Infinity)) {
      return m.options.result;
    }
    if (m.type === 'special' && m.options.match === 'null' && (value === null || value === undefined)) return m.options.result;
  }
  return null;
}

// threshold is the colour of the step that the value has reached, and how bad that is in a word: colours alone say
// nothing to one reader in twelve.
export function threshold(thresholds, value) {
  let color;
  for (const step of thresholds.steps ?? []) if (step.value === null || value >= step.value) color = step.color;
  return { color, word: WORDS[color] };
}

const WORDS = { yellow: 'elevated', orange: 'warning', red: 'critical', 'dark-red': 'critical' };

// PALETTE is the order of colours of series that have none of their own.
export const PALETTE = ['blue', 'teal', 'amber', 'violet', 'pink', 'green', 'orange', 'gray'];

// cssColor is the theme's colour of that name. Colours are names in the files, never numbers.
export function cssColor(name) {
  return `var(--${CSS.escape(name ?? 'text')}, var(--text))`;
}

// paint resolves a colour name for a canvas, which knows no CSS variables: a share of it, over another or over nothing.
export function paint(name, share = 1, over) {
  probe.style.color = `color-mix(in srgb, ${cssColor(name)} ${share * 100}%, ${over ? cssColor(over) : 'transparent'})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const probe = document.createElement('i');
