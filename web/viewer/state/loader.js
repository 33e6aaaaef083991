// Brings a run from the server, range by range, and follows one that goes on. Whoever draws it is told of each range.

import {ApiError, getBytes, getJson} from './api.js';

const RANGE = 1000;       // steps per request, as many as the server gives
const POLL_MS = 1000;     // how often a run that goes on is asked for more
const MOST_WAIT_MS = 15000;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export class Loader {
  #run;
  #changed;
  #said;
  #askKey;

  // changed(): something is new; said(error): an ApiError that passes, or null when it has passed; askKey(): returns when there is another
  // key to try.
  constructor(run, {changed, said, askKey}) {
    this.#run = run;
    this.#changed = changed;
    this.#said = said;
    this.#askKey = askKey;
  }

  get #fields() { return {run: this.#run.number}; }

  async begin() {
    const [info, map] = await this.#insist(() => Promise.all([
      getJson('run', this.#fields),
      getJson('map', this.#fields).catch((error) => {
        if (error.status === 404) return null;  // a run without a map is drawn on a plain ground
        throw error;
      }),
    ]));
    this.#run.begin(info, map);
  }

  // Returns when the run is done and all of it is here. Throws what does not pass by itself.
  async follow() {
    while (true) {
      await Promise.all([this.#loadPositions(), this.#loadSteps(), this.#loadCalls(), this.#loadProgress()]);
      if (this.#run.isDone) return;
      await wait(POLL_MS);
      this.#run.info = await this.#insist(() => getJson('run', this.#fields));
      this.#changed();
    }
  }

  // What a server that starts again, perhaps with another key, or a network will give later.
  async #insist(ask) {
    for (let ms = POLL_MS; ; ms = Math.min(2 * ms, MOST_WAIT_MS)) {
      try {
        const reply = await ask();
        this.#said(null);
        return reply;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.wantsKey) {
          await this.#askKey();
          continue;
        }
        if (error.status > 0 && error.status < 500) throw error;
        this.#said(error);
        await wait(ms);
      }
    }
  }

  async #loadPositions() {
    const run = this.#run, steps = run.steps;
    const get = (from) => this.#insist(() => getBytes('positions', {...this.#fields, from, to: Math.min(from + RANGE, steps)}));
    let next = run.loaded < steps ? get(run.loaded) : null;
    while (next) {
      const bytes = await next;
      next = run.loaded + RANGE < steps ? get(run.loaded + RANGE) : null;  // asked for while this one is read
      run.addPositions(bytes);
      this.#changed();
    }
  }

  // Only steps that everybody has done: those after them still get rows.
  async #loadSteps() {
    const run = this.#run, steps = run.steps;
    while (run.told < steps) {
      run.addSteps(await this.#insist(() => getJson('steps', {...this.#fields, from: run.told, to: Math.min(run.told + RANGE, steps)})));
      this.#changed();
    }
  }

  // Calls beyond those steps show who is ahead; they are asked for again.
  async #loadCalls() {
    const run = this.#run, steps = run.steps;
    do {
      const from = run.asked, to = from + RANGE;
      const {calls, guesses} = await this.#insist(() => getJson('calls', {...this.#fields, from, to}));
      run.setCalls(from, calls, Math.min(to, steps), guesses);
      this.#changed();
    } while (run.asked < steps);
  }

  async #loadProgress() {
    while (true) {
      const {progress} = await this.#insist(() => getJson('progress', {...this.#fields, from: this.#run.progress.length}));
      if (!progress.length) return;
      this.#run.progress.push(...progress);
      this.#changed();
    }
  }
}
