// What the agent did, said and heard, as a list; what is yet to come at this step is pale.

import {logOf} from '../state/log.js';
import {button, element, itemsOr} from './dom.js';

const MOST_SHOWN = 500;  // entries around the step

export class LogPanel {
  #list;
  #run;
  #handlers;
  #log = [];
  #first = 0;    // of the entries in the list
  #place = -1;

  // handlers: {go(step), open(step, call)}
  constructor(list, run, handlers) {
    this.#list = list;
    this.#run = run;
    this.#handlers = handlers;
  }

  get log() { return this.#log; }

  // The agent is another one, or has more events.
  update(place, step) {
    const isNew = place !== this.#place, count = this.#log.length;
    this.#place = place;
    this.#log = logOf(this.#run, place);
    if (isNew || count !== this.#log.length) this.#fill(step);
    this.show(step);
  }

  #fill(step) {
    const next = this.#log.findIndex((entry) => entry.step > step), middle = next < 0 ? this.#log.length : next;
    this.#first = Math.max(0, Math.min(middle - (MOST_SHOWN >> 1), this.#log.length - MOST_SHOWN));
    this.#list.replaceChildren(...itemsOr('The journal has no events of this agent.', this.#log.slice(this.#first, this.#first + MOST_SHOWN).map((entry) => this.#itemOf(entry))));
  }

  #itemOf({step, kind, text, who, call, place}) {
    const item = element('li', {}, button(this.#run.clock.timeOf(step), () => this.#handlers.go(step), {class: 'time', 'aria-label': `go to step ${step}`}),
      element('em', {}, who ? `${who}:` : kind), text);
    item.dataset.step = step;
    if (call !== null && call !== undefined && place === this.#place) {
      item.append(' ', button('why', () => this.#handlers.open(step, call), {'aria-label': `the call behind it, of step ${step}`}));
    }
    return item;
  }

  show(step) {
    const shown = this.#log.slice(this.#first, this.#first + MOST_SHOWN);
    const isOutside = (this.#first > 0 && shown[0]?.step > step) || (this.#first + MOST_SHOWN < this.#log.length && shown.at(-1)?.step < step);
    if (isOutside) this.#fill(step);
    let last = null;
    for (const item of this.#list.children) {
      const isLater = Number(item.dataset.step) > step;
      item.classList.toggle('later', isLater);
      if (!isLater) last = item;
    }
    if (last && this.#list.offsetParent) keepInSight(last, this.#list.parentElement);
  }
}

// Scrolls the box alone, not the page around it.
export function keepInSight(item, box) {
  const inner = item.getBoundingClientRect(), outer = box.getBoundingClientRect();
  if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom;
  else if (inner.top < outer.top) box.scrollTop -= outer.top - inner.top;
}
