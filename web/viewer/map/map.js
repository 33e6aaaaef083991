// The map of one run: its ground, cells, agents with their trails and words, and who is one cluster.

import {colourOf, theme} from '../theme.js';
import {Fingers} from './camera.js';
import {Ground, write} from './ground.js';
import {drawWords} from './words.js';

const MOST_NAMED = 100;     // agents whose names and words are all drawn
const NAMED_FROM = 3;       // pixels per tile
const VALUES_FROM = 15;     // pixels per tile from which on values of cells are written
const SPEECH_STEPS = 30;    // how long words stay on the map
const TRAIL_STEPS = 120;
const PICK_PIXELS = 15;
const PAN_PIXELS = 60;
export const ZOOM = 1.25;  // of one press

export class MapView {
  #run;
  #view;
  #canvas;
  #camera;
  #ground = null;

  // view: a Lens; camera: shared by maps that move together; picked(place): an agent was clicked.
  constructor(canvas, run, view, camera, {picked, moved}) {
    this.#canvas = canvas;
    this.#run = run;
    this.#view = view;
    this.#camera = camera;
    this.#listen(picked, moved);
  }

  begin() { this.#ground = new Ground(this.#run); }

  get ground() { return this.#ground; }
  get #size() { return [this.#canvas.clientWidth, this.#canvas.clientHeight]; }

  fit() { this.#camera.fit(this.#ground.bounds(), ...this.#size); }

  zoom(factor) { this.#camera.zoom(factor, this.#size[0] / 2, this.#size[1] / 2); }

  // The point of the canvas where an agent is.
  pointOf(place) {
    const spot = this.#ground.spotOf(this.#run.stateAt(place, this.#view.stepOf(place)));
    return this.#camera.toScreen(spot.x, spot.y);
  }

  #centreOn(place) {
    const spot = this.#ground.spotOf(this.#run.stateAt(place, this.#view.stepOf(place)));
    this.#camera.centre(spot.x, spot.y, ...this.#size);
  }

  draw() {
    if (!this.#ground) return;
    const {agents} = this.#run, view = this.#view, [width, height] = this.#size, ratio = window.devicePixelRatio || 1;
    if (view.follows && agents[view.agent]) this.#centreOn(view.agent);
    const canvas = this.#canvas, pen = canvas.getContext('2d');
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = theme.page;
    pen.fillRect(0, 0, width, height);  // films have no transparent pictures
    const {scale, x, y} = this.#camera;
    pen.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    pen.imageSmoothingEnabled = false;
    this.#ground.draw(pen, scale, agents[view.agent] && this.#run.stateAt(view.agent, view.stepOf(view.agent)));
    this.#drawCells(pen, scale);
    const shown = agents.map((_, place) => place).filter((place) => this.#run.isPresent(place, view.stepOf(place)));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (view.trails && agents[view.agent]) this.#drawTrail(pen);
    this.#drawClusters(pen);
    this.#drawAgents(pen, shown);
  }

  #drawCells(pen, scale) {
    for (const key of this.#run.cells.keys()) {
      const value = this.#run.cellAt(key, this.#view.step);
      if (!value) continue;
      const [x, y] = key.split(',').map(Number), spot = this.#ground.spotOf({x, y});
      pen.fillStyle = `hsl(${hueOf(value)} 80% 55% / 60%)`;
      pen.fillRect((spot.x - 0.5) * scale, (spot.y - 0.5) * scale, scale, scale);
      if (scale < VALUES_FROM) continue;
      pen.font = '10px system-ui, sans-serif';
      pen.textAlign = 'center';
      write(pen, value, spot.x * scale, (spot.y + 0.5) * scale + 9, theme.text);
    }
  }

  #drawTrail(pen) {
    const place = this.#view.agent, trail = this.#run.trailOf(place, this.#view.stepOf(place), TRAIL_STEPS);
    pen.beginPath();
    for (const state of trail) {
      const spot = this.#ground.spotOf(state), {x, y} = this.#camera.toScreen(spot.x, spot.y);
      pen.lineTo(x, y);
    }
    pen.strokeStyle = colourOf(this.#run.agents[place]);
    pen.lineWidth = 3;
    pen.lineJoin = 'round';
    pen.globalAlpha = 0.6;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  // Agents that did this step together: they could have met.
  #drawClusters(pen) {
    const clusters = this.#view.clustersOf();
    if (!clusters) return;
    pen.strokeStyle = theme.accent;
    pen.lineWidth = 2;
    pen.setLineDash([4, 3]);
    for (const ids of clusters) {
      const points = ids.map((id) => this.#run.places.get(id)).filter((place) => place !== undefined).map((place) => this.pointOf(place));
      const middle = {x: mean(points.map(({x}) => x)), y: mean(points.map(({y}) => y))};
      pen.beginPath();
      for (const point of points) {
        pen.moveTo(middle.x, middle.y);
        pen.lineTo(point.x, point.y);
      }
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  #radiusOf(place) { return Math.max(3, this.#camera.scale * 0.7) * (place === this.#view.agent ? 1.4 : 1); }

  #drawAgents(pen, shown) {
    const {agents} = this.#run, view = this.#view, named = this.#camera.scale > NAMED_FROM && agents.length <= MOST_NAMED;
    const points = new Map(shown.map((place) => [place, this.pointOf(place)]));
    for (const [place, {x, y}] of points) {
      const isChosen = place === view.agent;
      pen.beginPath();
      pen.arc(x, y, this.#radiusOf(place), 0, 2 * Math.PI);
      pen.fillStyle = colourOf(agents[place]);
      pen.fill();
      pen.lineWidth = isChosen ? 2.5 : 1;
      pen.strokeStyle = isChosen ? theme.text : theme.page;
      pen.stroke();
      if (view.isWaiting(place)) this.#drawWaiting(pen, place, x, y);
    }
    pen.textAlign = 'center';
    for (const [place, {x, y}] of points) {
      const isChosen = place === view.agent, lead = view.leadOf(place);
      if (!isChosen && !named) continue;
      pen.font = `${isChosen ? '600 ' : ''}11px system-ui, sans-serif`;
      const below = y + this.#radiusOf(place) + 11;
      write(pen, agents[place].name, x, below, theme.text);
      if (lead > 0) write(pen, `+${lead}`, x, below + 12, theme.ahead);
    }
    if (!named || !view.words) return;
    const taken = [];  // rectangles of bubbles; the chosen agent's comes first
    for (const place of shown.sort((a, b) => (b === view.agent) - (a === view.agent))) {
      const words = this.#run.wordsOf(place, view.stepOf(place), SPEECH_STEPS), {x, y} = points.get(place);
      if (words) drawWords(pen, words, x, y, this.#radiusOf(place), taken);
    }
  }

  // Its call is in flight.
  #drawWaiting(pen, place, x, y) {
    pen.beginPath();
    pen.arc(x, y, this.#radiusOf(place) + 3, 0, 2 * Math.PI);
    pen.setLineDash([3, 2]);
    pen.lineWidth = 2;
    pen.strokeStyle = theme.ahead;
    pen.stroke();
    pen.setLineDash([]);
  }

  #pick(x, y) {
    let best = -1, nearest = PICK_PIXELS;
    this.#run.agents.forEach((_, place) => {
      if (!this.#run.isPresent(place, this.#view.stepOf(place))) return;
      const point = this.pointOf(place), distance = Math.hypot(point.x - x, point.y - y);
      if (distance < nearest) [best, nearest] = [place, distance];
    });
    return best;
  }

  #listen(picked, moved) {
    const canvas = this.#canvas, camera = this.#camera, fingers = new Fingers();
    let travelled = 0;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.put(event.pointerId, event.offsetX, event.offsetY);
      travelled = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      if (fingers.count === 0) return;
      travelled += Math.hypot(event.movementX, event.movementY);
      fingers.move(camera, event.pointerId, event.offsetX, event.offsetY);
      if (travelled > 3) moved();
    });
    const lift = (event) => {
      const isClick = event.type === 'pointerup' && travelled <= 3 && fingers.count === 1;
      fingers.lift(event.pointerId);
      const place = isClick && this.#ground ? this.#pick(event.offsetX, event.offsetY) : -1;
      if (place >= 0) picked(place);
    };
    canvas.addEventListener('pointerup', lift);
    canvas.addEventListener('pointercancel', lift);
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      camera.zoom(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY);
      moved();
    }, {passive: false});
    canvas.addEventListener('keydown', (event) => {
      const pan = {ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
      if (!pan || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      camera.move(pan[0] * PAN_PIXELS, pan[1] * PAN_PIXELS);
      moved();
    });
  }
}

function mean(numbers) { return numbers.reduce((sum, number) => sum + number, 0) / numbers.length; }

// The same value has the same colour in all runs.
function hueOf(value) { return [...String(value)].reduce((hash, letter) => (hash * 31 + letter.codePointAt(0)) % 360, 7); }
