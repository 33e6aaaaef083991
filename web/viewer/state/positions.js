// Reads the replies of api/positions (docs/viewer.md has their form).

class Reader {
  #bytes;
  #at = 0;

  constructor(buffer) { this.#bytes = new Uint8Array(buffer); }

  get isAtEnd() { return this.#at === this.#bytes.length; }

  number() {
    let number = 0, unit = 1;
    while (true) {
      if (this.isAtEnd) throw new Error('positions: the reply is cut off');
      const byte = this.#bytes[this.#at++];
      number += (byte & 127) * unit;
      if (byte < 128) return number;
      unit *= 128;
    }
  }

  difference() {
    const number = this.number();
    return number % 2 ? -(number + 1) / 2 : number / 2;
  }

  text() {
    const size = this.number();
    if (this.#at + size > this.#bytes.length) throw new Error('positions: the reply is cut off');
    return new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at += size));
  }
}

// Calls visit(step, agent, x, y, status) for each change, by step and agent. Returns {from, to}, the range of steps.
export function readPositions(buffer, visit) {
  const reader = new Reader(buffer);
  const from = reader.number(), to = reader.number();
  const statuses = Array.from({length: reader.number()}, () => reader.text());
  const places = new Map();  // agent -> {x, y}
  let step = from;
  while (!reader.isAtEnd) {
    step += reader.number();
    let agent = -1;
    for (let left = reader.number(); left > 0; left--) {
      agent += reader.number() + 1;
      let place = places.get(agent);
      if (!place) places.set(agent, place = {x: 0, y: 0});
      place.x += reader.difference();
      place.y += reader.difference();
      visit(step, agent, place.x, place.y, statuses[reader.number()]);
    }
  }
  return {from, to};
}
