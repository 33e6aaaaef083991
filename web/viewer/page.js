// Holds the page together: what is chosen by hand, by key, by link or by time, and what is drawn of it.

import {getJson} from './state/api.js';
import {readLink, writeLink} from './state/link.js';
import {legendOfActivities} from './map/activity.js';
import {legendOfCells} from './map/cells.js';
import {ZOOM} from './map/map.js';
import {element, sample} from './panel/dom.js';
import {CallsPanel} from './panel/calls_panel.js';
import {LogPanel} from './panel/log_panel.js';
import {MindPanel} from './panel/mind_panel.js';
import {clockTexts, standingText, statusText} from './panel/moment.js';
import {Parting} from './panel/parting.js';
import {Pause} from './panel/pause.js';
import {PeoplePanel} from './panel/people_panel.js';
import {RunPanel} from './panel/run_panel.js';
import {SearchPanel} from './panel/search_panel.js';
import {Tabs} from './panel/tabs.js';
import {Film, savePicture, save} from './film.js';
import {listenToKeys} from './keys.js';

const $ = (id) => document.getElementById(id);
const LONG_STEP = 60;
const SETTLED_MS = 150;       // how long a step stays before more is asked about it
const GATHER_MS = 100;        // how long what comes is gathered before it is shown
const SWITCHES = ['follow', 'trails', 'words', 'clusters', 'live'];

export class Page {
  #sides;
  #view;
  #timeline;
  #panels;
  #people;
  #pause;
  #parting;
  #tabs;
  #film = new Film();
  #drawing = 0;
  #settling = 0;
  #taking = 0;
  #takes = 0;       // milliseconds that it took last to show what has come
  #wished = null;   // a link's step that is not here yet

  constructor(sides, view, timeline) {
    this.#sides = sides;
    this.#view = view;
    this.#timeline = timeline;
    const handlers = {go: (step) => this.setStep(step), open: (step, call) => this.openCall(view.agent, step, call), agent: (place) => this.setAgent(place),
      visit: (place, step, call) => this.#visit(place, step, call)};
    this.#panels = {
      log: new LogPanel($('log'), this.run, handlers),
      calls: new CallsPanel({sum: $('calls-sum'), list: $('calls'), call: $('call')}, this.run, handlers.open),
      mind: new MindPanel({recall: $('recall'), unknown: $('unknown'), mind: $('mind'), interview: $('interview'), question: $('question'), answers: $('answers'),
        thoughts: $('thoughts'), relations: $('relations')}, this.run, handlers),
      run: new RunPanel({facts: $('facts'), costs: $('costs'), charts: $('charts'), inject: $('inject'), what: $('inject-what'), step: $('inject-step'),
        said: $('inject-said')}, this.run),
      search: new SearchPanel({form: $('search'), text: $('search-text'), said: $('search-said'), hits: $('hits')}, this.run, handlers),
    };
    this.#people = new PeoplePanel({box: $('people'), title: $('people-title'), said: $('people-said'), list: $('people-questions')}, this.run, handlers.agent);
    this.#pause = new Pause($('pause-run'), $('pause-said'), this.run);
    this.#parting = new Parting({button: $('parting'), mark: $('mark')}, sides.map(({run}) => run),
      (agent, step) => this.#visit(this.run.places.get(agent) ?? view.agent, step, null));
    this.#tabs = new Tabs($('tabs'), () => this.#showPanels());
  }

