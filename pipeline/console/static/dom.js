// Elements without a framework, and the two small controls that every page has.

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element: h('a.link', {href: '/'}, 'text', child). A function is a listener (onclick), `style` an object of
// properties, `class` adds to those of the selector, and null, undefined or false leave an attribute or a child out.
export function h(selector, attributes, ...children) {
  const [tag, ...classes] = selector.split('.');
  return fill(document.createElement(tag), classes, attributes, children);
}

// svg is h for SVG.
export function svg(selector, attributes, ...children) {
  const [tag, ...classes] = selector.split('.');
  return fill(document.createElementNS(SVG, tag), classes, attributes, children);
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.classList.add(...value.split(' '));
    else if (name === 'style') for (const [key, v] of Object.entries(value)) element.style.setProperty(key, v);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

// icon is one of the strokes below, drawn in the colour of the text around it.
export function icon(name) {
  return svg('svg.icon', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }));
}

const ICONS = {
  chevron: 'M4 6l4 4 4-4',
  left: 'M10 3L5 8l5 5',
  right: 'M6 3l5 5-5 5',
  clock: 'M8 2a6 6 0 100 12A6 6 0 008 2zM8 5v3.2l2.2 1.6',
  refresh: 'M13 8a5 5 0 11-1.6-3.7M13 2v3h-3',
  out: 'M7 3a4 4 0 100 8 4 4 0 000-8zM10 10l4 4M5 7h4',
  menu: 'M2 4h12M2 8h12M2 12h12',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  theme: 'M8 2a6 6 0 100 12V2z',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
};

// menu is a button that opens a box below it. It closes on Escape, on a click elsewhere, and when build's close is called.
export function menu(label, build, attributes) {
  const button = h('button.control', { type: 'button', 'aria-expanded': 'false', 'aria-haspopup': 'dialog', ...attributes }, label);
  const root = h('div.menu', {}, button);
  let box = null;
  const close = (focus) => {
    if (!box) return;
    box.remove();
    box = null;
    button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', outside);
    if (focus) button.focus();
  };
  const outside = (event) => root.contains(event.target) || close();
  button.addEventListener('click', () => {
    if (box) return close();
    box = h('div.menu-box', { role: 'dialog', 'aria-label': attributes?.['aria-label'] ?? button.textContent }, build(() => close(true)));
    root.append(box);
    const over = box.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
    if (over > 0) box.style.setProperty('translate', `${-over}px 0`);
    button.setAttribute('aria-expanded', 'true');
    document.addEventListener('pointerdown', outside);
    (box.querySelector('[autofocus]') ?? box.querySelector('input, button, a'))?.focus();
  });
  root.addEventListener('keydown', (event) => event.key === 'Escape' && box && (event.stopPropagation(), close(true)));
  return root;
}

// dialog shows the content over the page until it is closed.
export function dialog(title, ...content) {
  const box = h('dialog', { 'aria-label': title, onclose: () => box.remove() },
    h('header', {}, h('h2', {}, title),
      h('button.control.quiet', { type: 'button', 'aria-label': 'Close', onclick: () => box.close() }, icon('close'))),
    ...content);
  box.addEventListener('click', (event) => event.target === box && box.close()); // the backdrop is the dialog itself
  document.body.append(box);
  box.showModal();
  return box;
}
