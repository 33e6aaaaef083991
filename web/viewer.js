// Draws the run of a journal: the map, everybody's way over time, and what one of them did and said.
// If the server wants an API key, it is given in the address: #key=...
'use strict';

const CHUNK = 500;          // steps per request, at most 1000
const POLL_MS = 2000;       // how often a run that goes on is asked for more
const NODE_GAP = 2;         // between the nodes of a network, in tiles
const MOST_DRAWN = 1000;    // nodes of a network whose lines are all drawn
const MOST_NAMED = 100;     // agents whose names and words are all drawn
const SPEECH_STEPS = 30;    // how long words stay on the map
const SPEECH_WIDTH = 150;   // pixels
const TILE = {'#': '#6b5d52', '~': '#5b9bd5', 'T': '#3d7a3d', 'o': '#b08d57', '+': '#d9b26f', '=': '#c9c2b4',
  ',': '#ece3d0', '.': '#9cc78a'};
const $ = (id) => document.getElementById(id);

const run = {
  agents: [],     // by place in the list: {id, name, ways: [{step, x, y, status}], presence: [{step, present}],
                  // events: [{step, kind, text}]}
  places: new Map(),  // id -> place in the list
  loaded: 0,      // steps that are here
  map: null,      // of a town with rows and copies, of a network with follows, else with width, height and unit
  picture: null,  // the map, one pixel per tile
  spots: null,    // of a network: {x, y} for each node
  secondsPerStep: 0,  // 0: not known
  startMinute: 0,
};
const view = {step: 0, agent: 0, scale: 6, x: 0, y: 0, playing: false, clicked: null};

async function get(path) {
  const key = new URLSearchParams(location.hash.slice(1)).get('key');
  const reply = await fetch(path, key ? {headers: {Authorization: 'Bearer ' + key}} : {});
  const body = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(body.error.message), {status: reply.status});
  return body;
}

// The state of an agent at the start of a step: the last change that is not later.
function stateAt(agent, step) {
  let low = 0, high = agent.ways.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (agent.ways[middle].step <= step) low = middle; else high = middle - 1;
  }
  return agent.ways[low];
}

function paintMap() {
  const {width, height, rows} = run.map;
  run.picture = new OffscreenCanvas(width, height);
  const pen = run.picture.getContext('2d');
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      pen.fillStyle = TILE[rows[y][x]] || TILE['.'];
      pen.fillRect(x, y, 1, 1);
    }
  }
}

// Nodes have no place of their own: the first one in the middle, the others around it like the seeds of a sunflower.
function layOut(nodes) {
  const middle = NODE_GAP * (Math.sqrt(nodes) + 1);
  return Array.from({length: nodes}, (_, node) => {
    const radius = NODE_GAP * Math.sqrt(node), angle = node * Math.PI * (3 - Math.sqrt(5));
    return {x: middle + radius * Math.cos(angle), y: middle + radius * Math.sin(angle)};
  });
}

// Where to draw what is at a position, in tiles: metres on a plane.
function spotOf({x, y}) {
  if (run.spots) return run.spots[x];
  const unit = run.map?.unit ?? 1;
  return {x: x / unit, y: y / unit};
}

// Everything that is drawn lies in this rectangle of tiles.
function bounds() {
  let right = 1, bottom = 1;
  const reach = (x, y) => { right = Math.max(right, x); bottom = Math.max(bottom, y); };
  if (run.map?.copies) {
    for (const [x, y] of run.map.copies) reach(x + run.map.width, y + run.map.height);
  } else if (run.spots) {
    reach(2 * run.spots[0].x, 2 * run.spots[0].y);
  } else if (run.map) {
    reach(run.map.width / run.map.unit, run.map.height / run.map.unit);
  } else {
    for (const agent of run.agents) {
      for (const way of agent.ways) reach(way.x + 1, way.y + 1);
    }
  }
  return {right, bottom};
}

function fit() {
  const {right, bottom} = bounds();
  const {clientWidth, clientHeight} = $('stage');
  view.scale = Math.max(1e-4, Math.min(clientWidth / right, clientHeight / bottom));
  view.x = (clientWidth - right * view.scale) / 2;
  view.y = (clientHeight - bottom * view.scale) / 2;
}

