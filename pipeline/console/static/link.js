// Data links: Grafana's grammar of variables in an address.

import { h } from './dom.js';
import { ALL } from './state.js';

// target fills in an address. scope has the view, and of what the link stands on: value, series, and row by column name.
export function target(url, scope) {
  const filled = url.replace(/\$\{([^}]+)\}/g, (_, expression) => {
    const [, path, style] = /^(.*?)(?::(\w+))?$/.exec(expression);
    if (style === 'queryparam') return queryparam(path, scope.view.vars[path] ?? []);
    const text = String(lookup(path, scope) ?? '');
    return style === 'percentencode' ? encodeURIComponent(text) : text;
  });
  return /^(\/(?!\/)|https?:\/\/)/.test(filled) ? filled : null; // never a script: addresses are made of data
}

function lookup(path, { view, value, text, series, row }) {
  if (path === '__url_time_range') return new URLSearchParams({ from: view.from, to: view.to }).toString();
  if (path === '__all_variables') return Object.entries(view.vars).map(([name, values]) => queryparam(name, values)).join('&');
  if (path === '__from') return view.range.from;
  if (path === '__to') return view.range.to;
  if (path === '__value.raw' || path === '__value') return value;
  if (path === '__value.text') return text ?? value;
  if (path === '__series.name' || path === '__field.name') return series;
  const field = /^__data\.fields(?:\.(\w+)|\["([^"]+)"\])$/.exec(path);
  if (field) return row?.[field[1] ?? field[2]];
  const values = view.vars[path];
  return values?.includes(ALL) ? ALL : values?.join(',');
}

const queryparam = (name, values) => values.map((v) => `var-${encodeURIComponent(name)}=${encodeURIComponent(v)}`).join('&');

// anchor wraps content in the first link of a list, if there is one and what it is about is known.
export function anchor(links, scope, content, attributes) {
  const link = links?.[0];
  if (!link || scope.value === '' || scope.value === null || scope.value === undefined) return content;
  const href = target(link.url, scope);
  if (!href) return content;
  return h('a', { href, title: link.title, target: link.targetBlank ? '_blank' : null, rel: link.targetBlank ? 'noopener' : null, ...attributes }, content);
}
