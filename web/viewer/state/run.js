// What is known of a run: its agents, where they were, what they said and did, and their calls. Agents are meant by their
// place in the list, not by their id.

import {Clock} from './clock.js';
import {Column} from './column.js';
import {readPositions} from './positions.js';

const HEARD_WITHIN = 4;  // tiles between a speaker and those who hear
const SPOKEN = ['say', 'post'];  // kinds of events whose words are on the map
const GUESS_FIELDS = ['step', 'agent', 'call', 'function', 'issued', 'arrived', 'session', 'used'];
const OPEN_FIELDS = ['step', 'agent', 'call', 'function', 'issued', 'arrived', 'isGuess', 'isQueued', 'server'];
const CALL_FIELDS = ['step', 'agent', 'call', 'function', 'finish', 'prompt', 'cached', 'output', 'cost', 'issued', 'arrived', 'session'];

export class Run {
  number;            // of the server: 0, or 1 for the one beside it
  info = null;       // the reply of api/run
  map = null;        // the reply of api/map; null: there is none
  clock = new Clock();
  agents = [];       // {id, name, steps, xs, ys, statuses: columns of changes, presence: [{step, present}], says: [event of SPOKEN]}
  places = new Map();  // id -> place
  statusTexts = [];
  #statusNumbers = new Map();
  #open = {told: null, calls: []};  // what openCalls() found, and in which reply
  loaded = 0;        // steps whose positions are here
  told = 0;          // steps whose events are here
  asked = 0;         // steps whose calls are here; later ones are of agents that are ahead
  events = [];       // {step, place, kind, text, call}, by step
  cells = new Map();   // 'x,y' -> [{step, value}]
  cellValues = new Set();  // what they have held, as texts
  calls = [];        // CALL_FIELDS, and place instead of agent; by step
  guesses = [];      // calls asked ahead: GUESS_FIELDS, and place instead of agent; by step
  progress = [];     // [session, s, [agent, steps done, ...]], by time: those who went on since; none for old journals

  constructor(number = 0) { this.number = number; }

  begin(info, map) {
    this.info = info;
    this.map = map;
    const {manifest} = info;
    this.clock = new Clock(map?.start ?? manifest.start ?? '', Number(map?.seconds_per_step ?? manifest.seconds_per_step ?? 0));
    for (const [id, name, x, y, status] of info.agents) {
      this.places.set(id, this.agents.length);
      this.agents.push({id, name, steps: new Column(), xs: new Column(), ys: new Column(), statuses: new Column(), presence: [], says: []});
      this.#addWay(0, id, x, y, status);
    }
  }

  get steps() { return this.info?.steps ?? 0; }
  get lastStep() { return Number(this.info?.manifest.steps ?? 0); }
  get isDone() { return this.steps >= this.lastStep; }
  get isComplete() { return Math.min(this.loaded, this.told, this.asked) >= this.steps; }

