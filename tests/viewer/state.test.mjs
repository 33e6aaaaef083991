// What the viewer knows of a run, without a browser.

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {Clock, duration} from '../../web/viewer/state/clock.js';
import {Column} from '../../web/viewer/state/column.js';
import {readLink, writeLink} from '../../web/viewer/state/link.js';
import {logOf, relationsOf} from '../../web/viewer/state/log.js';
import {readPositions} from '../../web/viewer/state/positions.js';
import {Run, lastUpTo} from '../../web/viewer/state/run.js';
import {makeRun} from './runs.mjs';

test('columns grow, and find the last number up to another', () => {
  const column = new Column();
  assert.equal(column.lastUpTo(5), -1);
  for (let i = 0; i < 1000; i++) column.push(2 * i);
  assert.equal(column.length, 1000);
  assert.deepEqual([-1, 0, 1, 2, 1997, 1998, 5000].map((number) => column.lastUpTo(number)), [-1, 0, 0, 1, 998, 999, 999]);
});

// The same bytes as in src/serve/run/positions_test.cc.
const PACKED = [5, 20, 2, 4, 119, 97, 108, 107, 3, 226, 128, 166, 2, 2, 1, 6, 5, 0, 1, 20, 19, 1, 200, 1, 1, 1, 2, 0, 0];

test('positions are read as the server packs them', () => {
  const changes = [];
  const range = readPositions(new Uint8Array(PACKED).buffer, (...change) => changes.push(change));
  assert.deepEqual(range, {from: 5, to: 20});
  assert.deepEqual(changes, [[7, 1, 3, -3, 'walk'], [7, 3, 10, -10, '…'], [207, 1, 4, -3, 'walk']]);
});

test('positions that are cut off are refused, wherever', () => {
  const whole = new Set([7]);
  for (let size = 0; size < PACKED.length; size++) {
    const read = () => readPositions(new Uint8Array(PACKED.slice(0, size)).buffer, () => {});
    try {
      read();
      whole.add(size);
    } catch (error) {
      assert.match(error.message, /cut off/);
    }
  }
  assert.ok(whole.size <= 4, [...whole].join());  // only between steps
});

test('times of day', () => {
  const clock = new Clock('06:00', 10);
  assert.deepEqual([0, 5, 6, 360, 8639, 8640].map((step) => clock.timeOf(step)), ['06:00', '06:00', '06:01', '07:00', 'day 2, 05:59', 'day 2, 06:00']);
  assert.equal(new Clock('', 10).timeOf(7), 'step 7');
  assert.equal(new Clock('06:00', 0).timeOf(7), 'step 7');
  assert.deepEqual([0.5, 42.4, 185, 7200].map(duration), ['0.50 s', '42 s', '3:05 min', '2.0 h']);
});

test('links say step, agent and call, and nothing that is wrong', () => {
  assert.deepEqual(readLink('#step=12&agent=3&key=a%26b'), {key: 'a&b', step: 12, agent: 3});
  assert.deepEqual(readLink('#step=-1&agent=x&call=99999999999'), {key: ''});
  assert.equal(writeLink({step: 0, agent: 7, call: undefined}), '#step=0&agent=7');
  assert.deepEqual(readLink(writeLink({step: 5, agent: 0, call: 2})), {key: '', step: 5, agent: 0, call: 2});
});

test('a run knows where everybody is, who is there, and what they say', () => {
  const run = makeRun();
  assert.deepEqual(run.stateAt(0, 0), {x: 1, y: 1, status: 'asleep'});
  assert.deepEqual(run.stateAt(0, 6), {x: 1, y: 1, status: 'asleep'});
  assert.deepEqual(run.stateAt(0, 7), {x: 3, y: 1, status: 'walk'});
  assert.equal(run.isPresent(2, 0), false);
  assert.equal(run.isPresent(2, 9), true);
  assert.equal(run.wordsOf(0, 8, 30), 'bye Ben.');
  assert.equal(run.wordsOf(0, 38, 30), '');
  assert.equal(run.cellAt('4,5', 6), undefined);
  assert.equal(run.cellAt('4,5', 8), 'fire');
  assert.deepEqual(run.trailOf(0, 9, 100), [{x: 3, y: 1, step: 7}, {x: 1, y: 1, step: 0}]);
});

test('rows of agents that a run does not have are left out', () => {
  const run = makeRun();
  run.addSteps({to: 20, presence: [[9, 99, 1]], events: [[9, 99, 'say', 'x', null]], cells: []});
  run.setCalls(0, [[1, 99, 0, 'act', 'stop', 1, 0, 1, null, 0, 1, 1]], 20);
  assert.equal(run.calls.length, 0);
});

test('calls of agents that are ahead are replaced by what comes later', () => {
  const run = new Run();
  run.begin({agents: [[0, 'Ada', 0, 0, '']], manifest: {steps: '10'}, steps: 5}, null);
  const call = (step) => [step, 0, 0, 'act', 'stop', 1, 0, 1, null, step, step + 1, 1];
  run.setCalls(0, [call(1), call(8)], 5);
  run.setCalls(5, [call(6), call(8)], 7);
  assert.deepEqual(run.calls.map(({step}) => step), [1, 6, 8]);
});

test('a log has what was heard, and lines of a talk alternate', () => {
  const run = makeRun();
  assert.deepEqual(logOf(run, 1).map(({kind, who, text}) => [kind, who, text]), [
    ['hear', 'Ada', 'to Ben: hello Ben.'], ['say', 'Ben', 'to Ada: hello Ada.'], ['hear', 'Ada', 'to Ben: bye Ben.'], ['reflect', '', 'Ada is kind.']]);
  assert.deepEqual(logOf(run, 2), []);  // far away
  assert.deepEqual(relationsOf(logOf(run, 1), 1, 20), [{place: 0, lines: 2, step: 8}]);
  assert.deepEqual(relationsOf(logOf(run, 1), 1, 7), []);
});

test('on a network, those hear who read the speaker', () => {
  const run = new Run();
  run.begin({agents: [0, 1, 2].map((id) => [id, `n${id}`, id, 0, '']), manifest: {steps: '5'}, steps: 5}, {follows: [[1], [], []]});
  run.addSteps({to: 5, presence: [], events: [[1, 1, 'say', 'news', null]], cells: []});
  assert.equal(logOf(run, 0).length, 1);
  assert.equal(logOf(run, 2).length, 0);
});

test('the last of a list up to a step', () => {
  const list = [1, 4, 4, 9].map((step, index) => ({step, index}));
  assert.equal(lastUpTo(list, 0), undefined);
  assert.equal(lastUpTo(list, 4).index, 2);
  assert.equal(lastUpTo([], 4), undefined);
});
