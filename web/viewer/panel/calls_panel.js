// The calls of the agent, and one of them in full: what was asked, what was remembered, the answer and what it cost.

import {getJson} from '../state/api.js';
import {duration} from '../state/clock.js';
import {button, element, facts, money} from './dom.js';
import {stateOf} from './in_flight.js';
import {keepInSight} from './log_panel.js';

const MOST_SHOWN = 300;
const SETTINGS = ['temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'seed', 'stop', 'max_tokens', 'choices', 'json_schema', 'grammar', 'regex'];

export class CallsPanel {
  #run;
  #open;
  #page;
  #calls = [];
  #shown = '';  // which call the details are of

  // page: {sum, list, call} elements; open(step, call): a call is chosen.
  constructor(page, run, open) {
    this.#page = page;
    this.#run = run;
    this.#open = open;
  }

  update(place) {
    const ofAgent = (call) => call.place === place, calls = this.#run.calls.filter(ofAgent), open = this.#run.openCalls().filter(ofAgent);
    this.#calls = [...calls, ...open].sort((a, b) => a.step - b.step || a.call - b.call);
    const tokens = calls.reduce((sum, call) => sum + call.prompt + call.output, 0);
    const cost = calls.reduce((sum, call) => sum + (call.cost ?? 0), 0);
    this.#page.sum.textContent = `${calls.length} calls, ${tokens} tokens${cost ? `, cost ${money(cost)}` : ''}${open.length ? `; ${open.map(stateOf).join(', ')}` : ''}`;
    this.#page.list.replaceChildren();
    this.#shown = '';
  }

  // chosen: {step, call} or null.
  show(place, step, chosen) {
    const next = this.#calls.findIndex((call) => call.step > step), middle = next < 0 ? this.#calls.length : next;
    const first = Math.max(0, Math.min(middle - (MOST_SHOWN >> 1), this.#calls.length - MOST_SHOWN));
    if (this.#page.list.dataset.first !== String(first) || !this.#page.list.firstChild) {
      this.#page.list.dataset.first = first;
      this.#page.list.replaceChildren(...this.#calls.slice(first, first + MOST_SHOWN).map((call) => this.#itemOf(call)));
    }
    let last = null;
    for (const item of this.#page.list.children) {
      item.classList.toggle('later', Number(item.dataset.step) > step);
      item.classList.toggle('chosen', item.dataset.name === nameOf(chosen));
      if (Number(item.dataset.step) <= step) last = item;
    }
    if (last && !chosen && this.#page.list.offsetParent) keepInSight(last, this.#page.list.parentElement);
    this.#showCall(place, chosen);
  }

  #itemOf(call) {
    const seconds = call.arrived > call.issued ? duration(call.arrived - call.issued) : 'guessed ahead';
    const what = isOpen(call) ? stateOf(call) : `${call.prompt} + ${call.output} tokens, ${seconds}${call.cost ? `, ${money(call.cost)}` : ''}`;
    const item = element('li', {}, button(`${this.#run.clock.timeOf(call.step)} ${call.function}: ${what}`,
      () => this.#open(call.step, call.call), {class: call.finish === 'failed' ? 'failed' : null}));
    item.dataset.step = call.step;
    item.dataset.name = nameOf(call);
    return item;
  }

  async #showCall(place, chosen) {
    const name = chosen ? `${place} ${nameOf(chosen)}` : '';
    if (name === this.#shown) return;
    this.#shown = name;
    this.#page.call.hidden = !chosen;
    if (!chosen) return;
    const open = this.#calls.find((call) => isOpen(call) && nameOf(call) === nameOf(chosen));
    if (open) return this.#page.call.replaceChildren(...this.#openDetailsOf(open));
    this.#page.call.replaceChildren('...');
    try {
      const details = await getJson('call', {run: this.#run.number, step: chosen.step, agent: this.#run.agents[place].id, call: chosen.call});
      if (name === this.#shown) this.#page.call.replaceChildren(...this.#detailsOf(details));
    } catch (error) {
      if (name === this.#shown) this.#page.call.replaceChildren(error.message);
    }
    this.#page.call.scrollIntoView({block: 'nearest'});
  }

  #openDetailsOf(call) {
    return [element('h2', {}, `${call.function}, ${this.#run.clock.timeOf(call.step)}, call ${call.call}`), element('p', {}, `${stateOf(call)}.`),
      element('p', {}, 'Prompt, tokens and server are known once it is answered and its step has asked it.')];
  }

  #detailsOf(call) {
    const text = (title, content) => content ? [element('h3', {}, title), element('pre', {tabindex: 0}, content)] : [];
    return [
      element('h2', {}, `${call.function}, ${this.#run.clock.timeOf(call.step)}, call ${call.call}`),
      facts([['Tokens', `${call.prompt_tokens} asked (${call.cached_tokens} of them cached), ${call.output_tokens} answered`],
        ['In vain', call.spent_prompt_tokens + call.spent_output_tokens ? `${call.spent_prompt_tokens} + ${call.spent_output_tokens} tokens` : ''],
        ['Cost', money(call.cost)], ['Took', call.latency_s > 0 ? duration(call.latency_s) : 'no time: a right guess had asked it ahead'],
        ['Attempts', call.attempts], ['Finish', call.error ? `failed (${call.error_code ?? 'no reason'})` : call.finish], ['Server', call.served_by]]),
      ...text('Answer', call.answer ?? call.error),
      ...text('System', call.system), ...text('Prompt', call.prompt ?? 'It was not kept (--prompts off).'),
      ...(call.memories.length ? [element('h3', {}, 'Memories in it'), element('ol', {}, ...call.memories.map(({made, text: words}) =>
        element('li', {}, element('em', {}, this.#run.clock.timeOf(made)), words ?? '')))] : []),
      element('details', {}, element('summary', {}, 'Settings'), facts(SETTINGS.map((name) => [name, call[name]]))),
    ];
  }
}

function isOpen(call) { return call.told !== undefined; }

function nameOf(call) { return call ? `${call.step} ${call.call}` : ''; }
