// The button that has a run that goes on stand still, and says so.

import {post} from '../state/api.js';

export class Pause {
  #run;
  #button;
  #said;

  constructor(button, said, run) {
    this.#button = button;
    this.#said = said;
    this.#run = run;
    button.onclick = () => this.toggle();
  }

  // Call this when the run was asked for anew.
  update() {
    const {info, isDone} = this.#run, {pause} = info;
    this.#button.hidden = !info.may_change || isDone;
    this.#button.textContent = pause ? 'Let the run go on' : 'Pause the run';
    const said = isDone || !pause ? '' : pause.begun ? `paused since ${new Date(pause.begun).toLocaleTimeString()}` : 'pausing: the run has not said yet that it stands still';
    if (this.#said.textContent !== said) this.#said.textContent = said;
  }

  async toggle() {
    const {info, number} = this.#run;
    if (this.#button.hidden) return;
    try {
      const {paused} = await post('pause', {run: number}, {paused: !info.pause});
      info.pause = paused ? {asked: '', begun: ''} : null;
      this.update();
    } catch (error) {
      this.#said.textContent = error.message;
    }
  }
}
