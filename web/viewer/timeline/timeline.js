// The calls of all agents over the time of the run: how many are in flight, and who is ahead, who is how far, or whose they are.

import {colourOf, theme} from '../theme.js';
import {duration} from '../state/clock.js';
import {Window} from './window.js';

const LEFT = 44, BOTTOM = 14, FLIGHT = 26;  // pixels
const ROW = 11, LEAST_ROW = 3;
const PICK_PIXELS = 12;
const GUESS_PIXELS = 3;
const TIP_PIXELS = 4;       // of a bar whose end is open
const LEAD_PIXELS = 3;      // between two moments at which it is asked who is ahead
const MOST_BRIGHT = 100;    // agents beyond which their lines are faint
const LEAST_NAME = 10;      // pixels from one name to the next
const MOST_TOLD = 8;        // kinds of calls in the legend
const GUESSES = [{sign: '◆', text: 'guessed ahead'}, {sign: '▯', text: 'guessed in vain'}];

export class Timeline {
  #run;
  #view;
  #lens;
  #canvas;
  #window = new Window();
  #picture = {};      // {looks, progress, canvas}: what was drawn last, and of what
  #mostInFlight = 1;  // in sight, as is
  #mostAhead = 1;
  kind = 'ahead';     // or 'progress', or 'calls'
  functions = [];     // kinds of calls, in the order of their colours

  // picked(call): a call was clicked; moved(time): a moment was, null: only what is in sight has changed.
  constructor(canvas, run, view, lens, {picked, moved}) {
    this.#canvas = canvas;
    this.#run = run;
    this.#view = view;
    this.#lens = lens;
    this.#listen(picked, moved);
  }

  colourOf(name) { return theme.calls[this.functions.indexOf(name) % theme.calls.length] ?? theme.pale; }

