// Where two runs part: a button that leads there, and a mark on the slider.

import {getJson} from '../state/api.js';

const AGAIN_MS = 10_000;  // between two looks while a run goes on: it takes as long as the runs are

export class Parting {
  #runs;
  #page;
  #visit;
  #asked = -Infinity;
  #isFound = false;   // or there is none, and both are done

  // page: {button, mark} elements; visit(agent's id or null, step): the button was pressed.
  constructor(page, runs, visit) {
    this.#page = page;
    this.#runs = runs;
    this.#visit = visit;
  }

  // Call this when the runs may have gone on.
  async update() {
    if (this.#isFound || this.#runs.length < 2 || performance.now() < this.#asked + AGAIN_MS) return;
    this.#asked = performance.now();
    const steps = Math.min(...this.#runs.map(({steps: done}) => done)), isDone = this.#runs.every((run) => run.isDone);
    let difference;
    try {
      ({difference} = await getJson('difference'));
    } catch (error) {
      return this.#say(`Whether the runs differ is not known: ${error.message}`);
    }
    this.#isFound = isDone || difference !== null;
    if (difference) this.#show(difference);
    else this.#say(isDone ? 'The runs do not differ.' : `The runs do not differ up to step ${steps}.`);
  }

  #say(text) {
    this.#page.button.textContent = text;
    this.#page.button.disabled = true;
    this.#page.button.hidden = false;
  }

  #show({step, agent, name, what, a, b}) {
    const {button, mark} = this.#page, at = Math.max(0, step);
    this.#say(step < 0 ? `They differ from the start: ${name}, ${what}` : `They part at step ${step}: ${name ? `${name}, ` : ''}${what}`);
    button.disabled = false;
    button.title = `${a}\n${b}`;
    button.onclick = () => this.#visit(agent, at);
    mark.style.setProperty('--part', at / Math.max(1, this.#runs[0].lastStep));
    mark.hidden = false;
  }
}
