// The page: reads the address, loads the dashboard that it names, draws its panels and keeps them up to date.

import { h, icon, dialog } from './dom.js';
import { get, ask } from './api.js';
import { ago } from './format.js';
import { HOME, ALL, href, isRelative, rangeText, read, resolve } from './state.js';
import { rangePicker, refreshPicker, values, variableBar } from './controls.js';
import { sayButton } from './say.js';
import { Panel } from './panel/panel.js';
import { toggleTail } from './tail.js';

const FOLDERS = { devsecops: 'Everybody', dev: 'Development', sec: 'Security', ops: 'Operations', mon: 'Monitoring' };
const SECONDS = { s: 1, m: 60, h: 3600 };

const page = {
  boards: [], // all dashboards, for the menu
  board: null, // the one that is shown
  view: null, // uid, from, to as written, range in milliseconds, vars
  panels: [],
  abort: null, // of the load under way
  timer: null, // of the next load
};

const byId = (id) => document.getElementById(id);

// open shows what the address asks for.
async function open() {
  const state = read();
  delete document.body.dataset.loaded;
  page.abort?.abort();
  clearTimeout(page.timer);
  try {
    if (!page.boards.length) page.boards = await get('/api/dashboards');
    if (page.board?.uid !== state.uid) {
      page.board = await get(`/api/dashboards/${encodeURIComponent(state.uid)}`);
      page.panels.forEach((p) => p.close());
      page.panels = page.board.panels.filter((p) => p.type !== 'row').map((p) => new Panel(p, zoom));
      byId('main').replaceChildren(h('div.notice', { id: 'notice', hidden: true }), h('div.grid', {}, page.panels.map((p) => p.root)));
      window.scrollTo(0, 0);
    }
  } catch (err) {
    drawNav(state.uid);
    return broken(err);
  }
  const { board } = page;
  page.view = {
    uid: board.uid, from: state.from ?? board.time?.from ?? 'now-1h', to: state.to ?? board.time?.to ?? 'now',
    refresh: state.refresh ?? board.refresh ?? '', vars: presets(board, state.vars), given: state,
  };
  page.view.range = resolve(page.view.from, page.view.to);
  await firsts(board, page.view);
  document.title = `${board.title} · tocsin`;
  drawNav(board.uid);
  drawBar();
  await reload();
}

function presets(board, given) {
  const vars = { ...given };
  for (const v of board.templating?.list ?? []) {
    if (v.type !== 'datasource') vars[v.name] ??= [v.current?.value ?? (v.includeAll ? ALL : '')].flat();
  }
  return vars;
}

// firsts gives a variable that must have one value, and has none yet, the first that there is. It keeps the texts of the
// values, for the control to say what is chosen.
async function firsts(board, view) {
  view.options = {};
  for (const v of board.templating?.list ?? []) {
    if (v.type !== 'query' || v.includeAll) continue;
    const options = view.options[v.name] = await values(v, view).catch(() => []);
    if (options.length && view.vars[v.name].every((value) => value === '')) view.vars[v.name] = [options[0].value];
  }
}

// go changes the address and shows what it then asks for.
function go(change, replace) {
  const { given, uid } = page.view;
  const state = { uid, from: given.from, to: given.to, refresh: given.refresh, vars: given.vars, ...change };
  history[replace ? 'replaceState' : 'pushState'](null, '', href(state));
  open();
}

const zoom = (range) => go({ from: String(Math.round(range.from)), to: String(Math.round(range.to)) });

// reload asks for everything once. Panels draw as their answers come.
async function reload() {
  page.abort?.abort();
  clearTimeout(page.timer);
  const abort = page.abort = new AbortController();
  const view = page.view = { ...page.view, range: resolve(page.view.from, page.view.to) };
  document.body.classList.add('busy');
  try {
    const annotations = await annotationsOf(view, abort.signal);
    const rows = await Promise.all(page.panels.map((p) => p.load(view, annotations, abort.signal)));
    await notice(view, rows, abort.signal);
  } catch (err) {
    if (err.name === 'AbortError') return;
    broken(err);
  }
  document.body.classList.remove('busy');
  document.body.dataset.loaded = view.uid;
  schedule();
}

function schedule() {
  const every = /^(\d+)([smh])$/.exec(page.view.refresh);
  if (every && isRelative(page.view.to)) page.timer = setTimeout(() => (document.hidden ? schedule() : reload()), every[1] * SECONDS[every[2]] * 1000);
}

const COLORS = { deployments: 'blue', chaos: 'violet', campaigns: 'red', backups: 'gray' };

// annotationsOf asks for what happened beside the figures. Panels are worth drawing without it.
async function annotationsOf(view, signal) {
  if (!(page.board.annotations?.list ?? []).some((a) => a.target)) return [];
  try {
    const results = await ask('annotations', view, {}, signal);
    return results.flatMap(({ name, columns, rows }) => {
      const at = Object.fromEntries(columns.map((c, i) => [c.name, i]));
      return rows.map((r) => ({ time: r[at.time], end: r[at.timeEnd], text: r[at.text], name, color: COLORS[name.toLowerCase()] ?? 'gray' }));
    });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    return [];
  }
}

