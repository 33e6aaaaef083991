// What does not move: tiles and names of a town, the edge of a plane, the lines of a network; and where on it things are.

import {theme} from '../theme.js';
import {layOut} from './layout.js';
import {placeFirst} from './words.js';

const TILE = {'#': '#6b5d52', '~': '#5b9bd5', 'T': '#3d7a3d', 'o': '#b08d57', '+': '#d9b26f', '=': '#c9c2b4', ',': '#ece3d0', '.': '#9cc78a'};
const MOST_LINES = 1000;  // nodes of a network whose lines are all drawn
const NAMES_FROM = 2;     // pixels per tile
const NAME = 12;          // pixels

export class Ground {
  #run;
  #picture = null;  // of a town, one pixel per tile
  #layout = null;   // of a network, or of those who read each other and sit alone
  #lines = [];      // by node: those that it reads
  #nodes = null;    // by place, 'x,y': the node there; null: x is

  constructor(run) {
    this.#run = run;
    const {map} = run;
    if (map?.rows) this.#picture = paint(map);
    if (map?.reads) this.#nodes = new Map(run.agents.map(({xs, ys}, place) => [`${xs.at(0)},${ys.at(0)}`, place]).reverse());  // of several, the first
    this.#lines = map?.follows ?? map?.reads ?? [];
    if (this.#lines.length) this.#layout = layOut(this.#lines);
  }

  #nodeAt({x, y}) { return this.#nodes ? this.#nodes.get(`${x},${y}`) : x; }

  // The middle of what is at a position, in tiles: metres on a plane.
  spotOf({x, y}) {
    if (this.#layout) return this.#layout.spots[this.#nodeAt({x, y})] ?? {x: 0, y: 0};
    const unit = this.#run.map?.unit ?? 1;
    return unit === 1 ? {x: x + 0.5, y: y + 0.5} : {x: x / unit, y: y / unit};
  }

  // As a reader would say it: the name of the smallest place that is there, else where it is; '' on a network, whose nodes are no places.
  textOf({x, y}) {
    const unit = this.#run.map?.unit ?? 1;
    if (this.#layout) return '';
    const place = this.#placeAt(x, y);
    if (place) return place.name;
    return unit === 1 ? `${x},${y}` : `${(x / unit).toFixed(1)},${(y / unit).toFixed(1)} m`;
  }

  #placeAt(x, y) {
    const {places = [], homes = [], copies = [[0, 0]]} = this.#run.map ?? {};
    const isIn = (place) => copies.some(([left, top]) => x >= left + place.x && x < left + place.x + place.width && y >= top + place.y && y < top + place.y + place.height);
    return [...places, ...homes].filter(isIn).reduce((least, place) => (least && least.width * least.height <= place.width * place.height ? least : place), null);
  }

  // Everything that is drawn lies between 0,0 and this.
  bounds() {
    const {map, agents} = this.#run;
    if (this.#layout) return this.#layout;
    if (map?.copies) {
      return {right: Math.max(...map.copies.map(([x]) => x + map.width)), bottom: Math.max(...map.copies.map(([, y]) => y + map.height))};
    }
    if (map?.width) return {right: map.width / (map.unit ?? 1), bottom: map.height / (map.unit ?? 1)};
    let right = 1, bottom = 1;
    for (const {xs, ys} of agents) {
      for (let i = 0; i < xs.length; i++) [right, bottom] = [Math.max(right, xs.at(i) + 1), Math.max(bottom, ys.at(i) + 1)];
    }
    return {right, bottom};
  }

  // chosen: the position of the agent whose lines are thick.
  draw(pen, scale, chosen) {
    if (this.#layout) return this.#drawLines(pen, scale, chosen);
    if (!this.#picture) {
      const {right, bottom} = this.bounds();
      pen.strokeStyle = theme.line;
      pen.lineWidth = 1;
      pen.strokeRect(0, 0, right * scale, bottom * scale);
      return;
    }
    const {map} = this.#run;
    const copies = map.copies ?? [[0, 0]];
    for (const [x, y] of copies) pen.drawImage(this.#picture, x * scale, y * scale, map.width * scale, map.height * scale);
    if (theme.tileDim) {
      const {right, bottom} = this.bounds();
      pen.fillStyle = theme.tileDim;
      pen.fillRect(0, 0, right * scale, bottom * scale);
    }
  }

  // Writes the names of places. Returns their rectangles on the screen.
  drawNames(pen, camera) {
    const taken = [];
    if (!this.#picture || camera.scale <= NAMES_FROM) return taken;
    for (const [x, y] of this.#run.map.copies ?? [[0, 0]]) this.#namePlaces(pen, camera, x, y, taken);
    return taken;
  }

  // A name that would cover another one is left out until the map is larger; those of large places come first.
  #namePlaces(pen, camera, left, top, taken) {
    pen.font = `600 ${NAME}px system-ui, sans-serif`;
    pen.textAlign = 'center';
    const places = [...this.#run.map.places ?? []].sort((a, b) => b.width * b.height - a.width * a.height);
    for (const {name, x, y, width, height} of places) {
      const middle = camera.toScreen(left + x + width / 2, top + y + height / 2), long = pen.measureText(name).width;
      const box = {left: middle.x - long / 2, top: middle.y + 4 - NAME, width: long, height: NAME + 2};
      if (placeFirst([box], taken) === 0) write(pen, name, middle.x, middle.y + 4, theme.pale);
    }
  }

  // Who reads whom.
  #drawLines(pen, scale, chosen) {
    const {spots} = this.#layout;
    const lines = (node) => {
      pen.beginPath();
      for (const other of this.#lines[node] ?? []) {
        if (!spots[other]) continue;
        pen.moveTo(spots[node].x * scale, spots[node].y * scale);
        pen.lineTo(spots[other].x * scale, spots[other].y * scale);
      }
      pen.stroke();
    };
    pen.strokeStyle = theme.line;
    pen.lineWidth = 1;
    if (spots.length <= MOST_LINES) spots.forEach((_, node) => lines(node));
    pen.strokeStyle = theme.accent;
    pen.lineWidth = 2;
    if (chosen) lines(this.#nodeAt(chosen));
  }
}

function paint({width, height, rows}) {
  const picture = new OffscreenCanvas(width, height), pen = picture.getContext('2d');
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      pen.fillStyle = TILE[rows[y]?.[x]] ?? TILE['.'];
      pen.fillRect(x, y, 1, 1);
    }
  }
  return picture;
}

// Text with a rim in the page's colour, which can be read on any ground.
export function write(pen, text, x, y, colour) {
  pen.lineWidth = 3;
  pen.lineJoin = 'round';
  pen.strokeStyle = theme.rim;
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}
