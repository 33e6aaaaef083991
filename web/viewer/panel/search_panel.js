// Finds agents by name, and events, prompts and answers by text.

import {getJson} from '../state/api.js';
import {button, element} from './dom.js';

const MOST_AGENTS = 20;

export function agentsNamed(run, text) {
  const part = text.toLowerCase();
  return run.agents.map((_, place) => place).filter((place) => run.agents[place].name.toLowerCase().includes(part));
}

export class SearchPanel {
  #run;
  #page;
  #handlers;

  // page: {form, text, said, hits} elements; handlers: {agent(place), visit(place, step, call)}
  constructor(page, run, handlers) {
    this.#page = page;
    this.#run = run;
    this.#handlers = handlers;
    page.form.onsubmit = (event) => {
      event.preventDefault();
      this.#find(page.text.value);
    };
  }

  async #find(text) {
    const {said, hits} = this.#page, found = agentsNamed(this.#run, text);
    const people = found.slice(0, MOST_AGENTS).map((place) => element('li', {}, button(this.#run.agents[place].name, () => this.#handlers.agent(place))));
    hits.replaceChildren(...people);
    said.textContent = 'Searching ...';
    try {
      const {hits: texts} = await getJson('search', {run: this.#run.number, text});
      hits.append(...texts.map((hit) => this.#itemOf(...hit)));
      said.textContent = `${found.length} agents, ${texts.length} texts (at most 50 events and 50 calls)`;
    } catch (error) {
      said.textContent = error.message;
    }
  }

  #itemOf(step, id, call, what, excerpt) {
    const place = this.#run.places.get(id), name = this.#run.agents[place]?.name ?? String(id);
    return element('li', {}, button(`${this.#run.clock.timeOf(step)} ${name}, ${call === null ? what : `call: ${what}`}: ${excerpt}`,
      () => this.#handlers.visit(place, step, call)));
  }
}
