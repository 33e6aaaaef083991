// Renders what standard input asks for, as src/jinja/testing/render_lines.cc does, with npm's @huggingface/jinja of tests/clients.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const { Template } = createRequire(new URL('clients/', import.meta.url))('@huggingface/jinja');

// Its clock, which templates ask for the date, stands still.
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [2024, 6, 26, 13, 5, 9]));
  }
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { template, variables } = JSON.parse(line);
  let result;
  try {
    result = { text: new Template(template).render(variables) };
  } catch (error) {
    result = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(JSON.stringify(result) + '\n');
}