function draw() {
  const canvas = $('map'), dpr = window.devicePixelRatio || 1;
  const {clientWidth, clientHeight} = $('stage');
  canvas.width = clientWidth * dpr;
  canvas.height = clientHeight * dpr;
  const pen = canvas.getContext('2d');
  pen.setTransform(dpr, 0, 0, dpr, view.x * dpr, view.y * dpr);
  pen.imageSmoothingEnabled = false;
  const s = view.scale;
  if (run.spots) {
    drawFollows(pen);
  } else if (run.map?.copies) {
    for (const [x, y] of run.map.copies) {
      pen.drawImage(run.picture, x * s, y * s, run.map.width * s, run.map.height * s);
      if (s > 3) namePlaces(pen, x, y);
    }
  } else {
    const {right, bottom} = bounds();
    pen.strokeStyle = '#8888';
    pen.strokeRect(0, 0, right * s, bottom * s);
  }
  drawAgents(pen);
}

// Text with a pale rim, which can be read on any ground.
function write(pen, text, x, y) {
  pen.lineWidth = 3;
  pen.lineJoin = 'round';
  pen.strokeStyle = '#fffc';
  pen.strokeText(text, x, y);
  pen.fillText(text, x, y);
}

function namePlaces(pen, left, top) {
  pen.font = '600 12px system-ui, sans-serif';
  pen.textAlign = 'center';
  pen.fillStyle = '#5a4a3a';
  for (const place of run.map.places) {
    write(pen, place.name, (left + place.x + place.width / 2) * view.scale,
      (top + place.y + place.height / 2) * view.scale + 4);
  }
}

// Who reads whom; thick for the node of the chosen agent.
function drawFollows(pen) {
  const s = view.scale, chosen = stateAt(run.agents[view.agent], view.step).x;
  const lines = (node) => {
    pen.beginPath();
    for (const other of run.map.follows[node]) {
      pen.moveTo((run.spots[node].x + 0.5) * s, (run.spots[node].y + 0.5) * s);
      pen.lineTo((run.spots[other].x + 0.5) * s, (run.spots[other].y + 0.5) * s);
    }
    pen.stroke();
  };
  pen.strokeStyle = '#8884';
  pen.lineWidth = 1;
  if (run.spots.length <= MOST_DRAWN) run.spots.forEach((_, node) => lines(node));
  pen.strokeStyle = '#2a6fdb';
  pen.lineWidth = 2;
  lines(chosen);
}

function radiusOf(place) { return Math.max(3, view.scale * 0.7) * (place === view.agent ? 1.4 : 1); }

function drawAgents(pen) {
  const s = view.scale, named = s > 5 && run.agents.length <= MOST_NAMED;
  const present = run.agents.map((_, place) => place).filter((place) => isPresent(run.agents[place], view.step));
  for (const place of present) {
    const agent = run.agents[place], {x, y} = spotOf(stateAt(agent, view.step)), chosen = place === view.agent;
    pen.beginPath();
    pen.arc((x + 0.5) * s, (y + 0.5) * s, radiusOf(place), 0, 2 * Math.PI);
    pen.fillStyle = `hsl(${(agent.id * 137) % 360} 70% 45%)`;
    pen.fill();
    pen.lineWidth = chosen ? 2.5 : 1;
    pen.strokeStyle = chosen ? '#000' : '#fff';
    pen.stroke();
  }
  pen.textAlign = 'center';
  pen.fillStyle = '#000';
  for (const place of present) {
    const chosen = place === view.agent;
    if (!chosen && !named) continue;
    const {x, y} = spotOf(stateAt(run.agents[place], view.step));
    pen.font = `${chosen ? '600 ' : ''}11px system-ui, sans-serif`;
    write(pen, run.agents[place].name, (x + 0.5) * s, (y + 0.5) * s + radiusOf(place) + 11);
  }
  if (!named) return;
  const speakers = present.filter((place) => wordsOf(run.agents[place]));
  const taken = [];  // rectangles of bubbles; the chosen agent's comes first
  for (const place of speakers.sort((a, b) => (b === view.agent) - (a === view.agent))) drawWords(pen, place, taken);
}

// The last line that an agent has said in the last few steps; empty if there is none.
function wordsOf(agent) {
  const line = agent.events.findLast((event) => event.kind === 'say' && event.step <= view.step);
  return line && line.step > view.step - SPEECH_STEPS ? line.text.replace(/^to [^:]+: /, '') : '';
}

function wrap(pen, text) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = lines.at(-1) ? lines.at(-1) + ' ' + word : word;
    if (lines.at(-1) && pen.measureText(longer).width > SPEECH_WIDTH) lines.push(word); else lines[lines.length - 1] = longer;
  }
  return lines;
}

