// How the viewer brings a run from a server, without one.

import assert from 'node:assert/strict';
import {test} from 'node:test';

import {useKey} from '../../web/viewer/state/api.js';
import {Loader} from '../../web/viewer/state/loader.js';
import {Run} from '../../web/viewer/state/run.js';
import {packPositions} from './runs.mjs';

const STEPS = 2500;
const INFO = {agents: [[0, 'Ada', 0, 0, '']], manifest: {steps: String(STEPS)}, steps: STEPS, answers: 0};

// What a server answers by its address; `asked` gets [name, fields, headers] of each request.
function serve(replies, asked) {
  globalThis.fetch = async (path, {headers}) => {
    const url = new URL(path, 'http://server/'), fields = Object.fromEntries(url.searchParams), name = url.pathname.split('/').pop();
    asked.push([name, fields, headers]);
    const body = replies[name](fields);
    if (body instanceof Error) throw body;
    return body instanceof ArrayBuffer ? new Response(body) : Response.json(body.json ?? body, {status: body.status ?? 200});
  };
}

const GOOD = {
  run: () => INFO,
  map: () => ({status: 404, json: {error: 'there is no map'}}),
  positions: ({from, to}) => packPositions(Number(from), Number(to), [[Number(from), 0, Number(to), 0, 'walk']]),
  steps: ({from, to}) => ({from: Number(from), to: Number(to), presence: [], cells: [], events: [[Number(from), 0, 'go', 'on', null]]}),
  calls: ({from}) => ({calls: [[Number(from), 0, 0, 'act', 'stop', 1, 0, 1, null, 0, 1, 1]], guesses: [[Number(from), 0, 0, 'act', 0, 1, 1, 0]]}),
  progress: ({from}) => ({progress: [[1, 0.5, [0, 1200]], [1, 1, [0, 2500]]].slice(Number(from), Number(from) + 1)}),
};

test('a run comes in ranges of a thousand steps, each once', async () => {
  const asked = [], run = new Run(1);
  serve(GOOD, asked);
  let changes = 0;
  const loader = new Loader(run, {changed: () => changes++, said() {}});
  await loader.begin();
  assert.equal(run.map, null);
  await loader.follow();
  assert.ok(run.isComplete);
  for (const name of ['positions', 'steps']) {
    assert.deepEqual(asked.filter(([one]) => one === name).map(([, {from, to}]) => [from, to]), [['0', '1000'], ['1000', '2000'], ['2000', '2500']]);
  }
  assert.ok(asked.every(([, fields]) => fields.run === '1'));
  assert.deepEqual([0, 1000, 2499].map((step) => run.stateAt(0, step).x), [1000, 2000, 2500]);
  assert.deepEqual([run.events.length, run.calls.length, run.guesses.length], [3, 3, 3]);
  assert.deepEqual(run.progress, [[1, 0.5, [0, 1200]], [1, 1, [0, 2500]]]);
  assert.equal(changes, 11);
});

test('what a server cannot give for now is asked for again', async () => {
  const asked = [], said = [], run = new Run();
  let failures = 0;
  const busy = {status: 503, json: {error: 'try again'}};
  serve({...GOOD, steps: (fields) => failures++ === 0 ? busy : GOOD.steps(fields), run: () => failures === 0 && asked.length === 1 ? new TypeError('no network') : INFO}, asked);
  const loader = new Loader(run, {changed() {}, said: (error) => said.push(error?.message ?? null)});
  await loader.begin();
  await loader.follow();
  assert.ok(run.isComplete);
  assert.deepEqual(said.filter((text) => text !== null), ['The server does not answer.', 'try again']);
  assert.equal(said.at(-1), null);
});

test('what it refuses is not asked for again', async () => {
  const asked = [];
  serve({...GOOD, run: () => ({status: 403, json: {error: 'not for you'}})}, asked);
  await assert.rejects(new Loader(new Run(), {changed() {}, said() {}}).begin(), (error) => error.status === 403 && error.message === 'not for you');
  assert.equal(asked.filter(([name]) => name === 'run').length, 1);
});

test('a key is asked for until the server takes it, also in the middle of a run', async () => {
  const asked = [], run = new Run(), keys = ['wrong', 'sesame', 'other'];
  let wanted = 'Bearer sesame';
  serve({...GOOD, calls: (fields) => {
    if (Number(fields.from) > 0) wanted = 'Bearer other';  // another server has taken over
    return GOOD.calls(fields);
  }}, asked);
  const answer = globalThis.fetch;
  globalThis.fetch = async (path, options) => options.headers.Authorization === wanted ? answer(path, options) : Response.json({error: 'no'}, {status: 401});
  let asking = null;
  const askKey = () => asking ??= Promise.resolve().then(() => { useKey(keys.shift()); asking = null; });
  const loader = new Loader(run, {changed() {}, said() {}, askKey});
  await loader.begin();
  assert.deepEqual(keys, ['other']);
  await loader.follow();
  assert.ok(run.isComplete);
  assert.deepEqual([keys, asked.at(-1)[2].Authorization], [[], 'Bearer other']);
  useKey('');
});
