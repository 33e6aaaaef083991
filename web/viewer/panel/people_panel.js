// What people are asked in a run that goes on, and answer here: as `throng play`, for all agents.

import {post} from '../state/api.js';
import {button, element} from './dom.js';

export class PeoplePanel {
  #run;
  #page;
  #agent;
  #items = new Map();   // by key: the question's place in the list, kept while it is open, with what is typed

  // page: {box, title, said, list} elements; agent(place): somebody's name was clicked.
  constructor(page, run, agent) {
    this.#page = page;
    this.#run = run;
    this.#agent = agent;
  }

  // Call this when the run was asked for anew.
  update() {
    const {questions, may_change: mayAnswer} = this.#run.info, open = new Set();
    for (const [step, agent, call, question, choices, asked] of questions) {
      const key = [step, agent, call].join();
      open.add(key);
      if (this.#items.has(key)) continue;
      this.#items.set(key, this.#item({step, agent, call, question, choices, asked, mayAnswer}));
      this.#page.list.append(this.#items.get(key));
    }
    for (const [key, item] of this.#items) {
      if (open.has(key)) continue;
      item.remove();
      this.#items.delete(key);
    }
    this.#page.title.textContent = open.size ? 'Waiting for you' : 'Nothing waits for you';
    this.#page.box.hidden = !open.size && !this.#page.said.textContent;
  }

  #item({step, agent, call, question, choices, asked, mayAnswer}) {
    const place = this.#run.places.get(agent), since = asked ? `, since ${new Date(asked).toLocaleTimeString()}` : '';
    const send = (answer) => this.#send({step, agent, call, answer});
    const input = element('input', {type: 'text', required: true, autocomplete: 'off', 'aria-label': `Answer to: ${question}`});
    const own = () => element('form', {onsubmit: (event) => {
      event.preventDefault();
      send(input.value);
    }}, input, element('button', {}, 'Answer'));
    return element('li', {},
      element('p', {}, button(this.#run.agents[place]?.name ?? `agent ${agent}`, () => this.#agent(place)),
        ` ${this.#run.clock.timeOf(step)}${since}: `, element('q', {}, question)),
      !mayAnswer ? element('p', {}, choices.length ? `Allowed: ${choices.join(', ')}` : 'Any answer is allowed.')
        : choices.length ? element('p', {role: 'group', 'aria-label': question}, ...choices.map((choice) => button(choice, () => send(choice))))
        : own());
  }

  async #send(answer) {
    const {said} = this.#page;
    try {
      await post('answer', {run: this.#run.number}, answer);
      said.textContent = `Answered: ${answer.answer}`;
      this.#run.info.questions = this.#run.info.questions.filter(([step, agent, call]) => step !== answer.step || agent !== answer.agent || call !== answer.call);
    } catch (error) {
      said.textContent = error.message;
    }
    this.update();
  }
}
