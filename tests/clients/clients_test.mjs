// Other people's clients of OpenAI's and Ollama's APIs, against `throng serve` with the model that comes with the program.
//
//   (cd tests/clients && npm install --no-package-lock) && node tests/clients/clients_test.mjs THRONG
//
// Without the packages the test is skipped (exit status 77).

import assert from 'node:assert/strict';
import { modules, run } from './server.mjs';

const MESSAGES = [{ role: 'user', content: 'Where do you go?' }];
const SCHEMA = { type: 'object', properties: { place: { enum: ['park', 'pub'] } }, required: ['place'], additionalProperties: false };

const tests = {
  async 'openai: models'({ openai }) {
    const models = await openai.models.list();
    assert.equal(models.data.length, 1);
    const { id } = models.data[0];
    assert.equal((await openai.models.retrieve(id)).id, id);
    await assert.rejects(openai.models.retrieve('gpt-0'), { status: 404, code: 'model_not_found' });
  },

  async 'openai: chats, whole and streamed'({ openai }) {
    const asked = { model: 'm', messages: MESSAGES, seed: 3, max_tokens: 24, n: 2, logprobs: true, top_logprobs: 2 };
    const whole = await openai.chat.completions.create(asked);
    assert.equal(whole.choices.length, 2);
    const texts = ['', ''];
    const tokens = [0, 0];
    let usage = null;
    const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      for (const choice of chunk.choices) {
        texts[choice.index] += choice.delta.content ?? '';
        tokens[choice.index] += choice.logprobs?.content.length ?? 0;
      }
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual(texts, whole.choices.map((choice) => choice.message.content));
    assert.deepEqual(tokens, whole.choices.map((choice) => choice.logprobs.content.length));
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
    assert.equal(whole.choices[0].logprobs.content[0].top_logprobs.length, 2);
  },

  async 'openai: the helper for streams, and schemas'({ openai }) {
    const runner = openai.chat.completions.stream({ model: 'm', messages: MESSAGES, seed: 3, max_tokens: 12 });
    const text = await runner.finalContent();
    assert.ok(text.length > 0);
    const answer = await openai.chat.completions.parse({
      model: 'm', messages: MESSAGES, response_format: { type: 'json_schema', json_schema: { name: 'go', strict: true, schema: SCHEMA } },
    });
    assert.ok(['park', 'pub'].includes(answer.choices[0].message.parsed.place));
  },

  async 'openai: texts'({ openai }) {
    const texts = await openai.completions.create({
      model: 'm', prompt: ['The park', 'The pub'], max_tokens: 0, echo: true, logprobs: 1,
    });
    assert.deepEqual(texts.choices.map((choice) => choice.text), ['The park', 'The pub']);
    assert.equal(texts.choices[0].logprobs.token_logprobs[0], null);
  },

  async 'openai: embeddings'({ openai }) {
    const asked = { model: 'm', input: ['a park', 'a pub'] };  // the client asks for base64
    const embedded = await openai.embeddings.create(asked);
    const plain = await openai.embeddings.create({ ...asked, encoding_format: 'float' });
    for (const i of [0, 1]) {
      assert.equal(embedded.data[i].embedding.length, plain.data[i].embedding.length);
      embedded.data[i].embedding.forEach((x, d) => assert.equal(Math.fround(x), Math.fround(plain.data[i].embedding[d])));
    }
  },

  async 'openai: responses'({ openai }) {
    const first = await openai.responses.create({ model: 'm', input: 'Hello', instructions: 'Be brief.', max_output_tokens: 16 });
    assert.equal(first.output_text, first.output[0].content[0].text);
    const runner = openai.responses.stream({ model: 'm', input: 'And now?', previous_response_id: first.id, max_output_tokens: 16 });
    let streamed = '';
    runner.on('response.output_text.delta', (event) => { streamed += event.delta; });
    const second = await runner.finalResponse();
    assert.equal(streamed, second.output[0].content[0].text);
    assert.equal((await openai.responses.retrieve(second.id)).output_text, streamed);
    await openai.responses.delete(second.id);
    await assert.rejects(openai.responses.retrieve(second.id), { status: 404 });
  },

  async 'openai: errors'({ openai }) {
    await assert.rejects(openai.chat.completions.create({ model: 'm', messages: MESSAGES, guided_jsn: {} }),
      { status: 400, param: 'guided_jsn', code: 'unknown_parameter' });
    await assert.rejects(openai.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'x '.repeat(100000) }] }),
      { status: 400, code: 'context_length_exceeded' });
  },

  async ollama({ ollama }) {
    const asked = { model: 'm', messages: MESSAGES, options: { seed: 3, num_predict: 20 } };
    const whole = await ollama.chat(asked);
    let streamed = '';
    for await (const part of await ollama.chat({ ...asked, stream: true })) streamed += part.message.content;
    assert.equal(streamed, whole.message.content);
    const written = await ollama.generate({ model: 'm', prompt: 'Hello', options: { num_predict: 8 } });
    assert.ok(written.done && written.eval_count > 0);
    const answer = await ollama.chat({ model: 'm', messages: MESSAGES, format: SCHEMA });
    assert.ok(['park', 'pub'].includes(JSON.parse(answer.message.content).place));
    const { models } = await ollama.list();
    assert.equal(models.length, 1);
    assert.ok((await ollama.show({ model: models[0].name })).capabilities.includes('tools'));
    assert.deepEqual((await ollama.ps()).models.map(({ name }) => name), [models[0].name]);
    assert.equal((await ollama.generate({ model: 'm', keep_alive: -1 })).done_reason, 'load');
    assert.equal((await ollama.chat({ model: 'm' })).done_reason, 'load');
    const { embeddings } = await ollama.embed({ model: 'm', input: ['a park', 'a pub'] });
    assert.deepEqual((await ollama.embeddings({ model: 'm', prompt: 'a pub' })).embedding, embeddings[1]);
    await assert.rejects(ollama.chat({ ...asked, options: { mirostat: 2 } }), { status_code: 400, message: /^options\.mirostat: / });
    await assert.rejects(ollama.chat({ ...asked, stream: true, options: { mirostat: 2 } }), { status_code: 400, message: /^options\.mirostat: / });
    await assert.rejects(ollama.pull({ model: 'm' }), { status_code: 404, message: /^POST \/api\/pull: / });
  },

  async 'ai, with an OpenAI-compatible provider'({ ai, provider }) {
    const asked = { model: provider('m'), prompt: 'Where do you go?', seed: 3, maxOutputTokens: 20, temperature: 0.5 };
    const whole = await ai.generateText(asked);
    const streamed = ai.streamText(asked);
    let text = '';
    for await (const part of streamed.textStream) text += part;
    assert.equal(text, whole.text);
    assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);
    const { embeddings } = await ai.embedMany({ model: provider.embeddingModel('m'), values: ['a park', 'a pub'] });
    assert.equal(embeddings.length, 2);
    const { object } = await ai.generateObject({ model: provider('m'), schema: ai.jsonSchema(SCHEMA), prompt: 'Where?' });
    assert.ok(['park', 'pub'].includes(object.place));
  },
};

const [{ default: OpenAI }, { Ollama }, ai, { createOpenAICompatible }] = await modules('openai', 'ollama', 'ai', '@ai-sdk/openai-compatible');
await run(tests, (host) => ({
  openai: new OpenAI({ baseURL: `${host}/v1`, apiKey: 'none', maxRetries: 0 }),
  ollama: new Ollama({ host }),
  ai,
  provider: createOpenAICompatible({ name: 'throng', baseURL: `${host}/v1`, includeUsage: true, supportsStructuredOutputs: true }),
}));
