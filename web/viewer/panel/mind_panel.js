// What the agent had in mind: plan and memories at the step, as far as the program knows the world, what it answers there, its
// thoughts, and with whom it has talked.

import {getJson, post} from '../state/api.js';
import {relationsOf} from '../state/log.js';
import {button, element, itemsOr} from './dom.js';

const THOUGHTS = ['reflect', 'plan'];

export class MindPanel {
  #run;
  #page;
  #go;
  #agent;
  #recalled = '';

  // page: {recall, unknown, mind, interview, question, answers, thoughts, relations} elements; go(step), and agent(place): it is chosen.
  constructor(page, run, {go, agent}) {
    this.#page = page;
    this.#run = run;
    this.#go = go;
    this.#agent = agent;
  }

  show(log, place, step) {
    const {clock, agents, info} = this.#run, name = `${place} ${step}`;
    this.#page.recall.parentElement.hidden = !info.has_minds;
    this.#page.unknown.hidden = info.has_minds;
    this.#page.recall.onclick = () => this.#recall(place, step, name);
    this.#page.interview.hidden = !info.may_interview;
    this.#page.interview.onsubmit = (event) => {
      event.preventDefault();
      this.#ask(place, step);
    };
    if (this.#recalled !== name) this.#page.mind.replaceChildren();
    const thoughts = log.filter(({kind, step: made}) => THOUGHTS.includes(kind) && made <= step);
    this.#page.thoughts.replaceChildren(...itemsOr('None yet.', thoughts.map(({kind, text, step: made}) => element('li', {},
      button(clock.timeOf(made), () => this.#go(made), {class: 'time', 'aria-label': `go to step ${made}`}), element('em', {}, kind), text))));
    this.#page.relations.replaceChildren(...itemsOr('Nobody yet.', relationsOf(log, place, step).map(({place: other, lines, step: last}) => element('li', {},
      button(agents[other].name, () => this.#agent(other)), ` said ${lines} line${lines > 1 ? 's' : ''}, the last at ${clock.timeOf(last)}`))));
  }

  // Answers stay, the latest first, whoever is shown meanwhile.
  async #ask(place, step) {
    const {agents, clock, number} = this.#run, {name, id} = agents[place];
    const question = this.#page.question.value, answer = element('dd', {}, '...');
    this.#page.question.value = '';
    this.#page.answers.prepend(element('dt', {}, element('em', {}, `${clock.timeOf(step)} ${name}`), question), answer);
    try {
      answer.textContent = (await post('interview', {run: number}, {agent: id, step, question})).answer;
    } catch (error) {
      answer.textContent = error.message;
    }
  }

  async #recall(place, step, name) {
    this.#recalled = name;
    this.#page.mind.replaceChildren('The run is repeated up to this step ...');
    let children;
    try {
      const {plan, memories} = await getJson('mind', {run: this.#run.number, agent: this.#run.agents[place].id, step});
      const entries = plan.map((entry) => element('li', {}, element('em', {}, entry.at), `${entry.place}: ${entry.do}`));
      children = [element('h2', {}, 'Plan'), element('ol', {}, ...entries),
        element('h2', {}, `Memories (${memories.length})`), element('ol', {}, ...memories.map(({at, kind, text}) =>
          element('li', {}, element('em', {}, `${at} ${kind}`), text)))];
    } catch (error) {
      children = [error.message];
    }
    if (this.#recalled === name) this.#page.mind.replaceChildren(...children);
  }
}
