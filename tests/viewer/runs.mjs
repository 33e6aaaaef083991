// Runs for tests.

import {Run} from '../../web/viewer/state/run.js';

function addNumber(bytes, number) {
  for (; number >= 128; number = Math.floor(number / 128)) bytes.push(number % 128 + 128);
  bytes.push(number);
}

// One change per step: [step, agent, x, y, status].
export function packPositions(from, to, changes) {
  const bytes = [], last = new Map();
  addNumber(bytes, from);
  addNumber(bytes, to);
  addNumber(bytes, changes.length);
  for (const [, , , , status] of changes) {
    const text = new TextEncoder().encode(status);
    addNumber(bytes, text.length);
    bytes.push(...text);
  }
  let step = from;
  changes.forEach(([at, agent, x, y], index) => {
    const [lastX, lastY] = last.get(agent) ?? [0, 0];
    const zigzag = (number) => number < 0 ? -2 * number - 1 : 2 * number;
    for (const number of [at - step, 1, agent, zigzag(x - lastX), zigzag(y - lastY), index]) addNumber(bytes, number);
    last.set(agent, [x, y]);
    step = at;
  });
  return new Uint8Array(bytes).buffer;
}

// Ada walks to Ben and talks with him in step 8; Cleo comes later, and is far away.
export function makeRun() {
  const run = new Run();
  const agents = [[10, 'Ada', 1, 1, 'asleep'], [11, 'Ben', 4, 2, 'asleep'], [12, 'Cleo', 90, 90, '']];
  run.begin({agents, manifest: {steps: '20', start: '06:00', seconds_per_step: '10'}, steps: 20}, null);
  run.addPositions(packPositions(0, 20, [[7, 10, 3, 1, 'walk']]));
  run.addSteps({to: 20, presence: [[0, 12, 0], [9, 12, 1]], cells: [[8, 4, 5, 'fire']], events: [
    [8, 10, 'talk', 'with Ben', 0], [8, 10, 'say', 'to Ben: hello Ben.', 0], [8, 10, 'say', 'to Ben: bye Ben.', 1],
    [8, 11, 'say', 'to Ada: hello Ada.', 0], [9, 11, 'reflect', 'Ada is kind.', 0]]});
  const call = (step, agent, issued, arrived, session = 1) => [step, agent, 0, 'act', 'stop', 10, 0, 5, null, issued, arrived, session];
  run.setCalls(0, [call(0, 10, 100, 101), call(0, 11, 100, 104), call(8, 10, 102, 103), call(12, 11, 5, 7, 2)], 20);
  return run;
}
