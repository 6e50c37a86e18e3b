// What stands above the panels: time range, refresh, variables.

import { h, icon, menu } from './dom.js';
import { ask } from './api.js';
import { ALL, QUICK, isRelative, moment, rangeText, stamp } from './state.js';

// rangePicker is the time range with its neighbours: earlier, later, wider.
export function rangePicker(view, go) {
  const { from, to } = view.range;
  const span = to - from;
  const shift = (by) => go({ from: String(Math.round(from + by)), to: String(Math.round(to + by)) });
  const step = (name, label, onclick) => h('button.control', { type: 'button', 'aria-label': label, title: label, onclick }, icon(name));
  return h('div.group', {},
    step('left', 'Earlier', () => shift(-span / 2)),
    menu([icon('clock'), h('span', {}, rangeText(view.from, view.to)), icon('chevron')], (close) => pickRange(view, (range) => {
      close();
      go(range);
    }), { 'aria-label': 'Time range', id: 'range' }),
    step('right', 'Later', () => shift(span / 2)),
    step('out', 'Wider', () => (view.to === 'now' && /^now-\d+[mhdw]$/.test(view.from)
      ? go({ from: `now-${Math.round((2 * span) / 6e4)}m`, to: 'now' })
      : go({ from: String(Math.round(from - span / 2)), to: String(Math.round(to + span / 2)) }))));
}

function pickRange(view, go) {
  const { from, to } = view.range;
  const input = (name, value) => h('label', {}, name, h('input', { name: name.toLowerCase(), value, spellcheck: 'false', autocomplete: 'off' }));
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const text = (raw, ms) => (isRelative(raw) ? raw : stamp(ms));
  const form = h('form.range-form', {
    onsubmit: (event) => {
      event.preventDefault();
      const [a, b] = ['from', 'to'].map((name) => form.elements[name].value.trim());
      const [start, end] = [moment(a, Date.now()), moment(b, Date.now())];
      problem.hidden = start < end;
      problem.textContent = Number.isNaN(start + end) ? 'Write now-2h, or 2026-11-23 10:00.' : 'The range ends before it begins.';
      if (start < end) go({ from: isRelative(a) ? a : String(start), to: isRelative(b) ? b : String(end) });
    },
  }, input('From', text(view.from, from)), input('To', text(view.to, to)), problem, h('button.primary', { type: 'submit' }, 'Show'));
  return [
    h('div.quick', {}, QUICK.map((start) => h('button.menu-item', {
      type: 'button', 'aria-pressed': String(view.from === start && view.to === 'now'), onclick: () => go({ from: start, to: 'now' }),
    }, rangeText(start, 'now')))),
    form,
  ];
}

export const REFRESH = ['', '5s', '10s', '30s', '1m', '5m'];

// refreshPicker is the reload button and how often it presses itself.
export function refreshPicker(refresh, reload, go) {
  const select = h('select.control', { 'aria-label': 'Refresh by itself', onchange: () => go({ refresh: select.value || 'off' }) },
    REFRESH.map((every) => h('option', { value: every, selected: every === (refresh === 'off' ? '' : refresh ?? '') }, every || 'off')));
  return h('div.group', {},
    h('button.control', { type: 'button', 'aria-label': 'Refresh', title: 'Refresh (r)', onclick: reload }, icon('refresh')), select);
}

// variableBar has a control for each variable of the dashboard. Values that queries give are listed when the control opens.
export function variableBar(board, view, go) {
  const shown = (board.templating?.list ?? []).filter((v) => v.hide !== 2 && v.type !== 'datasource');
  return h('div.variables', {}, shown.map((v) => {
    const set = (values) => go({ vars: { ...view.vars, [v.name]: values } });
    return v.type === 'textbox' ? textbox(v, view, set) : chooser(v, view, set);
  }));
}

function textbox(v, view, set) {
  const input = h('input.control', { value: view.vars[v.name]?.[0] ?? '', placeholder: v.description ?? '', spellcheck: 'false', maxlength: 300, onchange: () => set([input.value.trim()]) });
  return h('label.variable', {}, h('span', {}, v.label ?? v.name), input);
}

function chooser(v, view, set) {
  const chosen = view.vars[v.name] ?? [];
  const isAll = chosen.includes(ALL) || !chosen.length;
  const known = new Map((view.options?.[v.name] ?? v.options ?? []).map((o) => [o.value, o.text]));
  const text = isAll ? 'All' : chosen.map((c) => known.get(c) ?? (c || '(none)')).join(', ');
  const control = menu([h('span', {}, text), icon('chevron')], (close) => {
    const list = h('div.options', {}, h('p.menu-text', {}, 'Loading …'));
    values(v, view).then((options) => list.replaceChildren(...choices(v, isAll ? [ALL] : chosen, options, (picked) => {
      close();
      set(picked);
    })), (err) => list.replaceChildren(h('p.problem', {}, err.message)));
    return list;
  }, { 'aria-label': `${v.label ?? v.name}: ${text}`, class: isAll ? null : 'chosen' });
  return h('div.variable', {}, h('span', { 'aria-hidden': 'true' }, v.label ?? v.name), control);
}

// values lists what a variable may be. A query's first column is the value, its second, if there is one, the text for it.
export async function values(v, view) {
  if (v.type === 'custom') return v.options.filter((o) => o.value !== ALL);
  const result = await ask('values', view, { name: v.name });
  return result.rows.map((row) => ({ value: String(row[0]), text: String(row[1] ?? row[0]) || '(none)' }));
}

// choices is a list to pick one of, or some of and apply.
function choices(v, chosen, options, done) {
  const offered = v.includeAll ? [{ value: ALL, text: 'All' }, ...options] : options;
  if (!offered.length) return [h('p.menu-text', {}, 'Nothing to choose in this time range.')];
  if (!v.multi) {
    return offered.map((o) => h('button.menu-item', { type: 'button', 'aria-pressed': String(chosen.includes(o.value)), onclick: () => done([o.value]) }, o.text));
  }
  const picked = new Set(chosen);
  const boxes = offered.map((o) => {
    const box = h('input', { type: 'checkbox', checked: picked.has(o.value), onchange: () => {
      if (o.value === ALL) picked.clear();
      else picked.delete(ALL);
      if (box.checked) picked.add(o.value);
      else picked.delete(o.value);
      boxes.forEach((b, i) => { b.firstChild.checked = picked.has(offered[i].value); });
    } });
    return h('label.menu-item', {}, box, o.text);
  });
  return [...boxes, h('button.primary', { type: 'button', onclick: () => done(picked.size ? [...picked] : [ALL]) }, 'Apply')];
}
