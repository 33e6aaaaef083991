// Saves what the maps show, beside each other: a picture, or a film.

import {theme} from './theme.js';

const FRAMES_PER_SECOND = 30;
const TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm'];
const GAP = 2;  // pixels between two maps

export function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// A canvas with all of some canvases on it, as large as they are now.
class Picture {
  #sources;
  canvas = document.createElement('canvas');

  constructor(sources) {
    this.#sources = sources;
    this.canvas.width = sources.reduce((width, source) => width + source.width, GAP * (sources.length - 1));
    this.canvas.height = Math.max(...sources.map(({height}) => height));
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
  }
}

export async function savePicture(canvases, name) {
  const {canvas} = new Picture(canvases);
  save(await new Promise((done) => canvas.toBlob(done, 'image/png')), name);
}

export class Film {
  #recorder = null;
  #picture = null;

  get isRunning() { return this.#recorder !== null; }

  begin(canvases) {
    const type = TYPES.find((name) => MediaRecorder.isTypeSupported(name));
    this.#picture = new Picture(canvases);
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
