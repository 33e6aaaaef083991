// A growing list of whole numbers of 32 bits: a run has millions of them.

export class Column {
  #numbers = new Int32Array(16);
  length = 0;

  push(number) {
    if (this.length === this.#numbers.length) {
      const larger = new Int32Array(2 * this.length);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.length++] = number;
  }

  at(index) { return this.#numbers[index]; }

  // The index of the last number that is not greater, in a list that never falls; -1: there is none.
  lastUpTo(number) {
    let low = -1, high = this.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#numbers[middle] <= number) low = middle; else high = middle - 1;
    }
    return low;
  }
}
