// What the page asks of the server: its model, and answers as they are written.

// What went wrong, as a sentence for people. status: of HTTP; 0 if there was no reply.
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const NO_KEY = 401;

async function ask(path, key, options = {}) {
  const headers = {...options.headers};
  if (key) headers.Authorization = `Bearer ${key}`;
  let reply;
  try {
    reply = await fetch(path, {...options, headers});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure('The server cannot be reached. Is it still running?');
  }
  if (reply.ok) return reply;
  if (reply.status === NO_KEY) throw new Failure('The server wants an API key, or another one: enter it in the settings.', NO_KEY);
  const body = await reply.json().catch(() => null);
  throw new Failure(body?.error?.message ?? `The server answered with status ${reply.status}.`, reply.status);
}

export const wantsKey = (error) => error.status === NO_KEY;

export async function modelName(key) {
  const body = await (await ask('v1/models', key)).json();
  return body.data[0].id;
}

// The events of a stream, parsed, up to [DONE]. Fails if the stream ends before that.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Failure('The connection was lost while the model answered.');
    }
    if (piece.done) throw new Failure('The connection was closed while the model answered.');
    text += piece.value;
    const events = text.split('\n\n');
    text = events.pop();
    for (const event of events) {
      if (event.startsWith(':')) continue;  // a comment: the server is still there
      const data = event.replace(/^data: /, '');
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
}

// Yields {thought, text, finish}, each what is new, if anything.
export async function* answer(request, key, signal) {
  const reply = await ask('v1/chat/completions', key, {
    method: 'POST', signal, headers: {'Content-Type': 'application/json'}, body: JSON.stringify({...request, stream: true}),
  });
  for await (const event of eventsOf(reply.body)) {
    if (event.error) throw new Failure(event.error.message);
    for (const {delta, finish_reason} of event.choices) {
      yield {thought: delta.reasoning_content ?? '', text: delta.content ?? '', finish: finish_reason};
    }
  }
}
