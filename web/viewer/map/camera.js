// Where on the screen a tile is: tile * scale + offset, in pixels.

const LEAST_SCALE = 1e-4, MOST_SCALE = 200;

export class Camera {
  scale = 6;
  x = 0;
  y = 0;
  isMoved = false;  // since all was shown

  toScreen(x, y) { return {x: x * this.scale + this.x, y: y * this.scale + this.y}; }
  toMap(x, y) { return {x: (x - this.x) / this.scale, y: (y - this.y) / this.scale}; }

  // Shows all of a rectangle of tiles from 0,0 on a screen of this size, of which `top` pixels above, `side` on both sides and below are left free.
  fit({right, bottom}, width, height, top = 0, side = 0) {
    const room = {width: width - 2 * side, height: height - top - side};
    this.scale = Math.min(MOST_SCALE, Math.max(LEAST_SCALE, Math.min(room.width / right, room.height / bottom)));
    this.x = side + (room.width - right * this.scale) / 2;
    this.y = top + (room.height - bottom * this.scale) / 2;
    this.isMoved = false;
  }

  // The point of the map at this point of the screen stays there.
  zoom(factor, x, y) {
    const scale = Math.min(MOST_SCALE, Math.max(LEAST_SCALE, this.scale * factor)), real = scale / this.scale;
    this.x = x - (x - this.x) * real;
    this.y = y - (y - this.y) * real;
    this.scale = scale;
    this.isMoved = true;
  }

  move(right, down) {
    this.x += right;
    this.y += down;
    this.isMoved = true;
  }

  centre(x, y, width, height) {
    this.x = width / 2 - x * this.scale;
    this.y = height / 2 - y * this.scale;
    this.isMoved = true;
  }
}

// What fingers on the screen do: one moves the map, two also zoom.
export class Fingers {
  #points = new Map();  // pointer -> {x, y}

  get count() { return this.#points.size; }
  put(id, x, y) { this.#points.set(id, {x, y}); }
  lift(id) { this.#points.delete(id); }

  move(camera, id, x, y) {
    const before = this.#points.get(id);
    if (!before) return;
    const other = [...this.#points].find(([pointer]) => pointer !== id)?.[1];
    if (other) {
      const distance = Math.hypot(before.x - other.x, before.y - other.y);
      if (distance > 0) camera.zoom(Math.hypot(x - other.x, y - other.y) / distance, other.x, other.y);
    } else {
      camera.move(x - before.x, y - before.y);
    }
    this.#points.set(id, {x, y});
  }
}
