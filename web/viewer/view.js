// What is shown of the runs, and when: one for all maps. Time is simulated, when everybody is shown at one step, or that of the
// run, when each agent is where it was at that moment, some ahead of others.

import {Progress} from './timeline/progress.js';

export class View {
  step = 0;
  time = null;        // seconds of the run; null: simulated time
  agent = 0;          // its place
  call = null;        // its call whose details are shown: {step, call}
  isPlaying = false;
  speed = 20;         // steps per second
  follows = false;    // the map follows the agent
  trails = true;
  words = true;
  clusters = false;
  colouredBy = 'agent';  // or 'activity'
  isLive = false;     // the step follows the end of the run
}

// How one of the runs is seen.
export class Lens {
  #run;
  #view;
  #progress = null;
  #least = 0;         // the step of those furthest behind, at this moment of the run
  #clusters = null;   // {step, members}

  constructor(run, view) {
    this.#run = run;
    this.#view = view;
  }

  get step() { return this.#view.step; }
  get agent() { return this.#view.agent; }
  get follows() { return this.#view.follows; }
  get trails() { return this.#view.trails; }
  get words() { return this.#view.words; }
  get colouredBy() { return this.#view.colouredBy; }

  get progress() { return this.#progress ??= new Progress(this.#run); }

  // The run has more calls than before.
  forget() { this.#progress = null; }

  present() {
    return this.#run.agents.map((_, place) => place).filter((place) => this.#run.isPresent(place, this.#view.step));
  }

  // Call this when the moment is another one.
  look() {
    const {time} = this.#view;
    if (time !== null) this.#least = this.progress.standing(this.present(), time).least;
  }

  stepOf(place) { return this.#view.time === null ? this.#view.step : this.progress.stepAt(place, this.#view.time); }
  leadOf(place) { return this.#view.time === null ? 0 : this.stepOf(place) - this.#least; }
  isWaiting(place) { return this.#view.time !== null && this.progress.callAt(place, this.#view.time) !== undefined; }

  // Of those who are behind an agent at this moment, the one nearest to it, whom it would have to wait for first: {place, distance
  // in tiles or metres, steps}. Null in simulated time, on a network, and for the last.
  nearestBehind(place) {
    if (this.#view.time === null || this.#run.map?.follows) return null;
    const step = this.stepOf(place), from = this.#run.stateAt(place, step), unit = this.#run.map?.unit ?? 1;
    let nearest = null;
    for (const other of this.present()) {
      const steps = step - this.stepOf(other);
      if (steps <= 0) continue;
      const to = this.#run.stateAt(other, step - steps), dx = (to.x - from.x) / unit, dy = (to.y - from.y) / unit;
      const distance = unit === 1 ? Math.max(Math.abs(dx), Math.abs(dy)) : Math.hypot(dx, dy);
      if (!nearest || distance < nearest.distance) nearest = {place: other, distance, steps};
    }
    return nearest;
  }

  setClusters(step, members) { this.#clusters = {step, members}; }

  // The ids of the members of each; null: not known, or not to be shown.
  clustersOf() {
    const isShown = this.#view.clusters && this.#view.time === null && this.#clusters?.step === this.#view.step;
    return isShown ? this.#clusters.members : null;
  }
}
