// The map of one run: its ground, cells, agents with their trails and words, and who is one cluster.

import {colourOf, theme} from '../theme.js';
import {activityOf, colourOfActivity} from './activity.js';
import {colourOfCell} from './cells.js';
import {Fingers} from './camera.js';
import {Ground, write} from './ground.js';
import {drawWords, isFree, placeFirst} from './words.js';

const MOST_NAMED = 100;     // agents in sight whose names and words are drawn
const NAMED_FROM = 2;       // pixels per tile
const VALUES_FROM = 15;     // pixels per tile from which on values of cells are written
const SPEECH_STEPS = 30;    // how long words stay on the map, where steps are moments of a day
const LONE_STEPS = 2;       // and where they are not
const TRAIL_STEPS = 120;
const PICK_PIXELS = 15;
const NAME = 11, LINE = 12;  // pixels
const FREE = 18;            // pixels around all that is shown, for dots and names at the edge
const PAN_PIXELS = 60;
export const ZOOM = 1.25;  // of one press

export class MapView {
  #run;
  #view;
  #canvas;
  #camera;
  #ground = null;
  #covered = 0;  // pixels above, by controls
  title = '';  // written below the map, where it is not the only one

  // view: a Lens; camera: shared by maps that move together; picked(place): an agent was clicked.
  constructor(canvas, run, view, camera, {picked, moved}) {
    this.#canvas = canvas;
    this.#run = run;
    this.#view = view;
    this.#camera = camera;
    this.#listen(picked, moved);
  }

  begin() { this.#ground = new Ground(this.#run); }

  get canvas() { return this.#canvas; }
  get ground() { return this.#ground; }
  get #size() { return [this.#canvas.clientWidth, this.#canvas.clientHeight]; }

  // Shows all; `top` pixels are covered by controls.
  fit(top) {
    this.#covered = top;
    this.#camera.fit(this.#ground.bounds(), ...this.#size, top, FREE);
  }

  // The same, unless somebody has moved the map since.
  refit(top) {
    if (!this.#camera.isMoved) this.fit(top);
  }

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
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const places = this.#ground.drawNames(pen, this.#camera), cells = this.#drawCells(pen);
    if (view.trails && agents[view.agent]) this.#drawTrail(pen);
    this.#drawClusters(pen);
    const points = this.#inSight();
    this.#drawAgents(pen, points);
    const isNamed = scale > NAMED_FROM && points.size <= MOST_NAMED, taken = [...points].map(([place, point]) => this.#boxOf(place, point));
    for (const [place, point] of points) {
      if (isNamed || place === view.agent) this.#drawName(pen, place, point, taken, places);
    }
    if (scale >= VALUES_FROM) for (const cell of cells) this.#drawValue(pen, cell, taken);
    if (isNamed && view.words) this.#drawWords(pen, points);
    this.#drawTitle(pen, height);
  }

  // Where those are who are there and on the screen: place -> point, the agent's first.
  #inSight() {
    const {agents} = this.#run, view = this.#view, [width, height] = this.#size, points = new Map();
    const others = agents.map((_, place) => place).filter((place) => place !== view.agent);
    for (const place of agents[view.agent] ? [view.agent, ...others] : others) {
      if (!this.#run.isPresent(place, view.stepOf(place))) continue;
      const point = this.pointOf(place), radius = this.#radiusOf(place);
      if (point.x > -radius && point.x < width + radius && point.y > -radius && point.y < height + radius) points.set(place, point);
    }
    return points;
  }

  // Returns those in sight that hold something: [{x, y, value}], x and y being the middle of their lower edge.
  #drawCells(pen) {
    const {scale} = this.#camera, [width, height] = this.#size, cells = [];
    for (const key of this.#run.cells.keys()) {
      const value = this.#run.cellAt(key, this.#view.step);
      if (!value) continue;
      const [column, row] = key.split(',').map(Number), spot = this.#ground.spotOf({x: column, y: row});
      const {x, y} = this.#camera.toScreen(spot.x, spot.y);
      if (x < -scale || x > width + scale || y < -scale || y > height + scale) continue;
      pen.fillStyle = colourOfCell(value);
      pen.fillRect(x - scale / 2, y - scale / 2, scale, scale);
      cells.push({x, y: y + scale / 2, value});
    }
    return cells;
  }

  // Where it covers nothing of `taken`, to which it is added.
  #drawValue(pen, {x, y, value}, taken) {
    pen.font = '10px system-ui, sans-serif';
    pen.textAlign = 'center';
    const width = pen.measureText(value).width;
    if (placeFirst([{left: x - width / 2, top: y, width, height: NAME}], taken) === 0) write(pen, value, x, y + 9, theme.text);
  }

  #drawTitle(pen, height) {
    pen.font = '12px system-ui, sans-serif';
    pen.textAlign = 'left';
    if (this.title) write(pen, this.title, 8, height - 8, theme.text);
  }

  #drawTrail(pen) {
    const place = this.#view.agent, trail = this.#run.trailOf(place, this.#view.stepOf(place), TRAIL_STEPS);
    pen.beginPath();
    for (const state of trail) {
      const spot = this.#ground.spotOf(state), {x, y} = this.#camera.toScreen(spot.x, spot.y);
      pen.lineTo(x, y);
    }
    pen.strokeStyle = this.#colourOf(place);
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

  // Large enough to be seen; of a tile that is larger, what lets neighbours be told apart.
  #radiusOf(place) {
    const {scale} = this.#camera;
    return Math.max(3, Math.min(4.5, scale * 0.7), scale * 0.42) * (place === this.#view.agent ? 1.4 : 1);
  }

  #boxOf(place, {x, y}) {
    const radius = this.#radiusOf(place);
    return {left: x - radius, top: y - radius, width: 2 * radius, height: 2 * radius};
  }

