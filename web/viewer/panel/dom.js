// Makes elements. What a run or a model wrote is only ever text.

const SVG = 'http://www.w3.org/2000/svg';

function add(made, fields, children) {
  for (const [name, value] of Object.entries(fields)) {
    if (name.startsWith('on')) made[name] = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// fields: attributes, and handlers such as onclick.
export function element(tag, fields = {}, ...children) { return add(document.createElement(tag), fields, children); }
export function drawing(tag, fields = {}, ...children) { return add(document.createElementNS(SVG, tag), fields, children); }

export function button(text, onclick, fields = {}) { return element('button', {type: 'button', onclick, ...fields}, text); }

// An entry of a legend, of a colour or a sign.
export function sample({colour, sign, text}) {
  if (sign) return element('span', {}, element('b', {'aria-hidden': true}, sign), text);
  const square = element('i');
  square.style.background = colour;
  return element('span', {}, square, text);
}

// The items of a list, or one that says that there are none.
export function itemsOr(none, items) { return items.length ? items : [element('li', {class: 'later'}, none)]; }

// rows: of texts and numbers.
export function table(head, rows) {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...head.map((text) => element('th', {scope: 'col'}, text)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((cell) => element('td', {}, String(cell)))))));
}

// pairs: [name, text]; those without a text are left out.
export function facts(pairs) {
  const known = pairs.filter(([, text]) => text !== null && text !== undefined && text !== '');
  return element('dl', {}, ...known.flatMap(([name, text]) => [element('dt', {}, name), element('dd', {}, String(text))]));
}

// Small costs are told apart, too.
export function money(cost) { return cost === null || cost === undefined ? '' : cost.toFixed(cost < 0.01 ? 6 : cost < 1 ? 4 : 2); }