  // The run whose agents, calls and timeline are shown; another one may be beside it.
  get run() { return this.#sides[0].run; }
  get #lens() { return this.#sides[0].lens; }
  get #canvases() { return this.#sides.map(({map}) => map.canvas); }

  begin(link) {
    const {info, agents} = this.run;
    $('run').textContent = `${info.name}, ${agents.length} agents`;
    $('agent').replaceChildren(...agents.map(({name}, place) => element('option', {value: place}, name)));
    $('map-beside').hidden = this.#sides.length < 2;
    if (this.#sides.length > 1) this.#nameMaps();
    $('live').hidden = this.run.isDone;
    this.#people.update();
    this.#pause.update();
    this.#fit();
    this.#listen();
    this.#listenToKeys();
    this.setAgent(0);
    this.#take(link);
    this.#parting.update();
    requestAnimationFrame((now) => this.#tick(now, now));
  }

  // Something of a run has come. Ranges come faster than all of the page can be made of them.
  onData(side) {
    this.#parting.update();
    if (side !== this.#sides[0]) return this.draw();
    this.#taking ||= setTimeout(() => this.#takeData(), side.run.loaded === 0 ? 0 : Math.max(GATHER_MS, 2 * this.#takes));
  }

  #takeData() {
    const [{run, lens}] = this.#sides, begin = performance.now();
    this.#taking = 0;
    lens.forget();
    $('step').max = run.loaded;
    const part = run.isComplete ? '' : ` (${Math.round(100 * Math.min(run.loaded, run.told, run.asked) / Math.max(1, run.steps))} % here)`;
    $('progress').textContent = `${run.steps} of ${run.lastStep} steps, ${run.info.answers} answers${part}`;
    $('live').hidden = run.isDone;
    this.#people.update();
    this.#pause.update();
    if (!run.map) this.#refit();  // the ground is as large as where agents have been
    this.#timeline.update();
    this.#showLegend();
    $('clock-wall').disabled = !this.#hasTime;
    if (this.#wished !== null && this.#wished <= run.loaded) this.setStep(this.#wished);
    if (this.#view.isLive) this.#toEnd();
    this.#updateAgent();
    this.show();
    this.drawNow();
    this.#takes = performance.now() - begin;
  }

  setStep(step) {
    this.#wished = step > this.run.loaded && !this.run.isComplete ? step : null;
    this.#view.step = Math.max(0, Math.min(this.run.loaded, step));
    if (this.#view.time !== null) this.#view.time = this.#lens.progress.timeOf(this.#view.step, this.#lens.present());
    this.show();
  }

  // A moment of the run; null: only what is in sight of the timeline has changed.
  setTime(time) {
    if (time === null || !this.#hasTime) return this.draw();
    this.#view.time = Math.min(time, this.#lens.progress.end);
    $('clock-kind').value = 'wall';
    this.#view.step = this.#lens.progress.stepAt(this.#view.agent, this.#view.time);
    this.show();
  }

  setAgent(place) {
    if (!this.run.agents[place]) return;
    this.#view.agent = place;
    this.#view.call = null;
    $('agent').value = place;
    if (this.#view.time !== null) this.#view.step = this.#lens.progress.stepAt(place, this.#view.time);
    this.#updateAgent();
    this.show();
  }

  openCall(place, step, call) {
    if (place !== this.#view.agent) this.setAgent(place);
    this.#view.call = {step, call};
    this.#tabs.choose('tab-calls');
    if (this.#view.step !== step) this.setStep(step); else this.show();
  }

  #visit(place, step, call) {
    if (place === undefined) return;
    if (call !== null) return this.openCall(place, step, call);
    this.setAgent(place);
    this.setStep(step);
  }

  #take({step, agent, call}) {
    if (agent !== undefined && this.run.places.has(agent)) this.setAgent(this.run.places.get(agent));
    if (call !== undefined && step !== undefined) this.openCall(this.#view.agent, step, call);
    else if (step !== undefined) this.setStep(step);
  }

  #updateAgent() {
    this.#panels.log.update(this.#view.agent, this.#view.step);
    this.#panels.calls.update(this.#view.agent);
  }

  // Everything that depends on the moment.
  show() {
    const {run} = this, view = this.#view;
    for (const {lens} of this.#sides) lens.look();
    this.#showMapLegend();
    if (run.agents[view.agent]) $('status').textContent = statusText(run, this.#lens, this.#sides[0].map.ground);
    $('step').max = run.loaded;
    $('step').value = view.step;
    const {simulated, all} = clockTexts(run, view);
    $('clock').textContent = all;
    $('step').setAttribute('aria-valuetext', simulated);
    $('standing').textContent = $('standing').title = standingText(run, this.#lens, view.time);
    this.#showPanels();
    this.draw();
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#settle(), SETTLED_MS);
  }

  #showLegend() { $('legend').replaceChildren(...this.#timeline.legend.map(sample)); }

  // What colours on the map say: [{colour, text}]; nothing of agents where each has its own.
  get #mapLegend() {
    const agents = this.#view.colouredBy === 'agent' ? [] : legendOfActivities(this.#view.time !== null);
    return [...agents, ...legendOfCells(this.run.cellValues)];
  }

  #showMapLegend() {
    const legend = this.#mapLegend, before = $('map-legend').childElementCount;
    $('map-legend').hidden = !legend.length;
    $('map-legend').replaceChildren(...legend.map(sample));
    if (legend.length !== before) this.#refit();  // it covers more of the map, or less
  }

  #showPanels() {
    const {step, agent, call} = this.#view;
    if (!this.run.agents.length) return;
    this.#panels.log.show(step);
    if (this.#tabs.current === 'tab-calls') this.#panels.calls.show(agent, step, call);
    if (this.#tabs.current === 'tab-mind') this.#panels.mind.show(this.#panels.log.log, agent, step);
    if (this.#tabs.current === 'tab-run') this.#panels.run.update().then(() => this.#panels.run.show(this.#view.step));
  }

  // The colours are other ones.
  onTheme() {
    this.#showLegend();
    this.#showMapLegend();
    this.draw();
  }

  draw() { this.#drawing ||= requestAnimationFrame(() => this.drawNow()); }

  drawNow() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
    for (const {map} of this.#sides) map.draw();
    this.#film.draw();
    this.#timeline.draw();
  }

  // The step has not changed for a moment: the address says it, and who did it together is asked.
  async #settle() {
    const {step, agent, call, clusters, isPlaying} = this.#view;
    if (!isPlaying) history.replaceState(null, '', writeLink({step, agent: this.run.agents[agent]?.id, call: call?.step === step ? call.call : undefined}));
    if (!clusters) return;
    await Promise.all(this.#sides.map(async ({run, lens}) => {
      const reply = await getJson('clusters', {run: run.number, step}).catch(() => null);
      if (reply) lens.setClusters(step, reply.clusters);
    }));
    this.draw();
  }

  #nameMaps() {
    for (const [index, {run, map}] of this.#sides.entries()) {
      map.title = run.info.journal.split('/').at(-1);
      $(index === 0 ? 'map' : 'map-beside').ariaLabel = `Map of ${map.title}; arrow keys move it`;
    }
  }

  get #coveredPixels() { return $('map-tools').offsetTop + $('map-tools').offsetHeight; }
  #fit() { this.#sides[0].map.fit(this.#coveredPixels); }
  #refit() { this.#sides[0].map.refit(this.#coveredPixels); }

  #toEnd() {
    if (this.#view.time !== null) this.setTime(this.#lens.progress.end);
    else this.setStep(this.run.loaded);
  }

  #play(isPlaying) {
    const view = this.#view;
    view.isPlaying = isPlaying;
    $('play').textContent = isPlaying ? 'Pause' : 'Play';
    if (!isPlaying) return this.show();
    if (view.time !== null && view.time >= this.#lens.progress.end) this.setTime(0);
    else if (view.time === null && view.step >= this.run.loaded) this.setStep(0);
  }

  #tick(before, now) {
    const view = this.#view, seconds = Math.min(0.25, (now - before) / 1000);
    let next = now;
    if (view.isPlaying && view.time !== null) {
      const {progress} = this.#lens;
      this.setTime(view.time + seconds * view.speed * progress.end / Math.max(1, this.run.steps));
      if (view.time >= progress.end && this.run.isDone) this.#play(false);
    } else if (view.isPlaying) {
      const steps = Math.floor(seconds * view.speed);
      next = steps > 0 ? now : before;  // what is less than a step is kept
      if (steps > 0) this.setStep(view.step + steps);
      if (view.step >= this.run.lastStep) this.#play(false);
    }
    requestAnimationFrame((later) => this.#tick(next, later));
  }

  #setClock(isWall) {
    const view = this.#view;
    if (isWall && !this.#hasTime) return;
    $('clock-kind').value = isWall ? 'wall' : 'simulated';
    view.time = isWall ? this.#lens.progress.timeOf(view.step, this.#lens.present()) : null;
    this.show();
  }

  // False where all answers came at once: everybody was everywhere at one moment.
  get #hasTime() { return this.#lens.progress.end > 0; }

  #colourBy(what) {
    this.#view.colouredBy = $('coloured-by').value = what;
    this.show();
  }

  #toggle(name) {
    const field = {follow: 'follows', live: 'isLive'}[name] ?? name, view = this.#view;
    view[field] = !view[field];
    $(name).ariaPressed = String(view[field]);
    if (name === 'live' && view.isLive) this.#toEnd();
    this.show();
  }

  #zoom(factor) {
    this.#sides[0].map.zoom(factor);
    this.draw();
  }

  #reset() {
    if (this.#view.follows) this.#toggle('follow');
    this.#fit();
    this.draw();
  }

  #zoomTimeline(factor) {
    this.#timeline.zoom(factor);
    this.draw();
  }

  async #record() {
    const isBegun = !this.#film.isRunning, name = `throng-${this.#view.step}.webm`;
    $('film').ariaPressed = String(isBegun);
    $('film').textContent = isBegun ? 'Stop and save' : 'Record film';
    this.#play(isBegun);
    if (isBegun) this.#film.begin(this.#canvases, this.#mapLegend); else save(await this.#film.end(), name);
  }

  #listen() {
    $('step').oninput = () => this.setStep(Number($('step').value));
    $('agent').onchange = () => this.setAgent(Number($('agent').value));
    $('speed').onchange = () => { this.#view.speed = Number($('speed').value); };
    $('clock-kind').onchange = () => this.#setClock($('clock-kind').value === 'wall');
    $('play').onclick = () => this.#play(!this.#view.isPlaying);
    $('coloured-by').onchange = () => this.#colourBy($('coloured-by').value);
    for (const name of SWITCHES) $(name).onclick = () => this.#toggle(name);
    $('zoom-in').onclick = () => this.#zoom(ZOOM);
    $('zoom-out').onclick = () => this.#zoom(1 / ZOOM);
    $('reset').onclick = () => this.#reset();
    $('timeline-in').onclick = () => this.#zoomTimeline(2);
    $('timeline-out').onclick = () => this.#zoomTimeline(0.5);
    $('timeline-reset').onclick = () => {
      this.#timeline.reset();
      this.draw();
    };
    $('timeline-kind').onchange = () => {
      this.#timeline.kind = $('timeline-kind').value;
      this.#showLegend();
      this.draw();
    };
    $('frame').onclick = () => savePicture(this.#canvases, this.#mapLegend, `throng-${this.#view.step}.png`);
    $('film').onclick = () => this.#record();
    $('open-help').onclick = () => $('help').showModal();
    new ResizeObserver(() => {
      this.#refit();
      this.draw();
    }).observe($('map'));
    window.addEventListener('hashchange', () => this.#take(readLink(location.hash)));
  }

  #listenToKeys() {
    const step = (by) => () => this.setStep(this.#view.step + by);
    const agent = (by) => () => this.setAgent((this.#view.agent + by + this.run.agents.length) % this.run.agents.length);
    listenToKeys({
      ' ': () => this.#play(!this.#view.isPlaying),
      'ArrowLeft': step(-1), 'ArrowRight': step(1), 'Shift+ArrowLeft': step(-LONG_STEP), 'Shift+ArrowRight': step(LONG_STEP),
      'Home': () => this.setStep(0), 'End': () => this.setStep(this.run.loaded),
      '[': agent(-1), ']': agent(1),
      '+': () => this.#zoom(ZOOM), '=': () => this.#zoom(ZOOM), '-': () => this.#zoom(1 / ZOOM), '0': () => this.#reset(),
      'c': () => this.#colourBy(this.#view.colouredBy === 'agent' ? 'activity' : 'agent'),
      'f': () => this.#toggle('follow'), 't': () => this.#setClock(this.#view.time === null),
      '/': () => {
        this.#tabs.choose('tab-search');
        $('search-text').focus();
      },
      'p': () => this.#pause.toggle(),
      '?': () => $('help').showModal(),
    });
  }
}
