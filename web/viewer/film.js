// Saves what the maps show, beside each other: a picture, or a film.

import {theme} from './theme.js';

const FRAMES_PER_SECOND = 30;
const TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm'];
const GAP = 2;  // pixels between two maps
const ROW = 20, SAMPLE = 14, MARGIN = 8, FONT = '12px system-ui, sans-serif';  // of the legend

export function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Where the entries of a legend, {colour, text}, go in rows that are `width` pixels wide: [{colour, text, x, row}].
export function layOutLegend(legend, width, measure) {
  let x = MARGIN, row = 0;
  return legend.map((entry) => {
    const long = SAMPLE + measure(entry.text);
    if (x > MARGIN && x + long + MARGIN > width) [x, row] = [MARGIN, row + 1];
    const placed = {...entry, x, row};
    x += long + 2 * MARGIN;
    return placed;
  });
}

// A canvas with all of some canvases on it, as large as they are now, and below them a legend, if there is one.
class Picture {
  #sources;
  #legend;
  #bottom;   // of the canvases
  #ratio = window.devicePixelRatio || 1;
  canvas = document.createElement('canvas');

  constructor(sources, legend) {
    this.#sources = sources;
    this.#bottom = Math.max(...sources.map(({height}) => height));
    this.canvas.width = sources.reduce((width, source) => width + source.width, GAP * (sources.length - 1));
    const pen = this.canvas.getContext('2d');
    pen.font = FONT;
    this.#legend = layOutLegend(legend, this.canvas.width / this.#ratio, (text) => pen.measureText(text).width);
    const rows = legend.length ? this.#legend.at(-1).row + 1 : 0;
    this.canvas.height = this.#bottom + Math.round(ROW * rows * this.#ratio);
    this.draw();
  }

  draw() {
    const pen = this.canvas.getContext('2d');
    pen.fillStyle = theme.line;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    let left = 0;
    for (const source of this.#sources) {
      pen.drawImage(source, left, 0);
      left += source.width + GAP;
    }
    pen.fillStyle = theme.page;
    pen.fillRect(0, this.#bottom, this.canvas.width, this.canvas.height);
    pen.setTransform(this.#ratio, 0, 0, this.#ratio, 0, this.#bottom);
    pen.font = FONT;
    for (const {colour, text, x, row} of this.#legend) {
      pen.fillStyle = colour;
      pen.fillRect(x, ROW * row + 5, 10, 10);
      pen.fillStyle = theme.text;
      pen.fillText(text, x + SAMPLE, ROW * row + 14);
    }
    pen.resetTransform();
  }
}

export async function savePicture(canvases, legend, name) {
  const {canvas} = new Picture(canvases, legend);
  save(await new Promise((done) => canvas.toBlob(done, 'image/png')), name);
}

export class Film {
  #recorder = null;
  #picture = null;

  get isRunning() { return this.#recorder !== null; }

  begin(canvases, legend) {
    const type = TYPES.find((name) => MediaRecorder.isTypeSupported(name));
    this.#picture = new Picture(canvases, legend);
    this.#recorder = new MediaRecorder(this.#picture.canvas.captureStream(FRAMES_PER_SECOND), type ? {mimeType: type} : {});
    this.#recorder.start();
  }

  // Call this when the canvases have changed.
  draw() { this.#picture?.draw(); }

  // Returns the film.
  end() {
    const recorder = this.#recorder;
    this.#recorder = this.#picture = null;
    return new Promise((done) => {
      const parts = [];
      recorder.ondataavailable = ({data}) => parts.push(data);
      recorder.onstop = () => done(new Blob(parts, {type: 'video/webm'}));
      recorder.stop();
    });
  }
}