// A bubble above an agent, or below where it would cover another; none where it would cover one there too.
function drawWords(pen, place, taken) {
  pen.font = '11px system-ui, sans-serif';
  const {x, y} = spotOf(stateAt(run.agents[place], view.step)), lines = wrap(pen, wordsOf(run.agents[place]));
  const width = Math.max(...lines.map((line) => pen.measureText(line).width)) + 12, height = 13 * lines.length + 8;
  const middle = (x + 0.5) * view.scale, left = middle - width / 2;
  const isFree = (top) => taken.every((other) => left >= other.left + other.width || left + width <= other.left ||
    top >= other.top + other.height || top + height <= other.top);
  for (const side of [-1, 1]) {
    const tip = (y + 0.5) * view.scale + side * (radiusOf(place) + 1), edge = tip + side * 6;
    const top = side < 0 ? edge - height : edge;
    if (!isFree(top)) continue;
    taken.push({left, top, width, height});
    pen.beginPath();
    pen.roundRect(left, top, width, height, 6);
    pen.moveTo(middle - 5, edge);
    pen.lineTo(middle, tip);
    pen.lineTo(middle + 5, edge);
    pen.fillStyle = '#fff';
    pen.shadowColor = '#0006';
    pen.shadowBlur = 4;
    pen.fill();
    pen.shadowBlur = 0;
    pen.textAlign = 'left';
    pen.fillStyle = '#000';
    lines.forEach((line, row) => pen.fillText(line, left + 6, top + 15 + 13 * row));
    return;
  }
}

