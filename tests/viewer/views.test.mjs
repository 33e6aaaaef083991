// How the viewer lays out and counts what it draws, without a browser.

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {layOutLegend} from '../../web/viewer/film.js';
import {activityOf} from '../../web/viewer/map/activity.js';
import {Camera, Fingers} from '../../web/viewer/map/camera.js';
import {colourOfCell, legendOfCells} from '../../web/viewer/map/cells.js';
import {layOut} from '../../web/viewer/map/layout.js';
import {drawWords, isFree, placeFirst, wrap} from '../../web/viewer/map/words.js';
import {Ground} from '../../web/viewer/map/ground.js';
import {flightText, stateOf} from '../../web/viewer/panel/in_flight.js';
import {scaleOf, valueAt} from '../../web/viewer/panel/chart.js';
import {money} from '../../web/viewer/panel/dom.js';
import {columnsOf} from '../../web/viewer/panel/run_panel.js';
import {agentsNamed} from '../../web/viewer/panel/search_panel.js';
import {Progress} from '../../web/viewer/timeline/progress.js';
import {Timeline} from '../../web/viewer/timeline/timeline.js';
import {Window} from '../../web/viewer/timeline/window.js';
import {Run} from '../../web/viewer/state/run.js';
import {theme} from '../../web/viewer/theme.js';
import {Lens, View} from '../../web/viewer/view.js';
import {makeRun, packPositions} from './runs.mjs';

test('the camera keeps the point at which it zooms', () => {
  const camera = new Camera();
  camera.fit({right: 100, bottom: 50}, 400, 400);
  assert.deepEqual([camera.scale, camera.x, camera.y], [4, 0, 100]);
  const before = camera.toMap(120, 170);
  camera.zoom(2, 120, 170);
  assert.equal(camera.scale, 8);
  assert.deepEqual(camera.toMap(120, 170), before);
  camera.zoom(1e9, 0, 0);
  assert.ok(camera.scale <= 200);
  camera.centre(10, 20, 400, 300);
  assert.deepEqual(camera.toScreen(10, 20), {x: 200, y: 150});
});

test('all is shown where no controls are, and what was moved by hand is known', () => {
  const camera = new Camera();
  assert.equal(camera.isMoved, false);
  for (const move of [() => camera.zoom(2, 0, 0), () => camera.move(1, 1), () => camera.centre(1, 1, 400, 400)]) {
    camera.fit({right: 100, bottom: 50}, 440, 400, 50, 20);
    assert.deepEqual([camera.toScreen(0, 0), camera.toScreen(100, 50)], [{x: 20, y: 115}, {x: 420, y: 315}]);
    assert.equal(camera.isMoved, false);
    move();
    assert.equal(camera.isMoved, true);
  }
});

test('one finger moves the map, two zoom it', () => {
  const camera = new Camera(), fingers = new Fingers();
  fingers.put(1, 100, 100);
  fingers.move(camera, 1, 110, 105);
  assert.deepEqual([camera.x, camera.y, camera.scale], [10, 5, 6]);
  fingers.put(2, 210, 105);
  fingers.move(camera, 2, 310, 105);
  assert.equal(camera.scale, 12);
  assert.equal(camera.toScreen(...Object.values(camera.toMap(110, 105))).x, 110);
  fingers.lift(1);
  fingers.move(camera, 1, 0, 0);
  assert.equal(camera.scale, 12);
});

test('layouts of networks are the same each time, and keep neighbours together', () => {
  const ring = Array.from({length: 40}, (_, node) => [(node + 1) % 40]);
  const {spots, right, bottom} = layOut(ring);
  assert.deepEqual(layOut(ring).spots, spots);
  assert.ok(spots.every(({x, y}) => x > 0 && x < right && y > 0 && y < bottom));
  const distance = (a, b) => Math.hypot(spots[a].x - spots[b].x, spots[a].y - spots[b].y);
  const mean = (gap) => spots.reduce((sum, _, node) => sum + distance(node, (node + gap) % 40), 0) / 40;
  assert.ok(mean(1) < mean(20) / 3, `${mean(1)} ${mean(20)}`);
  assert.equal(layOut(Array.from({length: 5000}, () => [])).spots.length, 5000);
  assert.equal(layOut([[7], [0, 0]]).spots.length, 2);  // lines to nodes that are not there
});