// notice says what to do where there is nothing to see: nowhere, or only not in this range.
async function notice(view, rows, signal) {
  const box = byId('notice');
  const { from, to, minutes } = await get('/api/extent', signal).catch((err) => ({ failed: err.message }));
  box.hidden = true;
  if (minutes === 0) {
    box.replaceChildren(h('h2', {}, 'Nothing has arrived yet'), h('p', {}, 'tocsin reads topics of Kafka. See it at work with ',
      h('code', {}, 'tocsin demo'), ', or send it something of yours: ', h('code', {}, 'tocsin sources'), ' lists the formats that it knows, ',
      h('code', {}, 'tocsin parse FILE'), ' shows what it makes of a file.'));
    box.hidden = false;
  } else if (minutes && (to < view.range.from || from > view.range.to)) {
    const end = to + 6e4; // the last minute is a whole one
    const range = { from: String(Math.max(from, end - 36e5)), to: String(end) };
    box.replaceChildren(h('p', {}, `Nothing happened in ${rangeText(view.from, view.to).toLowerCase()}. The newest event is from ${ago(end)}. `),
      h('button.primary', { type: 'button', onclick: () => go(range) }, `Show ${rangeText(range.from, range.to)}`));
    box.hidden = false;
  }
}

function broken(err) {
  byId('main').replaceChildren(h('div.notice', { role: 'alert' }, h('h2', {}, 'This page cannot be shown'), h('p', {}, err.message),
    h('p', {}, h('a', { href: '/' }, 'To the front page'))));
  page.board = null;
  document.body.dataset.loaded = 'broken';
}

function drawBar() {
  const { board, view } = page;
  byId('bar').replaceChildren(
    h('div.heading', {},
      h('button.control.quiet.nav-toggle', { type: 'button', 'aria-label': 'Dashboards', 'aria-controls': 'nav', onclick: () => document.body.classList.toggle('nav-open') }, icon('menu')),
      h('div', {}, h('h1', {}, board.title), h('p', {}, board.description))),
    h('div.controls', {}, view.vars.alert?.[0] && sayButton(view.vars.alert[0], reload), rangePicker(view, go), refreshPicker(view.refresh, reload, (change) => go(change, true))),
    variableBar(board, view, go));
}

function drawNav(uid) {
  const groups = Map.groupBy(page.boards.filter((b) => !b.tags?.includes('detail')), (b) => b.folder);
  const range = page.view ? { from: page.view.given.from, to: page.view.given.to } : {};
  byId('nav').replaceChildren(
    h('a.brand', { href: href({ uid: HOME, ...range, vars: {} }) }, h('img', { src: '/static/bell.svg', alt: '', width: 26, height: 26 }), 'tocsin'),
    h('div.nav-groups', {}, Object.keys(FOLDERS).filter((f) => groups.has(f)).map((folder) => [
      h('h2', {}, FOLDERS[folder]),
      h('ul', {}, groups.get(folder).map((b) => h('li', {}, h('a', {
        href: href({ uid: b.uid, ...range, vars: {} }), title: b.description, 'aria-current': b.uid === uid ? 'page' : null,
      }, b.title)))),
    ])),
    h('footer', {},
      h('button.control.quiet', { type: 'button', 'aria-label': 'Light or dark', title: 'Light or dark', onclick: toggleTheme }, icon('theme'), 'Theme'),
      h('button.control.quiet', { type: 'button', title: 'Alerts as they come', onclick: toggleTail }, icon('clock'), 'Live'),
      h('button.control.quiet', { type: 'button', onclick: help }, '?', h('span.hidden', {}, ' Keys'))));
}

function toggleTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  localStorage.setItem('theme', document.documentElement.dataset.theme = dark ? 'light' : 'dark');
  page.panels.forEach((p) => p.repaint());
}

const KEYS = [['r', 'refresh'], ['t', 'choose the time range'], ['g', 'go to the dashboards'], ['h', 'front page'], ['l', 'alerts as they come'], ['?', 'this list'], ['Esc', 'close what is open']];

function help() {
  dialog('Keys', h('dl.keys', {}, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
    h('p', {}, 'Drag over a chart to zoom in. Click a name in its legend to hide a line.'));
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog')) return;
  const does = {
    r: reload, t: () => byId('range')?.click(), h: () => visit('/'), l: toggleTail, '?': help,
    g: () => { document.body.classList.add('nav-open'); byId('nav').querySelector('li a')?.focus(); },
    Escape: () => document.body.classList.remove('nav-open'),
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
}

function visit(address) {
  document.body.classList.remove('nav-open');
  history.pushState(null, '', address);
  open();
}

// Links within the console change the page without loading it anew.
function follow(event) {
  const link = event.target.closest('a[href]');
  if (event.target.closest('#page') && document.body.classList.contains('nav-open') && !event.target.closest('.nav-toggle')) document.body.classList.remove('nav-open');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target === '_blank') return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !(url.pathname === '/' || url.pathname.startsWith('/d/'))) return;
  event.preventDefault();
  visit(url.pathname + url.search);
}

const theme = localStorage.getItem('theme');
if (theme) document.documentElement.dataset.theme = theme;
document.addEventListener('click', follow);
document.addEventListener('keydown', key);
window.addEventListener('popstate', open);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => page.panels.forEach((p) => p.repaint()));
setInterval(() => {
  for (const time of document.querySelectorAll('time[data-ms]')) time.textContent = ago(Number(time.dataset.ms));
}, 10000);
open();