function timeOf(step) {
  if (!run.secondsPerStep) return `step ${step}`;
  const minutes = Math.floor(run.startMinute + step * run.secondsPerStep / 60) % 1440;
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

function showLog() {
  const agent = run.agents[view.agent];
  const items = agent.events.map((event) => {
    const item = document.createElement('li');
    item.dataset.step = event.step;
    const time = document.createElement('time');
    time.textContent = timeOf(event.step);
    time.onclick = () => setStep(event.step);
    const kind = document.createElement('em');
    kind.textContent = event.who ? event.who : event.kind;
    item.append(time, kind, event.text);
    return item;
  });
  $('log').replaceChildren(...items);
  fadeLog();
}

// What is yet to come at this step is pale; the last thing that has happened is in sight.
function fadeLog() {
  let last = null;
  for (const item of $('log').children) {
    const later = Number(item.dataset.step) > view.step;
    item.classList.toggle('later', later);
    if (!later) last = item;
  }
  if (last) last.scrollIntoView({block: 'nearest'});
}

function textOf(state) {
  const {x, y} = spotOf(state);
  return run.map?.unit > 1 ? `${x.toFixed(1)},${y.toFixed(1)} m` : `${x},${y}`;
}

function show() {
  const agent = run.agents[view.agent];
  if (!agent) return;
  const state = stateAt(agent, view.step);
  $('status').textContent = !isPresent(agent, view.step) ? `${agent.name} is not there`
    : `${agent.name}${run.spots ? '' : ` at ${textOf(state)}`}${state.status ? ': ' + state.status : ''}`;
  $('step').value = view.step;
  $('clock').textContent = (run.secondsPerStep ? timeOf(view.step) + ', ' : '') + `step ${view.step} of ${run.loaded}`;
  fadeLog();
  draw();
}

function setStep(step) {
  view.step = Math.max(0, Math.min(run.loaded, step));
  show();
}

function setAgent(place) {
  view.agent = place;
  $('agent').value = place;
  showLog();
  show();
}

// Whom a line reaches: the one that it names ("to Ben: ..."; Ben-2 in the second copy of a town), else
// everybody who is near the speaker.
function hearers(speaker, step, text) {
  const named = /^to ([^:]+): /.exec(text);
  const from = spotOf(stateAt(speaker, step));
  return run.agents.filter((other) => {
    const to = spotOf(stateAt(other, step));
    return other !== speaker && isPresent(other, step) && Math.max(Math.abs(from.x - to.x), Math.abs(from.y - to.y)) <= 4 &&
      (!named || other.name === named[1] || other.name.startsWith(named[1] + '-'));
  });
}

// The events of one step. The journal orders them by agent; lines of a talk alternate, and who began it has
// the event "talk".
function addEvents(step, events) {
  const lines = new Map();  // speaker -> lines so far
  const began = new Set(events.filter(([, , kind]) => kind === 'talk').map(([, id]) => id));
  const touched = new Set();
  for (const [, id, kind, text] of events) {
    const agent = run.agents[run.places.get(id)];
    const event = {step, kind, text, who: '', order: 0};
    touched.add(agent);
    agent.events.push(event);
    if (kind !== 'say') continue;
    const line = lines.get(id) || 0;
    lines.set(id, line + 1);
    event.order = 1 + 2 * line + (began.has(id) ? 0 : 1);
    event.who = agent.name + ':';
    for (const other of hearers(agent, step, text)) {
      touched.add(other);
      other.events.push({...event, kind: 'hear'});
    }
  }
  for (const agent of touched) agent.events.sort((a, b) => a.step - b.step || a.order - b.order);
}

// Who is not there at the start has a row for step 0.
function isPresent(agent, step) {
  const last = agent.presence.findLast((change) => change.step <= step);
  return !last || last.present === 1;
}

function addSteps(part) {
  for (const [step, id, present] of part.presence) {
    run.agents[run.places.get(id)].presence.push({step, present});
  }
  for (const [step, id, x, y, status] of part.bodies) {
    run.agents[run.places.get(id)].ways.push({step, x, y, status});
  }
  for (let i = 0, end = 0; i < part.events.length; i = end) {
    const step = part.events[i][0];
    while (end < part.events.length && part.events[end][0] === step) end++;
    addEvents(step, part.events.slice(i, end));
  }
}

// Fetches what is new. Only steps that everybody has done: those after them still get rows.
async function load() {
  const info = await get('api/run');
  while (run.loaded < info.steps) {
    const to = Math.min(run.loaded + CHUNK, info.steps);
    addSteps(await get(`api/steps?from=${run.loaded}&to=${to}`));
    run.loaded = to;
    $('step').max = to;
    $('progress').textContent = `${to} of ${info.manifest.steps} steps, ${info.answers} answers`;
    showLog();
    show();
  }
  if (run.loaded < Number(info.manifest.steps)) setTimeout(() => load().catch(fail), POLL_MS);
}

function listen() {
  const stage = $('stage');
  $('step').oninput = () => setStep(Number($('step').value));
  $('agent').onchange = () => setAgent(Number($('agent').value));
  $('play').onclick = () => {
    view.playing = !view.playing;
    $('play').textContent = view.playing ? 'Pause' : 'Play';
    if (view.playing && view.step >= run.loaded) setStep(0);
  };
  window.onresize = () => { fit(); show(); };
  stage.onpointerdown = (event) => { view.clicked = {x: event.offsetX, y: event.offsetY, moved: false}; };
  stage.onpointermove = (event) => {
    if (!view.clicked || !(event.buttons & 1)) return;
    view.clicked.moved ||= Math.hypot(event.movementX, event.movementY) > 1;
    view.x += event.movementX;
    view.y += event.movementY;
    draw();
  };
  stage.onpointerup = (event) => {
    if (view.clicked && !view.clicked.moved) pick(event.offsetX, event.offsetY);
    view.clicked = null;
  };
  stage.addEventListener('wheel', (event) => {
    event.preventDefault();
    const factor = Math.exp(-event.deltaY / 500);
    view.scale *= factor;
    view.x = event.offsetX - (event.offsetX - view.x) * factor;
    view.y = event.offsetY - (event.offsetY - view.y) * factor;
    draw();
  }, {passive: false});
  let before = performance.now(), due = 0;
  const tick = (now) => {
    due += view.playing ? (now - before) / 1000 * Number($('speed').value) : 0;
    before = now;
    if (due >= 1) {
      setStep(view.step + Math.floor(due));
      due %= 1;
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function pick(x, y) {
  let best = -1, nearest = 15;  // pixels
  run.agents.forEach((agent, place) => {
    if (!isPresent(agent, view.step)) return;
    const spot = spotOf(stateAt(agent, view.step));
    const distance = Math.hypot(view.x + (spot.x + 0.5) * view.scale - x, view.y + (spot.y + 0.5) * view.scale - y);
    if (distance < nearest) [best, nearest] = [place, distance];
  });
  if (best >= 0) setAgent(best);
}

function fail(error) { $('message').textContent = error.message; }

async function start() {
  const info = await get('api/run');
  $('run').textContent = `${info.name}, ${info.agents.length} agents`;
  info.agents.forEach(([id, name, x, y, status], place) => {
    run.places.set(id, place);
    run.agents.push({id, name, ways: [{step: 0, x, y, status}], presence: [], events: []});
    $('agent').append(new Option(name, place));
  });
  try {
    run.map = await get('api/map');
    if (run.map.start) {
      run.secondsPerStep = run.map.seconds_per_step;
      const [hour, minute] = run.map.start.split(':').map(Number);
      run.startMinute = hour * 60 + minute;
    }
    if (run.map.rows) paintMap();
    if (run.map.follows) run.spots = layOut(run.map.follows.length);
  } catch (error) {
    if (error.status !== 404) throw error;  // a run without a map is drawn on a plain ground
  }
  fit();
  listen();
  setAgent(0);
  await load();
  if (!run.map) { fit(); show(); }
}

start().catch(fail);