  #colourOf(place) {
    if (this.#view.colouredBy === 'agent') return colourOf(this.#run.agents[place]);
    return colourOfActivity(activityOf(this.#run, this.#view, place));
  }

  // The agent is drawn last.
  #drawAgents(pen, points) {
    const view = this.#view;
    for (const [place, {x, y}] of [...points].reverse()) {
      const isChosen = place === view.agent;
      pen.beginPath();
      pen.arc(x, y, this.#radiusOf(place), 0, 2 * Math.PI);
      pen.fillStyle = this.#colourOf(place);
      pen.fill();
      pen.lineWidth = isChosen ? 2.5 : 1;
      pen.strokeStyle = isChosen ? theme.text : theme.page;
      pen.stroke();
      if (view.isWaiting(place)) this.#drawWaiting(pen, place, x, y);
    }
  }

  // Below the agent, above, beside or aslant: where it covers neither an agent nor a name of `taken`, to which it is added, and, if there is such a
  // place, no name of a place. Where there is none, a name is left out until the map is larger.
  #drawName(pen, place, {x, y}, taken, places) {
    const {name} = this.#run.agents[place], view = this.#view, isChosen = place === view.agent, lead = view.leadOf(place);
    pen.font = `${isChosen ? '600 ' : ''}${NAME}px system-ui, sans-serif`;
    pen.textAlign = 'center';
    const width = pen.measureText(name).width + 2, height = lead > 0 ? 2 * LINE : LINE, apart = this.#radiusOf(place) + 1;
    const aslant = apart * Math.SQRT1_2, rights = [aslant, -aslant - width], belows = [aslant, -aslant - height];
    const boxes = [[-width / 2, apart], [-width / 2, -apart - height], [apart, -height / 2], [-apart - width, -height / 2],
      ...rights.flatMap((right) => belows.map((below) => [right, below]))]
      .map(([right, below]) => ({left: x + right, top: y + below, width, height})).filter(({top}, index) => index === 0 || top >= this.#covered);
    const besidePlaces = boxes.filter((box) => isFree(box, places)), choice = [...besidePlaces, ...boxes];
    let box = choice[placeFirst(choice, taken)];
    if (!box && isChosen) taken.push(box = boxes[0]);
    if (!box) return;
    const middle = box.left + width / 2, line = box.top + LINE - 2;
    write(pen, name, middle, line, theme.text);
    if (lead > 0) write(pen, `+${lead}`, middle, line + LINE, theme.ahead);
  }

  // The agent's first, which so has room; the others' do not cover it.
  #drawWords(pen, points) {
    const {agent} = this.#view, taken = points.has(agent) ? [this.#boxOf(agent, points.get(agent))] : [];
    const steps = this.#run.clock.isKnown ? SPEECH_STEPS : LONE_STEPS, room = {width: this.#size[0], top: this.#covered, bottom: this.#size[1]};
    for (const [place, {x, y}] of points) {
      const words = this.#run.wordsOf(place, this.#view.stepOf(place), steps);
      if (words) drawWords(pen, words, x, y, this.#radiusOf(place), taken, room);
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
