// Saves what the map shows: a picture, or a film of it.

const FRAMES_PER_SECOND = 30;
const TYPES = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm'];

export function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export async function savePicture(canvas, name) {
  save(await new Promise((done) => canvas.toBlob(done, 'image/png')), name);
}

export class Film {
  #recorder = null;

  get isRunning() { return this.#recorder !== null; }

  begin(canvas) {
    const type = TYPES.find((name) => MediaRecorder.isTypeSupported(name));
    this.#recorder = new MediaRecorder(canvas.captureStream(FRAMES_PER_SECOND), type ? {mimeType: type} : {});
    this.#recorder.start();
  }

  // Returns the film.
  end() {
    const recorder = this.#recorder;
    this.#recorder = null;
    return new Promise((done) => {
      const parts = [];
      recorder.ondataavailable = ({data}) => parts.push(data);
      recorder.onstop = () => done(new Blob(parts, {type: 'video/webm'}));
      recorder.stop();
    });
  }
}
