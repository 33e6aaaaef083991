// What the tests of clients have in common: packages that may be missing, a server, and a list of tests.

import { spawn } from 'node:child_process';

const SKIPPED = 77;

// The modules of these names; without one of them, the test is skipped.
export async function modules(...names) {
  try {
    return await Promise.all(names.map((name) => import(name)));
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.log(`SKIPPED: ${error.message}; run npm install in tests/clients`);
    process.exit(SKIPPED);
  }
}

// A server with the model that comes with the program, and its address, once it listens.
function start(program) {
  const server = spawn(program, ['serve', '--port', '0', '--threads', '2'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const address = new Promise((resolve, reject) => {
    let log = '';
    server.stderr.on('data', (text) => {
      log += text;
      const found = / at (http:\S+)/.exec(log);
      if (found) resolve(new URL(found[1]).origin);
    });
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  return { server, address };
}

// Runs each of {name: async (clients) => ...} with what clientsOf(address) makes, and ends the process.
export async function run(tests, clientsOf) {
  const { server, address } = start(process.argv[2]);
  let failed = 0;
  try {
    const clients = clientsOf(await address);
    for (const [name, test] of Object.entries(tests)) {
      try {
        await test(clients);
        console.log(`ok: ${name}`);
      } catch (error) {
        ++failed;
        console.log(`FAILED: ${name}: ${error.stack}`);
      }
    }
  } finally {
    server.removeAllListeners('exit');
    server.kill();
  }
  process.exit(failed ? 1 : 0);
}
