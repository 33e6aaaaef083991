// Who was where in the run at a moment of the backend's clock. Calls are known, when they were issued and when they arrived. A newer
// journal says, too, when agents did their steps, to a tenth of a second. Of an older one, an agent is taken to go evenly from one step to
// the next between two of its calls.

import {lastUpTo} from '../state/run.js';

export class Progress {
  #waits;       // by agent: its calls as {step, from, to, call}, step being `from`'s place in a list that never falls
  #ways;        // by agent: [{time, step}], neither of which ever falls; between two of them it went evenly
  #squashed;    // by agent: [{from, to, guess}], calls asked on guesses that were wrong
  #open;        // by agent: [{step, from, to, call}], calls that are in flight (to: Infinity), and guesses that wait for their steps
  #changes = [];  // of the number of requests in flight: {step: time, count}
  end = 0;      // seconds from the first request to the last answer or step, all sessions one after the other
  sessions = [];  // {session, begin} in seconds of this clock
  isExact;      // it is known when agents did their steps, at least in some session

  // run: with its calls; its steps are where agents are after their last call, once it is done.
  constructor(run) {
    this.#waits = run.agents.map(() => []);
    this.#squashed = run.agents.map(() => []);
    this.#open = run.agents.map(() => []);
    const open = run.openCalls();
    this.isExact = run.progress.length > 0;
    const shifts = this.#layOut(run, open);
    this.#addCalls(run, open, shifts);
    this.#ways = this.#waysOf(run, shifts);
  }