  #numberOf(status) {
    let number = this.#statusNumbers.get(status);
    if (number === undefined) {
      this.#statusNumbers.set(status, number = this.statusTexts.length);
      this.statusTexts.push(status);
    }
    return number;
  }

  #addWay(step, id, x, y, status) {
    const agent = this.agents[this.places.get(id)];
    if (!agent) return;
    agent.steps.push(step);
    agent.xs.push(x);
    agent.ys.push(y);
    agent.statuses.push(this.#numberOf(status));
  }

  addPositions(buffer) {
    const {to} = readPositions(buffer, (...change) => this.#addWay(...change));
    this.loaded = to;
  }

  addSteps({to, presence, events, cells}) {
    for (const [step, id, present] of presence) this.agents[this.places.get(id)]?.presence.push({step, present: present === 1});
    for (const [step, x, y, value] of cells) {
      const changes = this.cells.get(`${x},${y}`) ?? [];
      this.cells.set(`${x},${y}`, changes);
      changes.push({step, value});
      if (value) this.cellValues.add(String(value));
    }
    for (const [step, id, kind, text, call] of events) {
      const place = this.places.get(id);
      if (place === undefined) continue;
      const event = {step, place, kind, text, call};
      this.events.push(event);
      if (SPOKEN.includes(kind)) this.agents[place].says.push(event);
    }
    this.told = to;
  }

  // The calls of steps from `from` on, instead of those that are known. asked: the steps that all agents have done.
  setCalls(from, rows, asked, guesses = []) {
    this.#replace(this.calls, from, CALL_FIELDS, rows);
    this.#replace(this.guesses, from, GUESS_FIELDS, guesses);
    this.#open.told = null;
    this.asked = asked;
  }

  #replace(list, from, fields, rows) {
    while (list.length && list.at(-1).step >= from) list.pop();
    for (const row of rows) {
      const call = this.#rowOf(fields, row);
      if (call.place !== undefined) list.push(call);
    }
  }

  // What the run waits for, as it said last, less what has been answered since: OPEN_FIELDS, place instead of agent, session, and
  // told: until when it is known to be in flight. arrived: of a guess that waits for its step, else null. isQueued: null: not known.
  openCalls() {
    const told = this.isDone ? null : this.info?.in_flight;
    if (!told?.calls.length) return [];
    if (this.#open.told !== told) this.#open = {told, calls: this.#findOpen(told)};
    return this.#open.calls;
  }

  #findOpen(told) {
    const least = Math.min(...told.calls.map(([step]) => step)), nameOf = ({step, agent, call, issued}) => `${step} ${agent} ${call} ${issued}`;
    const known = new Set([...this.calls, ...this.guesses].filter(({step}) => step >= least).map(nameOf));
    return told.calls.map((row) => this.#rowOf(OPEN_FIELDS, row)).filter((call) => call.place !== undefined && !known.has(nameOf(call)))
      .map((call) => ({...call, isGuess: call.isGuess === 1, isQueued: call.isQueued ?? null, session: told.session, told: told.s}));
  }

  #rowOf(fields, row) {
    const call = Object.fromEntries(fields.map((name, index) => [name, row[index]]));
    call.place = this.places.get(call.agent);
    return call;
  }

  // {x, y, status} at the start of a step.
  stateAt(place, step) {
    const agent = this.agents[place], index = Math.max(0, agent.steps.lastUpTo(step));
    return {x: agent.xs.at(index), y: agent.ys.at(index), status: this.statusTexts[agent.statuses.at(index)]};
  }

  // The last places before a step, newest first: [{x, y, step}], of at most `steps` steps.
  trailOf(place, step, steps) {
    const agent = this.agents[place], trail = [];
    for (let index = agent.steps.lastUpTo(step); index >= 0; index--) {
      trail.push({x: agent.xs.at(index), y: agent.ys.at(index), step: agent.steps.at(index)});
      if (agent.steps.at(index) < step - steps) break;
    }
    return trail;
  }

  // Who is not there at the start has a change for step 0.
  isPresent(place, step) {
    return this.agents[place].presence.findLast((change) => change.step <= step)?.present ?? true;
  }

  // What a cell holds at the start of a step; undefined: as at the start of the run.
  cellAt(key, step) { return this.cells.get(key).findLast((change) => change.step <= step)?.value; }

  // The last line that an agent has said in the `steps` steps up to this one; '' if there is none.
  wordsOf(place, step, steps) {
    const line = lastUpTo(this.agents[place].says, step);
    return line && line.step > step - steps ? line.text.replace(/^to [^:]+: /, '') : '';
  }

  // Whether an agent hears what is said: who is named ("to Ben: ..."; Ben-2 in the second copy of a town), else everybody near.
  hears(place, {step, place: speaker, text}) {
    if (place === speaker || !this.isPresent(place, step)) return false;
    const named = /^to ([^:]+): /.exec(text)?.[1], {name} = this.agents[place];
    return (!named || name === named || name.startsWith(`${named}-`)) && this.isNear(place, speaker, step);
  }

  isNear(a, b, step) {
    const from = this.stateAt(a, step), to = this.stateAt(b, step);
    if (this.map?.follows) return Boolean(this.map.follows[from.x]?.includes(to.x) || this.map.follows[to.x]?.includes(from.x));
    return Math.max(Math.abs(from.x - to.x), Math.abs(from.y - to.y)) <= HEARD_WITHIN * (this.map?.unit ?? 1);
  }
}

// The last of a list, ordered by step, that is not later; undefined: there is none.
export function lastUpTo(list, step) {
  let low = -1, high = list.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (list[middle].step <= step) low = middle; else high = middle - 1;
  }
  return list[low];
}
