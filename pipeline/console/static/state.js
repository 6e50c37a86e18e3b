// What the page shows is in its address and nowhere else: /d/<uid>?from=&to=&refresh=&var-<name>=, as in Grafana.

export const HOME = 'tocsin-overview';
export const ALL = '$__all';

// read returns the state that the address asks for; from and to stay as they are written.
export function read(location = window.location) {
  const query = new URLSearchParams(location.search);
  const [, d, uid] = location.pathname.split('/');
  const vars = {};
  for (const [key, value] of query) if (key.startsWith('var-')) (vars[key.slice(4)] ??= []).push(value);
  return { uid: d === 'd' && uid ? decodeURIComponent(uid) : HOME, from: query.get('from'), to: query.get('to'), refresh: query.get('refresh'), vars };
}

// href is the address of a state.
export function href(state) {
  const query = new URLSearchParams();
  for (const key of ['from', 'to', 'refresh']) if (state[key]) query.set(key, state[key]);
  for (const [name, values] of Object.entries(state.vars)) for (const value of values) query.append(`var-${name}`, value);
  const text = query.toString();
  return (state.uid === HOME ? '/' : `/d/${encodeURIComponent(state.uid)}`) + (text && `?${text}`);
}

const UNITS = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

// moment turns now, now-15m, milliseconds or a date into milliseconds; NaN is none of them.
export function moment(text, now) {
  const relative = /^now(?:([+-])(\d+)([smhdw]))?$/.exec(text);
  if (relative) return now + (relative[1] ? (relative[1] === '-' ? -1 : 1) * relative[2] * UNITS[relative[3]] : 0);
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text);
}

// resolve returns the range in milliseconds, the same for all panels of one refresh. A range that makes no sense is the
// last hour.
export function resolve(from, to, now = Date.now()) {
  const range = { from: moment(from, now), to: moment(to, now) };
  return range.from < range.to ? range : { from: now - UNITS.h, to: now };
}

// isRelative tells whether the range moves with the clock.
export const isRelative = (to) => String(to).startsWith('now');

const WORDS = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

// QUICK are the ranges that are offered.
export const QUICK = ['now-15m', 'now-30m', 'now-1h', 'now-3h', 'now-6h', 'now-12h', 'now-24h', 'now-2d', 'now-7d', 'now-30d', 'now-90d'];

// rangeText says the range in words.
export function rangeText(from, to) {
  const span = to === 'now' && /^now-(\d+)([smhdw])$/.exec(from);
  if (span) return `Last ${span[1]} ${WORDS[span[2]]}${span[1] === '1' ? '' : 's'}`;
  const text = (t) => (/^now/.test(t) ? t : stamp(moment(t, 0)));
  const [a, b] = [text(from), text(to)];
  return a.slice(0, 10) === b.slice(0, 10) && a.length > 10 ? `${a} – ${b.slice(11)}` : `${a} – ${b}`;
}

// stamp is a local date and time to the second, or to the minute where it is a whole one.
export function stamp(ms) {
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}` +
    (d.getSeconds() ? `:${two(d.getSeconds())}` : '');
}