  // What to add to the times of each session, which come one after the other.
  #layOut({calls, guesses, progress}, open) {
    const spans = new Map();
    const cover = (session, from, to) => {
      const span = spans.get(session) ?? {from: Infinity, to: -Infinity};
      spans.set(session, {from: Math.min(span.from, from), to: Math.max(span.to, to)});
    };
    for (const {session, issued, arrived} of calls) cover(session, issued, arrived);
    for (const {session, issued, arrived} of guesses) cover(session, issued, arrived);
    for (const {session, issued, told} of open) cover(session, issued, told);
    for (const [session, time] of progress) cover(session, time, time);
    const shifts = new Map();
    for (const session of [...spans.keys()].sort((a, b) => a - b)) {
      const {from, to} = spans.get(session);
      this.sessions.push({session, begin: this.end});
      shifts.set(session, this.end - from);
      this.end += to - from;
    }
    return shifts;
  }

  #addCalls({calls, guesses}, open, shifts) {
    const edges = [];
    const fly = (from, to) => {
      if (to > from) edges.push({time: from, change: 1}, {time: to, change: -1});
    };
    for (const call of calls) {
      const shift = shifts.get(call.session), from = call.issued + shift, to = call.arrived + shift;
      this.#waits[call.place].push({step: call.step, from, to, call});
      fly(from, to);
    }
    for (const guess of guesses) {
      const shift = shifts.get(guess.session), from = guess.issued + shift, to = guess.arrived + shift;
      if (!guess.used) this.#squashed[guess.place].push({step: guess.step, from, to, guess});
      fly(from, to);
    }
    for (const call of open) {
      const shift = shifts.get(call.session), from = call.issued + shift, to = call.arrived === null ? Infinity : call.arrived + shift;
      this.#open[call.place].push({step: call.step, from, to, call});
      fly(from, to);
    }
    for (const waits of this.#waits) waits.sort((a, b) => a.from - b.from || a.step - b.step);
    this.#count(edges.sort((a, b) => a.time - b.time || a.change - b.change));
  }

  #count(edges) {
    let count = 0;
    for (const {time, change} of edges) {
      count += change;
      if (this.#changes.at(-1)?.step === time) this.#changes.at(-1).count = count;
      else this.#changes.push({step: time, count});
    }
  }

  #waysOf({agents, places, progress, guesses, steps, isDone}, shifts) {
    const exact = new Set(progress.map(([session]) => session)), points = agents.map(() => []);
    const keyOf = ({place, step, call}) => `${place} ${step} ${call}`, guessed = new Set(guesses.map(keyOf));
    this.#waits.forEach((waits, place) => {
      for (const {from, to, step, call} of waits) {
        const jumps = exact.has(call.session);
        if (jumps && guessed.has(keyOf(call))) continue;  // was asked before the step was done
        points[place].push({time: from, step, jumps}, {time: to, step, jumps});
      }
    });
    this.#open.forEach((list, place) => {
      for (const {from, step, call} of list) {
        if (!call.isGuess) points[place].push({time: from, step, jumps: exact.has(call.session)}, {time: this.end, step, jumps: false});
      }
    });
    for (const [session, s, done] of progress) {
      for (let index = 0; index < done.length; index += 2) {
        points[places.get(done[index])]?.push({time: s + shifts.get(session), step: done[index + 1], jumps: true});
      }
    }
    return points.map((list) => {
      const way = [{time: 0, step: 0}];
      for (const {time, step, jumps} of list.sort((a, b) => a.time - b.time || a.step - b.step)) {
        const last = way.at(-1), next = {time: Math.max(time, last.time), step: Math.max(step, last.step)};
        if (jumps && next.step > last.step) way.push({time: next.time, step: last.step});
        way.push(next);
      }
      if (isDone) way.push({time: this.end, step: steps});
      return way;
    });
  }

  waitsOf(place) { return this.#waits[place]; }
  squashedOf(place) { return this.#squashed[place]; }
  openOf(place) { return this.#open[place]; }

  // The points of an agent's way: [{time, step}], from its first step to its last known one.
  wayOf(place) { return this.#ways[place]; }

  // The step in which an agent was.
  stepAt(place, time) {
    const way = this.#ways[place];
    let low = 0, high = way.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (way[middle].time <= time) low = middle; else high = middle - 1;
    }
    const before = way[low], after = way[low + 1];
    if (!after || after.step === before.step) return before.step;
    return Math.floor(before.step + (time - before.time) / (after.time - before.time) * (after.step - before.step));
  }

  // The call for which an agent waited; undefined: it waited for none.
  callAt(place, time) {
    return [...this.#waits[place], ...this.#open[place]].find(({from, to, call}) => from <= time && time < to && !call.isGuess)?.call;
  }

  inFlightAt(time) { return lastUpTo(this.#changes, time)?.count ?? 0; }

  // The most requests in flight in each of `count` equal parts of a span of time.
  inFlightOver(from, to, count) {
    const width = (to - from) / count;
    const most = Array.from({length: count}, (_, index) => this.inFlightAt(from + index * width));
    for (const {step: time, count: number} of this.#changes) {
      const index = Math.floor((time - from) / width);
      if (index >= 0 && index < count) most[index] = Math.max(most[index], number);
    }
    return most;
  }

  // The moment at which the last agent left a step; the end if some never did.
  timeOf(step, present) {
    let time = 0;
    for (const place of present) {
      const way = this.wayOf(place), next = way.findIndex((point) => point.step >= step);
      if (next < 0) return this.end;
      const after = way[next], before = way[Math.max(0, next - 1)];
      const part = after.step > before.step ? (step - before.step) / (after.step - before.step) : 1;
      time = Math.max(time, before.time + part * (after.time - before.time));
    }
    return time;
  }

  // How many steps agents were ahead of the last one of them at each of some moments: a list of numbers per agent.
  leadsAt(places, times) {
    const steps = places.map((place) => times.map((time) => this.stepAt(place, time)));
    const least = times.map((_, index) => steps.reduce((sum, list) => Math.min(sum, list[index]), Infinity));
    return steps.map((list) => list.map((step, index) => step - least[index]));
  }

  // Who is how far at a moment: {least, most, ahead: [{place, step}]}; ahead: the furthest first.
  standing(places, time) {
    const ahead = places.map((place) => ({place, step: this.stepAt(place, time)})).sort((a, b) => b.step - a.step || a.place - b.place);
    return {least: ahead.at(-1)?.step ?? 0, most: ahead[0]?.step ?? 0, ahead};
  }
}
