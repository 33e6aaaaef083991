// Places for the nodes of a network, which have none of their own. The same network always has the same layout.

const GAP = 2;            // between neighbours, in tiles
const MOST_MOVED = 500;   // nodes beyond which all stay where the spiral puts them: each round looks at all pairs
const ROUNDS = 150;

// The first one in the middle, the others around it like the seeds of a sunflower.
function spiral(count) {
  return Array.from({length: count}, (_, node) => {
    const radius = GAP * Math.sqrt(node), angle = node * Math.PI * (3 - Math.sqrt(5));
    return {x: radius * Math.cos(angle), y: radius * Math.sin(angle)};
  });
}

// One round of Fruchterman and Reingold's forces (1991): all push each other away, neighbours pull; nobody goes further than
// `most`.
function moveAll(spots, follows, most) {
  const forces = spots.map(() => ({x: 0, y: 0}));
  const add = (a, b, strength) => {
    const dx = spots[a].x - spots[b].x, dy = spots[a].y - spots[b].y, distance = Math.hypot(dx, dy) || 1e-3;
    const force = strength(distance) / distance;
    forces[a].x += dx * force;
    forces[a].y += dy * force;
    forces[b].x -= dx * force;
    forces[b].y -= dy * force;
  };
  const gap = 2 * GAP;
  for (let a = 0; a < spots.length; a++) {
    for (let b = a + 1; b < spots.length; b++) add(a, b, (distance) => gap * gap / distance);
    for (const b of follows[a]) {
      if (b !== a && spots[b]) add(a, b, (distance) => -distance * distance / gap);
    }
  }
  spots.forEach((spot, node) => {
    const force = forces[node], size = Math.hypot(force.x, force.y);
    if (size === 0) return;
    spot.x += force.x / size * Math.min(size, most);
    spot.y += force.y / size * Math.min(size, most);
  });
}

// follows: for each node those that it reads. Returns {x, y} in tiles for each node, from 0,0 to {right, bottom}.
export function layOut(follows) {
  const spots = spiral(follows.length);
  if (follows.length <= MOST_MOVED) {
    const reach = GAP * Math.sqrt(follows.length);
    for (let round = 0; round < ROUNDS; round++) moveAll(spots, follows, reach * (1 - round / ROUNDS) / 5);
  }
  const left = Math.min(...spots.map(({x}) => x)) - GAP, top = Math.min(...spots.map(({y}) => y)) - GAP;
  for (const spot of spots) {
    spot.x -= left;
    spot.y -= top;
  }
  return {spots, right: Math.max(...spots.map(({x}) => x)) + GAP, bottom: Math.max(...spots.map(({y}) => y)) + GAP};
}
