// What a reader may say of an alert: that somebody looks after it, what it was, that it is to be quiet for a time.

import { h, dialog } from './dom.js';
import { get, send } from './api.js';

// What can be said: the words, the request, and which of the other fields belong to it.
const SAYINGS = [
  ['Acknowledge: somebody looks after it', { action: 'ack' }, ['minutes']],
  ['Resolve: it was real', { action: 'resolve', disposition: 'true_positive' }, []],
  ['Resolve: a false positive', { action: 'resolve', disposition: 'false_positive' }, []],
  ['Resolve: real, but no harm', { action: 'resolve', disposition: 'benign' }, []],
  ['Silence its rule', { action: 'silence' }, ['minutes', 'entity']],
];
const LASTS = [[30, '30 minutes'], [120, '2 hours'], [480, '8 hours'], [1440, 'a day'], [10080, 'a week']];

// sayButton opens the form; done is called when something was said.
export function sayButton(alert, done) {
  return h('button.control', { type: 'button', id: 'say', onclick: () => say(alert, done) }, 'Acknowledge, resolve, silence');
}

async function say(alert, done) {
  const address = `/api/alerts/${encodeURIComponent(alert)}`;
  const about = await get(address).catch((err) => ({ failed: err.message }));
  if (about.failed || !about.writable) {
    dialog('Acknowledge, resolve, silence', about.failed ? h('p', { role: 'alert' }, about.failed)
      : h('p', {}, 'This console only reads. Who may write here is named under ', h('code', {}, 'admin.people'), ' of the configuration; ',
        h('code', {}, `tocsin alert ack ${alert}`), ' does the same.'));
    return;
  }
  const field = (name, label, control) => h('label', { 'data-field': name }, label, control);
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const what = h('select', { name: 'what', onchange: () => fit() }, SAYINGS.map(([text], i) => h('option', { value: i }, text)));
  const form = h('form.say-form', { onsubmit: submit },
    field('what', 'Say', what),
    field('minutes', 'For', h('select', { name: 'minutes' }, LASTS.map(([value, text]) => h('option', { value, selected: value === 120 }, text)))),
    field('entity', 'About', h('select', { name: 'entity' }, about.entities.map((e) => h('option', { value: e }, e.replace('=', ' '))), h('option', { value: '' }, 'everything'))),
    field('reason', 'Why', h('input', { name: 'reason', maxlength: 1000, autocomplete: 'off' })),
    field('token', 'Token', h('input', { name: 'token', type: 'password', value: sessionStorage.getItem('token') ?? '', required: true, autocomplete: 'off' })),
    problem, h('button.primary', { type: 'submit' }, 'Say it'));
  const fit = () => {
    const [, , wanted] = SAYINGS[what.value];
    for (const name of ['minutes', 'entity']) form.querySelector(`[data-field=${name}]`).hidden = !wanted.includes(name);
  };
  async function submit(event) {
    event.preventDefault();
    const given = form.elements;
    const [, request, wanted] = SAYINGS[what.value];
    const body = { ...request, reason: given.reason.value.trim() };
    if (wanted.includes('minutes')) body.minutes = Number(given.minutes.value);
    if (wanted.includes('entity')) body.entity = given.entity.value;
    try {
      const { by } = await send(address, body, given.token.value);
      sessionStorage.setItem('token', given.token.value); // until the tab is closed
      form.replaceChildren(h('p', { role: 'status' }, `Said, as ${by}.`));
      setTimeout(done, 1500); // it goes through Kafka and into the warehouse
    } catch (err) {
      problem.textContent = err.message;
      problem.hidden = false;
    }
  }
  fit();
  dialog(`To ${about.team}: ${about.title}`, form);
}
