// The server's side of a run.

let key = '';

export function useKey(text) { key = text; }

// An error has the status of the reply; 0: there was none.
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
  get wantsKey() { return this.status === 401; }
}

async function ask(path, options = {}) {
  const headers = key ? {Authorization: `Bearer ${key}`} : {};
  let reply;
  try {
    reply = await fetch(path, {...options, headers});
  } catch {
    throw new ApiError('The server does not answer.', 0);
  }
  if (reply.ok) return reply;
  const body = await reply.json().catch(() => null);
  throw new ApiError(body?.error ?? `The server answered with status ${reply.status}.`, reply.status);
}

function pathOf(name, fields) { return `api/${name}?${new URLSearchParams(fields)}`; }

export async function getJson(name, fields = {}) { return (await ask(pathOf(name, fields))).json(); }
export async function getBytes(name, fields = {}) { return (await ask(pathOf(name, fields))).arrayBuffer(); }
export async function post(name, fields, body) {
  return (await ask(pathOf(name, fields), {method: 'POST', body: JSON.stringify(body)})).json();
}
