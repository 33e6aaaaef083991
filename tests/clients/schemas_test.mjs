// Every answer that is held to a JSON schema and ends by itself is valid by ajv, at a temperature that makes the model that comes with
// the program write anything.
//
//   (cd tests/clients && npm install --no-package-lock) && node tests/clients/schemas_test.mjs THRONG [SEED]
//
// Without the packages the test is skipped (exit status 77).

import assert from 'node:assert/strict';
import { SCHEMAS, zodSchemas } from './schemas.mjs';
import { modules, run } from './server.mjs';

const [{ default: Ajv }, { default: Ajv2020 }, { default: addFormats }, { z }] =
  await modules('ajv', 'ajv/dist/2020.js', 'ajv-formats', 'zod');

const FIRST_SEED = Number(process.argv[3] ?? 1);
const TEMPERATURES = [0.7, 2, 5];
const CHOICES = 8;  // of each temperature

// strict: unknown words are annotations here. multipleOfPrecision: 0.07 is a multiple of 0.01, as decimals.
function validatorOf(schema) {
  const isOld = /draft-0[67]/.test(schema.$schema ?? '');
  const ajv = new (isOld ? Ajv : Ajv2020)({ strict: false, logger: false, allErrors: true, multipleOfPrecision: 9 });
  addFormats(ajv);
  return ajv.compile(schema);
}

async function answersTo(host, schema, temperature, seed) {
  const response = await fetch(`${host}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'm', messages: [{ role: 'user', content: 'Say anything.' }], temperature, seed, n: CHOICES, max_tokens: 600,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } },
    }),
  });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.choices.map((choice) => ({ text: choice.message.content, isWhole: choice.finish_reason === 'stop' }));
}

let all = 0;
let whole = 0;

async function judge(host, schema) {
  const validate = validatorOf(schema);
  let ended = 0;
  for (const [i, temperature] of TEMPERATURES.entries()) {
    for (const { text, isWhole } of await answersTo(host, schema, temperature, FIRST_SEED + 1000 * i)) {
      ++all;
      if (!isWhole) continue;  // a string or a list without a limit went on: the tokens did not suffice
      ++ended;
      assert.ok(validate(JSON.parse(text)), `temperature ${temperature}: ${text}: ${JSON.stringify(validate.errors)}`);
    }
  }
  whole += ended;
  assert.ok(ended > 0, 'no answer has ended');
}

const tests = {};
for (const [name, schema] of Object.entries({ ...SCHEMAS, ...zodSchemas(z) })) tests[name] = ({ host }) => judge(host, schema);
tests['most answers end'] = async () => {
  console.log(`${whole} of ${all} answers ended and are valid`);
  assert.ok(whole > 0.8 * all);
};

await run(tests, (host) => ({ host }));