  // What is said of calls: [{colour or sign, text}]; nothing where lines are those of agents.
  get legend() {
    if (this.kind === 'ahead') return [];
    const kinds = this.functions.slice(0, MOST_TOLD).map((name) => ({colour: this.colourOf(name), text: name}));
    return [...kinds, ...(this.#run.guesses.length ? GUESSES : [])];
  }

  zoom(factor) { this.#window.zoom(factor, this.#view.time ?? undefined); }
  reset() { this.#window.reset(); }

  // The run has more calls.
  update() {
    const known = new Set(this.functions);
    for (const call of [...this.#run.calls, ...this.#run.openCalls()]) known.add(call.function);
    this.functions = [...known];
    this.#window.setEnd(this.#lens.progress.end);
  }

  get #width() { return this.#canvas.clientWidth; }
  get #height() { return this.#canvas.clientHeight; }
  #xOf(time) { return LEFT + (time - this.#window.from) / (this.#window.to - this.#window.from) * (this.#width - LEFT); }
  #timeOf(x) { return this.#window.from + (x - LEFT) / (this.#width - LEFT) * (this.#window.to - this.#window.from); }
  #yOf(step) { return this.#height - BOTTOM - step / Math.max(1, this.#run.steps) * (this.#height - BOTTOM - FLIGHT - 4); }

  draw() {
    const canvas = this.#canvas, ratio = window.devicePixelRatio || 1, width = this.#width, height = this.#height;
    if (width === 0) return;
    if (this.#view.time !== null && this.#view.isPlaying) this.#window.show(this.#view.time);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.drawImage(this.#still(canvas.width, canvas.height, ratio), 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height);
    pen.clip();
    this.#drawMoment(pen);
  }

  // All but the moment, which takes long with many agents: drawn anew only when something of it has changed.
  #still(width, height, ratio) {
    const {from, to} = this.#window, {agent, call} = this.#view;
    const looks = [width, height, ratio, from, to, this.kind, agent, call?.step, call?.call, theme.page, this.#run.steps, this.#lens.present().length].join();
    if (this.#picture.looks === looks && this.#picture.progress === this.#lens.progress) return this.#picture.canvas;
    this.#picture = {looks, progress: this.#lens.progress, canvas: new OffscreenCanvas(width, height)};
    const pen = this.#picture.canvas.getContext('2d');
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = theme.page;
    pen.fillRect(0, 0, this.#width, this.#height);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, this.#width - LEFT, this.#height);
    pen.clip();
    this.#drawFlight(pen);
    ({ahead: () => this.#drawLeads(pen), progress: () => this.#drawProgress(pen), calls: () => this.#drawRows(pen)})[this.kind]();
    this.#drawSessions(pen);
    pen.restore();
    this.#drawAxes(pen);
    if (this.#lens.progress.end === 0) this.#drawNothing(pen);
    return this.#picture.canvas;
  }

  #drawFlight(pen) {
    const parts = Math.max(1, Math.floor(this.#width - LEFT));
    const counts = this.#lens.progress.inFlightOver(this.#window.from, this.#window.to, parts), most = Math.max(1, ...counts);
    pen.fillStyle = theme.accent;
    pen.globalAlpha = 0.5;
    counts.forEach((count, index) => pen.fillRect(LEFT + index, FLIGHT - count / most * FLIGHT, 1, count / most * FLIGHT));
    pen.globalAlpha = 1;
    this.#mostInFlight = most;
  }

  // draw(place) for each agent, the chosen one last and thick.
  #drawLines(pen, places, draw) {
    const {agents} = this.#run;
    const line = (place) => {
      pen.beginPath();
      draw(place);
      pen.stroke();
    };
    pen.lineJoin = 'round';  // without spikes beyond what is so
    pen.lineWidth = 1;
    pen.globalAlpha = agents.length > MOST_BRIGHT ? 0.25 : 0.7;
    for (const place of places) {
      pen.strokeStyle = colourOf(agents[place]);
      if (place !== this.#view.agent) line(place);
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = theme.text;
    pen.lineWidth = 2.5;
    if (places.includes(this.#view.agent)) line(this.#view.agent);
  }

  #drawProgress(pen) {
    const {progress} = this.#lens, chosen = this.#view.agent;
    this.#drawLines(pen, this.#run.agents.map((_, place) => place), (place) => {
      for (const {time, step} of progress.wayOf(place)) pen.lineTo(this.#xOf(time), this.#yOf(step));
    });
    if (!this.#run.agents[chosen]) return;
    for (const {from, to, step, guess} of progress.squashedOf(chosen)) this.#drawSquashed(pen, guess, from, to, this.#yOf(step) - 3, 6);
    for (const {from, to, step, call} of progress.waitsOf(chosen)) {
      this.#drawCall(pen, call, from, to, this.#yOf(step) - 3, 6);
    }
    for (const {from, to, step, call} of progress.openOf(chosen)) this.#drawOpen(pen, call, from, to, this.#yOf(step) - 3, 6);
  }

  // Steps ahead of the last agent. Those who are not there at this step count for nobody.
  #drawLeads(pen) {
    const {from, to} = this.#window, parts = Math.max(2, Math.floor((this.#width - LEFT) / LEAD_PIXELS));
    const times = Array.from({length: parts}, (_, index) => from + index / (parts - 1) * (to - from)), places = this.#lens.present();
    const leads = this.#lens.progress.leadsAt(places, times), bottom = this.#height - BOTTOM;
    this.#mostAhead = leads.reduce((most, list) => list.reduce((sum, lead) => Math.max(sum, lead), most), 1);
    const byPlace = new Map(places.map((place, index) => [place, leads[index]]));
    this.#drawLines(pen, places, (place) => byPlace.get(place).forEach((lead, index) =>
      pen.lineTo(this.#xOf(times[index]), bottom - lead / this.#mostAhead * (bottom - FLIGHT - 4))));
  }

  // The rows in sight: {first, height}; the agent's is among them.
  #rows() {
    const room = this.#height - BOTTOM - FLIGHT - 4, count = this.#run.agents.length;
    const height = Math.max(LEAST_ROW, Math.min(ROW, room / Math.max(1, count))), fit = Math.floor(room / height);
    return {first: Math.max(0, Math.min(count - fit, this.#view.agent - (fit >> 1))), fit, height};
  }

  #drawRows(pen) {
    const {first, fit, height} = this.#rows(), {agents} = this.#run;
    for (let place = first; place < Math.min(agents.length, first + fit); place++) {
      const y = FLIGHT + 4 + (place - first) * height;
      if (place === this.#view.agent) {
        pen.fillStyle = theme.line;
        pen.fillRect(LEFT, y, this.#width - LEFT, height);
      }
      for (const {from, to, guess} of this.#lens.progress.squashedOf(place)) {
        if (to >= this.#window.from && from <= this.#window.to) this.#drawSquashed(pen, guess, from, to, y + 1, height - 2);
      }
      for (const {from, to, call} of this.#lens.progress.waitsOf(place)) {
        if (to >= this.#window.from && from <= this.#window.to) this.#drawCall(pen, call, from, to, y + 0.5, height - 1);
      }
      for (const {from, to, call} of this.#lens.progress.openOf(place)) this.#drawOpen(pen, call, from, to, y + 0.5, height - 1);
    }
  }

  // A bar; a diamond for a call that a right guess had asked ahead.
  #drawCall(pen, call, from, to, y, height) {
    const left = this.#xOf(from), isChosen = this.#view.call?.step === call.step && this.#view.call?.call === call.call && call.place === this.#view.agent;
    pen.fillStyle = call.finish === 'failed' ? theme.fault : this.colourOf(call.function);
    if (to === from) {
      const middle = y + height / 2;
      pen.beginPath();
      for (const [dx, dy] of [[0, -1], [1, 0], [0, 1], [-1, 0]]) pen.lineTo(left + dx * GUESS_PIXELS, middle + dy * Math.max(2, height / 2));
      pen.fill();
    } else {
      pen.fillRect(left, y, Math.max(1, this.#xOf(to) - left), height);
    }
    if (!isChosen) return;
    pen.strokeStyle = theme.text;
    pen.lineWidth = 1.5;
    pen.strokeRect(left - 2, y - 2, Math.max(1, this.#xOf(to) - left) + 4, height + 4);
  }

  // Hollow: a call that a wrong guess had asked ahead, until its answer came or it was given up.
  #drawSquashed(pen, guess, from, to, y, height) {
    pen.strokeStyle = this.colourOf(guess.function);
    pen.lineWidth = 1;
    pen.strokeRect(this.#xOf(from) + 0.5, y, Math.max(2, this.#xOf(to) - this.#xOf(from)), Math.max(1, height));
  }

  // A bar with a tip: a call in flight, which grows; hollow: on a guess, perhaps answered.
  #drawOpen(pen, call, from, to, y, height) {
    if (to < Infinity) return this.#drawSquashed(pen, call, from, to, y, height);
    const left = this.#xOf(from), right = Math.max(left + TIP_PIXELS, this.#xOf(this.#lens.progress.end) - 1);
    pen.beginPath();
    for (const [x, dy] of [[left, 0], [right - TIP_PIXELS, 0], [right, 0.5], [right - TIP_PIXELS, 1], [left, 1]]) pen.lineTo(x, y + dy * height);
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = this.colourOf(call.function);
    pen.lineWidth = 1;
    if (call.isGuess) pen.stroke(); else pen.fill();
  }

  #drawSessions(pen) {
    pen.strokeStyle = theme.pale;
    pen.setLineDash([2, 3]);
    for (const {begin} of this.#lens.progress.sessions.slice(1)) this.#drawLine(pen, this.#xOf(begin), FLIGHT, this.#xOf(begin), this.#height - BOTTOM);
    pen.setLineDash([]);
  }

  #drawLine(pen, x, y, toX, toY) {
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  // The moment of the run; in simulated time, the step at which all are shown.
  #drawMoment(pen) {
    const {time, step} = this.#view;
    pen.strokeStyle = theme.fault;
    if (time !== null) this.#drawLine(pen, this.#xOf(time), 0, this.#xOf(time), this.#height - BOTTOM);
    else if (this.kind === 'progress') this.#drawLine(pen, LEFT, this.#yOf(step), this.#width, this.#yOf(step));
  }

  #shortTimeOf(step) { return this.#run.clock.timeOf(step).replace('step ', '').replace(/^day (\d+),/, 'd$1'); }

  #drawAxes(pen) {
    pen.font = '10px system-ui, sans-serif';
    pen.fillStyle = theme.pale;
    pen.textAlign = 'right';
    pen.fillText(`${this.#mostInFlight} call${this.#mostInFlight === 1 ? '' : 's'}`, LEFT - 3, 9);
    if (this.kind === 'progress') {
      pen.fillText(this.#shortTimeOf(this.#run.steps), LEFT - 3, FLIGHT + 12);
      pen.fillText(this.#shortTimeOf(0), LEFT - 3, this.#height - BOTTOM);
    } else if (this.kind === 'ahead') {
      pen.fillText(`+${this.#mostAhead}`, LEFT - 3, FLIGHT + 12);
      pen.fillText('the last', LEFT - 3, this.#height - BOTTOM);
    } else {
      this.#drawRowNames(pen);
    }
    const y = this.#height - 3;
    pen.textAlign = 'left';
    pen.fillText(duration(this.#window.from), LEFT, y);
    pen.textAlign = 'right';
    pen.fillText(duration(this.#window.to), this.#width - 3, y);
  }

  // The agent's, and of the others those that have room.
  #drawRowNames(pen) {
    const {first, fit, height} = this.#rows(), {agents} = this.#run, chosen = this.#view.agent - first, every = Math.ceil(LEAST_NAME / height);
    for (let row = 0; row < Math.min(fit, agents.length - first); row++) {
      const isChosen = row === chosen;
      if (!isChosen && (row % every > 0 || Math.abs(row - chosen) * height < LEAST_NAME)) continue;
      pen.fillStyle = isChosen ? theme.text : theme.pale;
      pen.fillText(agents[first + row].name.slice(0, 8), LEFT - 3, FLIGHT + 4 + row * height + Math.min(9, height / 2 + 4));
    }
    pen.fillStyle = theme.pale;
  }

  #drawNothing(pen) {
    pen.font = '12px system-ui, sans-serif';
    pen.textAlign = 'center';
    const text = this.#run.calls.length ? 'All answers came at once: no time has passed.' : 'No calls.';
    pen.fillText(text, LEFT + (this.#width - LEFT) / 2, this.#height / 2);
  }

  // The call at a point of the canvas: in rows, the one there; beside progress, the nearest of the chosen agent.
  #callAt(x, y) {
    if (this.kind === 'ahead') return undefined;
    let place = this.#view.agent;
    if (this.kind === 'calls') {
      const {first, height} = this.#rows();
      place = first + Math.floor((y - FLIGHT - 4) / height);
    }
    if (!this.#run.agents[place]) return undefined;
    let best, nearest = PICK_PIXELS;
    const {progress} = this.#lens;
    for (const {from, to, step, call} of [...progress.waitsOf(place), ...progress.openOf(place)]) {
      const aside = Math.max(this.#xOf(from) - x, x - this.#xOf(to), 0), above = this.kind === 'calls' ? 0 : Math.abs(this.#yOf(step) - y);
      if (aside + above < nearest) [best, nearest] = [call, aside + above];
    }
    return best;
  }

  #listen(picked, moved) {
    const canvas = this.#canvas;
    let dragged = null;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      dragged = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      if (dragged === null) return;
      dragged += Math.abs(event.movementX);
      if (dragged <= 3) return;
      this.#window.move(-event.movementX / (this.#width - LEFT) * (this.#window.to - this.#window.from));
      moved(null);
    });
    canvas.addEventListener('pointerup', (event) => {
      const isClick = dragged !== null && dragged <= 3;
      dragged = null;
      if (!isClick) return;
      const call = this.#callAt(event.offsetX, event.offsetY);
      if (call) picked(call); else moved(Math.max(0, this.#timeOf(event.offsetX)));
    });
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.#window.zoom(Math.exp(-event.deltaY / 500), this.#timeOf(event.offsetX));
      moved(null);
    }, {passive: false});
  }
}
