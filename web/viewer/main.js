// The viewer of a run: the map, everybody's way over time, who runs ahead, and what each of them thought and what it cost.

import {useKey} from './state/api.js';
import {readLink, writeLink} from './state/link.js';
import {Loader} from './state/loader.js';
import {Run} from './state/run.js';
import {Camera} from './map/camera.js';
import {MapView} from './map/map.js';
import {Timeline} from './timeline/timeline.js';
import {Lens, View} from './view.js';
import {watchTheme} from './theme.js';
import {Page} from './page.js';

const $ = (id) => document.getElementById(id);

// The key of the server is kept for this tab, and not in the address, which people share.
function takeKey({key, ...link}) {
  if (key) {
    sessionStorage.setItem('throng.key', key);
    history.replaceState(null, '', writeLink(link));
  }
  useKey(sessionStorage.getItem('throng.key') ?? '');
}

// Once for all who want one now.
let asking = null;
function askForKey() { return asking ??= showKeyDialog().finally(() => { asking = null; }); }

async function showKeyDialog() {
  $('key-refused').hidden = !sessionStorage.getItem('throng.key');
  $('key').value = '';
  $('ask-key').showModal();
  await new Promise((done) => $('ask-key').addEventListener('close', done, {once: true}));
  sessionStorage.setItem('throng.key', $('key').value);
  useKey($('key').value);
}

// One of the runs, with its map.
class Side {
  constructor(number, view, camera, handlers) {
    this.run = new Run(number);
    this.lens = new Lens(this.run, view);
    this.map = new MapView($(number === 0 ? 'map' : 'map-beside'), this.run, this.lens, camera, handlers);
    this.loader = new Loader(this.run, {changed: () => handlers.changed(this), said: handlers.said, askKey: askForKey});
  }

  async begin() {
    await this.loader.begin();
    this.map.begin();
  }
}

async function start() {
  const link = readLink(location.hash), view = new View(), camera = new Camera();
  takeKey(link);
  let page = null;
  const handlers = {
    picked: (place) => page.setAgent(place),
    moved: () => page.draw(),
    changed: (side) => page?.onData(side),
    said: (error) => { $('message').textContent = error ? `${error.message} Trying again ...` : ''; },
  };
  const sides = [new Side(0, view, camera, handlers)];
  await sides[0].begin();
  if (sides[0].run.info.runs > 1) {
    sides.push(new Side(1, view, camera, handlers));
    await sides[1].begin();
  }
  const timeline = new Timeline($('timeline'), sides[0].run, view, sides[0].lens,
    {picked: (call) => page.openCall(call.place, call.step, call.call), moved: (time) => page.setTime(time)});
  page = new Page(sides, view, timeline);
  watchTheme(() => page.onTheme());
  page.begin(link);
  globalThis.viewer = {sides, view, page, timeline, camera};  // for whoever looks from the console, and for tests
  await Promise.all(sides.map(({loader}) => loader.follow()));
}

start().catch((error) => { $('message').textContent = error.message; });
