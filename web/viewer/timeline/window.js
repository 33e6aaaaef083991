// The part of the run's time that the timeline shows.

const LEAST_S = 1e-3;

export class Window {
  from = 0;
  to = 1;
  #end = 1;
  #isAll = true;

  // The run has become longer.
  setEnd(end) {
    this.#end = Math.max(end, LEAST_S);
    if (this.#isAll) this.reset();
  }

  reset() {
    this.#isAll = true;
    this.from = 0;
    this.to = this.#end;
  }

  // The moment `at` stays where it is.
  zoom(factor, at = (this.from + this.to) / 2) {
    const length = Math.max(LEAST_S, (this.to - this.from) / factor);
    if (length >= this.#end) return this.reset();
    this.#isAll = false;
    const part = (at - this.from) / (this.to - this.from);
    this.#place(at - part * length, length);
  }

  move(seconds) {
    if (!this.#isAll) this.#place(this.from + seconds, this.to - this.from);
  }

  // Moves so that a moment is in sight.
  show(time) {
    if (time < this.from || time > this.to) this.#place(time - (this.to - this.from) / 2, this.to - this.from);
  }

  #place(from, length) {
    this.from = Math.max(0, Math.min(this.#end - length, from));
    this.to = this.from + length;
  }
}