test('what agents are doing is told from their state, words and ways, and in the time of the run from their calls', () => {
  const run = new Run(), names = ['sleep', 'talk with Ben', 'read', 'read', 'walk home', 'read'];
  run.begin({manifest: {steps: '20'}, steps: 20, agents: names.map((status, place) => [place, `a${place}`, place, 0, status])}, null);
  run.addPositions(packPositions(0, 20, [[5, 3, 9, 9, 'read']]));
  run.addSteps({to: 20, presence: [], cells: [], events: [[5, 2, 'say', 'hello.', 0]]});
  const view = new View(), lens = new Lens(run, view), all = () => names.map((_, place) => activityOf(run, lens, place));
  view.step = 5;
  assert.deepEqual(all(), ['asleep', 'talking', 'talking', 'walking', 'walking', 'other']);
  view.step = 6;
  assert.deepEqual(all(), ['asleep', 'talking', 'other', 'other', 'walking', 'other']);
  const moment = {stepOf: () => 6, isWaiting: (place) => place === 0, leadOf: (place) => (place < 2 ? 3 : 0)};
  assert.deepEqual([0, 1, 2].map((place) => activityOf(run, moment, place)), ['waiting', 'ahead', 'other']);
});

test('a legend below a picture has as many rows as it needs', () => {
  const entries = ['one', 'two', 'three'].map((text) => ({colour: 'red', text})), measure = (text) => 10 * text.length;
  const places = (width) => layOutLegend(entries, width, measure).map(({x, row}) => [x, row]);
  assert.deepEqual(places(300), [[8, 0], [68, 0], [128, 0]]);
  assert.deepEqual(places(150), [[8, 0], [68, 0], [8, 1]]);
  assert.deepEqual(places(10), [[8, 0], [8, 1], [8, 2]]);
  assert.deepEqual(layOutLegend([], 300, measure), []);
});

test('words break between words only', () => {
  assert.deepEqual(wrap('one two three', 7, (text) => text.length), ['one two', 'three']);
  assert.deepEqual(wrap('unbreakable', 3, (text) => text.length), ['unbreakable']);
});

test('what is written on the map covers nothing else that is', () => {
  const box = (left, top) => ({left, top, width: 10, height: 4});
  assert.deepEqual([box(10, 0), box(9, 3), box(9, 4), box(-10, 0)].map((one) => isFree(one, [box(0, 0)])), [true, false, true, true]);
});

test('a text goes where there is room, else nowhere', () => {
  const box = (left) => ({left, top: 0, width: 10, height: 4}), taken = [box(0)];
  assert.deepEqual([placeFirst([box(5), box(12), box(30)], taken), placeFirst([box(5), box(20)], taken)], [1, -1]);
  assert.deepEqual(taken, [box(0), box(12)]);
});

test('bubbles stay on the map and off its controls', () => {
  const pen = new Proxy({measureText: (text) => ({width: 6 * text.length})}, {get: (known, name) => known[name] ?? (() => {}), set: () => true});
  const boxOf = (x, y) => {
    const taken = [];
    drawWords(pen, 'good day', x, y, 4, taken, {width: 300, top: 40, bottom: 200});
    return taken.map(({left, top, width, height}) => [left >= 0, left + width <= 300, top >= 40, top + height < y, top + height <= 200]);
  };
  assert.deepEqual(boxOf(150, 100), [[true, true, true, true, true]]);
  assert.deepEqual(boxOf(2, 100), [[true, true, true, true, true]]);
  assert.deepEqual(boxOf(299, 60), [[true, true, true, false, true]]);  // below: above there are controls
  const taken = [];
  drawWords(pen, 'good day', 150, 60, 4, taken, {width: 300, top: 40, bottom: 80});  // nor is there room below
  assert.deepEqual(taken, []);
});

test('values of cells that are like each other have colours that are not, and a legend while they are few', () => {
  const run = makeRun();
  assert.deepEqual([...run.cellValues], ['fire']);
  assert.deepEqual(legendOfCells(run.cellValues), [{colour: colourOfCell('fire'), text: 'cell: fire'}]);
  const hues = ['0', '1', '2', '3', '4'].map((value) => Number(/hsl\((\d+)/.exec(colourOfCell(value))[1]));
  for (const [index, hue] of hues.entries()) {
    for (const other of hues.slice(0, index)) assert.ok(Math.abs(hue - other) >= 30 && Math.abs(hue - other) <= 330, hues.join());
  }
  assert.deepEqual(legendOfCells(new Set(['2', '1'])).map(({text}) => text), ['cell: 1', 'cell: 2']);
  assert.equal(legendOfCells(new Set(['x'.repeat(100)]))[0].text.length, 30);
  assert.deepEqual(legendOfCells(new Set('123456789')), []);
});

test('the timeline has a legend where it draws calls, with signs for guesses if there are any', () => {
  const run = makeRun(), view = new View(), lens = new Lens(run, view), canvas = {addEventListener() {}};
  theme.calls = ['red', 'blue'];
  const timeline = new Timeline(canvas, run, view, lens, {});
  timeline.functions = ['plan', 'act'];
  assert.deepEqual(timeline.legend, []);  // who is ahead: each line is an agent's
  timeline.kind = 'calls';
  assert.deepEqual(timeline.legend, [{colour: 'red', text: 'plan'}, {colour: 'blue', text: 'act'}]);
  run.guesses.push({});
  assert.deepEqual(timeline.legend.slice(2).map(({text}) => text), ['guessed ahead', 'guessed in vain']);
});

test('small costs keep their digits', () => {
  assert.deepEqual([null, 0.0012345, 0.0163, 12.345].map(money), ['', '0.001234', '0.0163', '12.35']);
});

test('people who sit alone are laid out by whom they read', () => {
  const run = new Run(), map = {width: 3, height: 1, unit: 1, reads: [[1], [0], [], []]};
  run.begin({manifest: {}, agents: [[4, 'a', 0, 0, ''], [5, 'b', 1, 0, ''], [6, 'c', 2, 0, ''], [7, 'd', 0, 0, '']]}, map);
  const ground = new Ground(run), {spots} = layOut(map.reads);
  assert.deepEqual([0, 1, 2].map((x) => ground.spotOf({x, y: 0})), spots.slice(0, 3));  // d's place is a's first
  assert.equal(ground.textOf({x: 0, y: 0}), '');
});

test('a table of costs has no empty columns', () => {
  const headsOf = (...rows) => columnsOf(rows).map(({head}) => head);
  assert.deepEqual(headsOf(['act', 5, 0, 10, 5, null, 0.5]), ['calls', 'asked', 'answered', 'mean s']);
  assert.deepEqual(headsOf(['act', 5, 0, 10, 5, 0.1, 0.5], ['say', 5, 1, 10, 5, 0.1, 0.5]), ['calls', 'failed', 'asked', 'answered', 'cost', 'mean s']);
  assert.deepEqual(columnsOf([['act', 5, 1, 10, 6, 0.25, 0.5]]).map(({of}) => of(['act', 5, 1, 10, 6, 0.25, 0.5])), [5, 1, 10, 6, '0.2500', '0.50']);
});

test('progress follows the calls of all sessions', () => {
  const progress = new Progress(makeRun());
  assert.equal(progress.end, 6);  // 4 s of the first session, 2 s of the second
  assert.deepEqual(progress.sessions, [{session: 1, begin: 0}, {session: 2, begin: 4}]);
  assert.deepEqual([0, 0.5, 1.5, 2.5, 6].map((time) => progress.stepAt(0, time)), [0, 0, 4, 8, 20]);
  assert.deepEqual([3.9, 4, 5, 6].map((time) => progress.stepAt(1, time)), [0, 12, 12, 20]);
  assert.equal(progress.callAt(0, 2.5).step, 8);
  assert.equal(progress.callAt(0, 1.5), undefined);
  assert.deepEqual([0, 1.5, 2.5, 3.5, 4.5].map((time) => progress.inFlightAt(time)), [2, 1, 2, 1, 1]);
  assert.deepEqual(progress.inFlightOver(0, 6, 3), [2, 2, 1]);
  assert.deepEqual(progress.standing([0, 1], 2.5), {least: 0, most: 8, ahead: [{place: 0, step: 8}, {place: 1, step: 0}]});
  assert.deepEqual(progress.leadsAt([0, 1], [0, 2.5, 5]), [[0, 8, 4], [0, 0, 0]]);
  assert.equal(progress.timeOf(12, [0, 1]), 4);
});

test('agents of a run that goes on stay where their last call was', () => {
  const run = makeRun();
  run.info.steps = 10;
  const progress = new Progress(run);
  assert.equal(progress.stepAt(0, 100), 8);
  assert.equal(progress.stepAt(2, 100), 0);
});

test('a journal that says when steps were done is shown as it says', () => {
  const run = makeRun();
  run.progress.push([1, 101.5, [10, 7]], [1, 103.5, [10, 9, 11, 1]], [2, 7, [10, 20, 11, 20]]);
  const progress = new Progress(run);
  assert.equal(progress.end, 6);
  assert.deepEqual([0, 1.4, 1.5, 2.5, 3.4, 3.5, 5.9, 6].map((time) => progress.stepAt(0, time)), [0, 0, 7, 8, 8, 9, 9, 20]);
  assert.deepEqual([0, 3.4, 3.5, 6].map((time) => progress.stepAt(1, time)), [0, 0, 1, 20]);
  assert.deepEqual([progress.timeOf(8, [0]), progress.timeOf(9, [0])], [2, 3.5]);  // a call was issued before the step's row
});

test('calls that guesses asked are in flight when they were, and hollow if they were wrong', () => {
  const run = makeRun();
  run.setCalls(20, [], 20, [[20, 10, 0, 'act', 100.5, 102, 1, 1], [20, 12, 0, 'say', 100, 106, 1, 0]]);
  const progress = new Progress(run);
  assert.equal(progress.end, 8);  // the first session takes until the guess is given up
  assert.deepEqual([0, 0.7, 1.5, 5].map((time) => progress.inFlightAt(time)), [3, 4, 3, 1]);
  assert.deepEqual([0, 1, 2].map((place) => progress.squashedOf(place).map(({from, to, guess}) => [from, to, guess.function])), [[], [], [[0, 6, 'say']]]);
});

test('calls in flight grow until they are answered', () => {
  const run = makeRun();
  const told = (s, calls) => { run.info.in_flight = {session: 2, s, age_s: 0, calls}; };
  told(7.5, [[12, 11, 0, 'act', 5, null, 0, 0, null], [13, 11, 0, 'act', 7, null, 0, 0, 'http://a:8000/v1'], [14, 10, 0, 'say', 7.25, null, 1, 1, null],
    [15, 10, 0, 'say', 6, 6.5, 1, null, null], [1, 99, 0, 'act', 7, null, 0, null, null]]);
  assert.deepEqual(run.openCalls(), []);  // the run is done
  run.info.steps = 12;
  const open = run.openCalls();  // the first one is answered meanwhile, the last one nobody's
  assert.deepEqual(open.map(({place, step}) => [place, step]), [[1, 13], [0, 14], [0, 15]]);
  assert.deepEqual(open.map(stateOf), ['in flight for 0.50 s, at http://a:8000/v1', 'asked on a guess for 0.25 s, queued', 'a guess, answered: its step has not asked it yet']);
  assert.equal(flightText(run, open), '2 in flight, 1 of them on guesses');
  assert.deepEqual([0, null].map((queued) => stateOf({...open[0], isQueued: queued, server: null})), ['in flight for 0.50 s, running', 'in flight for 0.50 s']);
  const progress = new Progress(run);
  assert.equal(progress.end, 6.5);
  assert.deepEqual([5.25, 5.75, 6, 6.25, 6.5].map((time) => progress.inFlightAt(time)), [2, 1, 1, 2, 2]);
  assert.deepEqual([[1, 6.5], [0, 6.5]].map(([place, time]) => progress.callAt(place, time)?.step), [13, undefined]);
  assert.deepEqual([progress.stepAt(1, 6.5), progress.stepAt(0, 6.5)], [13, 8]);
  assert.deepEqual(progress.openOf(0).map(({from, to}) => [from, to]), [[6.25, Infinity], [5, 5.5]]);
  told(7.75, []);
  run.info.in_flight.age_s = 40;
  assert.equal(flightText(run, run.openCalls()), '0 in flight when the run last said so, 40 s ago');
  run.info.in_flight = null;
  assert.equal(flightText(run, run.openCalls()), '');
});

test('where an agent is has the name of the smallest place there', () => {
  const place = (name, x, y, width, height) => ({name, x, y, width, height});
  const map = {width: 20, height: 10, places: [place('green', 2, 2, 10, 6), place('pond', 4, 4, 2, 2)], homes: [place("Ada's house", 14, 0, 4, 4)], copies: [[0, 0], [20, 0]]};
  const ground = new Ground({map, agents: []});
  const said = [[2, 2], [5, 5], [6, 6], [12, 2], [17, 3], [25, 5], [0, 0]].map(([x, y]) => ground.textOf({x, y}));
  assert.deepEqual(said, ['green', 'pond', 'green', '12,2', "Ada's house", 'pond', '0,0']);
  assert.equal(new Ground({map: {unit: 100}, agents: []}).textOf({x: 150, y: 20}), '1.5,0.2 m');
});

test('a lens shows one step, or each agent at its own', () => {
  const run = makeRun(), view = new View(), lens = new Lens(run, view);
  view.step = 10;
  assert.deepEqual([0, 1].map((place) => [lens.stepOf(place), lens.leadOf(place), lens.isWaiting(place)]), [[10, 0, false], [10, 0, false]]);
  view.time = 2.5;
  lens.look();
  assert.deepEqual([0, 1].map((place) => [lens.stepOf(place), lens.leadOf(place), lens.isWaiting(place)]), [[8, 8, true], [0, 0, true]]);
});

test('a lens names the nearest of those behind', () => {
  const run = makeRun(), view = new View(), lens = new Lens(run, view);
  assert.equal(lens.nearestBehind(0), null);
  view.time = 2.5;
  assert.deepEqual(lens.nearestBehind(0), {place: 1, distance: 1, steps: 8});  // Ada at 3,1 in step 8, Ben at 4,2 in step 0
  assert.equal(lens.nearestBehind(1), null);
});

test('clusters are shown for their own step only', () => {
  const view = new View(), lens = new Lens(makeRun(), view);
  lens.setClusters(3, [[10, 11]]);
  view.step = 3;
  assert.equal(lens.clustersOf(), null);
  view.clusters = true;
  assert.deepEqual(lens.clustersOf(), [[10, 11]]);
  view.step = 4;
  assert.equal(lens.clustersOf(), null);
});

test('the timeline shows a part of the run, never more than all', () => {
  const part = new Window();
  part.setEnd(100);
  part.zoom(4, 10);
  assert.deepEqual([part.from, part.to], [7.5, 32.5]);
  part.move(-20);
  assert.deepEqual([part.from, part.to], [0, 25]);
  part.show(90);
  assert.deepEqual([part.from, part.to], [75, 100]);
  part.setEnd(200);  // a part stays where it is
  assert.deepEqual([part.from, part.to], [75, 100]);
  part.zoom(0.001);
  assert.deepEqual([part.from, part.to], [0, 200]);
  part.setEnd(300);
  assert.equal(part.to, 300);
});

test('charts span what their values do', () => {
  const points = [[0, 1, 0, 2], [50, 3, 3, 6]];
  const {least, most, xOf, yOf} = scaleOf(points, 100);
  assert.deepEqual([least, most, xOf(50)], [0, 6, 150]);
  assert.ok(yOf(6) < yOf(0));
  assert.deepEqual([valueAt(points, -1), valueAt(points, 49), valueAt(points, 50)], [undefined, 1, 3]);
  assert.ok(Number.isFinite(scaleOf([[0, 5, 5, 5]], 0).yOf(5)));
});

test('agents are found by a part of their name', () => {
  assert.deepEqual(agentsNamed(makeRun(), 'E'), [1, 2]);
});
