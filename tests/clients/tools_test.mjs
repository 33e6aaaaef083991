// Tools through other people's clients and agents, against `throng serve` with the model that comes with the program. Its words are
// its own, but what must be a call is one: the first turn requires a call, the next ones have its result.
//
//   (cd tests/clients && npm install --no-package-lock) && node tests/clients/tools_test.mjs THRONG
//
// Without the packages the test is skipped (exit status 77).

import assert from 'node:assert/strict';
import { modules, run } from './server.mjs';

const [{ default: OpenAI }, { Ollama }, ai, { createOpenAICompatible }, { createOpenAI }, { z }, { z: z3 }, chatOpenAI, messages, langchain, langgraph, agents,
  llamaindex, { agent: llamaAgent }, { tool: llamaTool }, mastra, mastraTools, { default: Instructor }] = await modules(
  'openai', 'ollama', 'ai', '@ai-sdk/openai-compatible', '@ai-sdk/openai', 'zod', 'zod/v3', '@langchain/openai', '@langchain/core/messages', '@langchain/core/tools',
  '@langchain/langgraph/prebuilt', '@openai/agents', '@llamaindex/openai', '@llamaindex/workflow', 'llamaindex', '@mastra/core/agent',
  '@mastra/core/tools', '@instructor-ai/instructor');

const PLACES = ['park', 'pub'];
const PARAMETERS = { type: 'object', properties: { place: { enum: PLACES } }, required: ['place'], additionalProperties: false };
const GO = { type: 'function', function: { name: 'go', description: 'Goes somewhere.', parameters: PARAMETERS, strict: true } };
const ASKED = { role: 'user', content: 'Where do you go?' };
const INPUT = z.object({ place: z.enum(PLACES) });
const INPUT3 = z3.object({ place: z3.enum(PLACES) });

function checkCall(call) {
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'go');
  assert.ok(PLACES.includes(JSON.parse(call.function.arguments).place));
}

// A tool that counts how often it is called.
function counted() {
  const calls = [];
  return { calls, go: ({ place }) => { assert.ok(PLACES.includes(place)); calls.push(place); return `You are at the ${place}.`; } };
}

async function loopOfAi(model, providerOptions) {
  const { calls, go } = counted();
  const asked = {
    model, providerOptions, prompt: ASKED.content, maxOutputTokens: 120, stopWhen: ai.stepCountIs(2),
    tools: { go: ai.tool({ description: 'Goes somewhere.', inputSchema: INPUT, execute: async (input) => go(input) }) },
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
  };
  const whole = await ai.generateText(asked);
  assert.equal(whole.steps.length, 2);
  assert.equal(whole.steps[0].finishReason, 'tool-calls');
  assert.ok(calls.length >= 1 && whole.text.length > 0);
  const streamed = ai.streamText(asked);
  let text = '';
  for await (const part of streamed.textStream) text += part;
  assert.equal((await streamed.steps).length, 2);
  assert.equal(await streamed.text, text);
  const user = { role: 'user', content: ASKED.content };
  const next = await ai.generateText({ model, messages: [user, ...whole.response.messages, user], tools: asked.tools, toolChoice: 'none', maxOutputTokens: 20 });
  assert.ok(next.text.length > 0);
}

const tests = {
  async 'openai: a call and its result'({ openai }) {
    const asked = { model: 'm', messages: [ASKED], tools: [GO], seed: 3 };
    const first = await openai.chat.completions.create({ ...asked, tool_choice: 'required', parallel_tool_calls: false });
    const [{ message, finish_reason }] = first.choices;
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.content, null);
    assert.equal(message.tool_calls.length, 1);
    checkCall(message.tool_calls[0]);
    const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'You are there.' };
    const second = await openai.chat.completions.create({ ...asked, messages: [ASKED, message, result], tool_choice: 'none', max_tokens: 20 });
    assert.equal(typeof second.choices[0].message.content, 'string');
    assert.equal(second.choices[0].message.tool_calls, undefined);
  },

  async 'openai: streams and their helpers'({ openai }) {
    const asked = { model: 'm', messages: [ASKED], tools: [GO], seed: 3, parallel_tool_calls: false };
    const named = { ...asked, tool_choice: { type: 'function', function: { name: 'go' } } };
    const runner = openai.chat.completions.stream(named);
    const whole = await openai.chat.completions.create(named);
    const streamed = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
    assert.equal(streamed[0].function.arguments, whole.choices[0].message.tool_calls[0].function.arguments);
    const { calls, go } = counted();
    const tools = [{ type: 'function', function: { ...GO.function, function: go, parse: JSON.parse } }];
    await openai.chat.completions.runTools({ ...named, tools }).finalFunctionToolCallResult();
    assert.equal(calls.length, 1);
    const parsed = await openai.chat.completions.parse({ ...asked, tool_choice: 'required' });
    assert.ok(PLACES.includes(parsed.choices[0].message.tool_calls[0].function.parsed_arguments.place));
  },

  async 'openai: responses'({ openai }) {
    const tools = [{ type: 'function', ...GO.function }];
    const first = await openai.responses.create({ model: 'm', input: 'Where?', tools, tool_choice: 'required', parallel_tool_calls: false });
    const call = first.output.find((item) => item.type === 'function_call');
    assert.ok(PLACES.includes(JSON.parse(call.arguments).place));
    const output = { type: 'function_call_output', call_id: call.call_id, output: 'You are there.' };
    const next = { model: 'm', tools, tool_choice: 'none', max_output_tokens: 20 };
    const second = await openai.responses.create({ ...next, previous_response_id: first.id, input: [output] });
    assert.equal(second.output[0].type, 'message');
    const again = openai.responses.stream({ ...next, input: [{ role: 'user', content: 'Where?' }, ...first.output, output] });
    assert.equal((await again.finalResponse()).output[0].type, 'message');
    const stream = openai.responses.stream({ model: 'm', input: 'Where?', tools, tool_choice: { type: 'function', name: 'go' } });
    let told = '';
    stream.on('response.function_call_arguments.delta', (event) => { if (event.output_index === 0) told += event.delta; });
    const last = await stream.finalResponse();
    assert.equal(told, last.output[0].arguments);
  },

  async ollama({ ollama }) {
    const asked = { model: 'm', messages: [ASKED], tools: [GO], options: { seed: 3, num_predict: 40 } };
    const free = await ollama.chat(asked);  // it may call or not
    for (const call of free.message.tool_calls ?? []) assert.ok(PLACES.includes(call.function.arguments.place));
    const call = { function: { name: 'go', arguments: { place: 'pub' } } };
    const history = [ASKED, { role: 'assistant', content: '', tool_calls: [call] }, { role: 'tool', tool_name: 'go', content: 'You are there.' }];
    let text = '';
    for await (const part of await ollama.chat({ ...asked, messages: history, stream: true })) text += part.message.content;
    assert.ok(text.length > 0);
  },

  async 'ai: a loop with a tool, whole and streamed'({ provider, responses }) {
    await loopOfAi(provider('m'), { throng: { parallel_tool_calls: false } });
    await loopOfAi(responses('m'), { openai: { parallelToolCalls: false } });  // sends what it had before as references
  },

  async 'LangChain: a bound tool, whole and streamed'({ host }) {
    const model = chatModel(host).bindTools([GO], { tool_choice: 'required', parallel_tool_calls: false });
    const answer = await model.invoke(ASKED.content);
    assert.ok(PLACES.includes(answer.tool_calls[0].args.place));
    let streamed;
    for await (const chunk of await model.stream(ASKED.content)) streamed = streamed === undefined ? chunk : streamed.concat(chunk);
    assert.equal(streamed.tool_calls[0].name, 'go');
    const result = new messages.ToolMessage({ tool_call_id: answer.tool_calls[0].id, content: 'You are there.' });
    const text = await chatModel(host).invoke([new messages.HumanMessage(ASKED.content), answer, result]);
    assert.equal(typeof text.content, 'string');
    const structured = await chatModel(host).withStructuredOutput(INPUT, { method: 'functionCalling' }).invoke(ASKED.content);
    assert.ok(PLACES.includes(structured.place));
  },

  async 'LangGraph: an agent with a tool'({ host }) {
    const { calls, go } = counted();
    const tools = [langchain.tool(go, { name: 'go', description: 'Goes somewhere.', schema: INPUT })];
    const llm = ({ messages: so_far }) => chatModel(host).bindTools(tools, { tool_choice: so_far.length === 1 ? 'required' : 'none' });
    const agent = langgraph.createReactAgent({ llm, tools });
    const state = await agent.invoke({ messages: [ASKED] });
    assert.ok(calls.length >= 1);
    assert.equal(state.messages.at(-1).getType(), 'ai');
  },

  async '@openai/agents: a tool and a handoff, by chats and by responses'({ openai }) {
    agents.setTracingDisabled(true);
    agents.setDefaultOpenAIClient(openai);
    for (const api of ['chat_completions', 'responses']) {
      agents.setOpenAIAPI(api);
      const { calls, go } = counted();
      const tool = agents.tool({ name: 'go', description: 'Goes somewhere.', parameters: INPUT, execute: async (input) => go(input) });
      const settings = { toolChoice: 'required', parallelToolCalls: false, maxTokens: 200 };
      const walker = new agents.Agent({ name: 'walker', instructions: 'Walk.', tools: [tool], modelSettings: settings, model: 'm', toolUseBehavior: 'stop_on_first_tool' });
      const guide = new agents.Agent({ name: 'guide', instructions: 'Ask.', handoffs: [walker], modelSettings: settings, model: 'm' });
      const result = await agents.run(guide, ASKED.content);
      assert.equal(result.lastAgent.name, 'walker');
      assert.equal(calls.length, 1);
      assert.equal(result.finalOutput, `You are at the ${calls[0]}.`);
    }
  },

  async 'LlamaIndex: a tool, and an agent'({ host }) {
    const { calls, go } = counted();
    const tool = llamaTool({ name: 'go', description: 'Goes somewhere.', parameters: INPUT, execute: go });
    const llm = (choice) => new llamaindex.OpenAI({
      model: 'm', apiKey: 'none', baseURL: `${host}/v1`, maxTokens: 60, temperature: 1, additionalChatOptions: { tool_choice: choice },
    });
    const first = await llm('required').exec({ messages: [ASKED], tools: [tool] });
    assert.ok(calls.length >= 1 && first.toolCalls.length === calls.length);
    const second = await llm('none').exec({ messages: [ASKED, ...first.newMessages], tools: [tool] });
    assert.equal(second.toolCalls.length, 0);
    const agent = llamaAgent({ llm: llm('none'), tools: [tool] });
    assert.equal(typeof (await agent.run(ASKED.content)).data.result, 'string');
  },

  async 'Mastra: an agent with a tool'({ host }) {
    const { calls, go } = counted();
    const tool = mastraTools.createTool({ id: 'go', description: 'Goes somewhere.', inputSchema: INPUT, execute: async ({ context }) => go(context) });
    const agent = new mastra.Agent({ name: 'walker', instructions: 'Walk.', model: { id: 'throng/m', url: `${host}/v1`, apiKey: 'none' }, tools: { go: tool } });
    const answer = await agent.generate(ASKED.content, {
      toolChoice: 'required', maxSteps: 2, modelSettings: { maxOutputTokens: 60 },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
    });
    assert.ok(calls.length >= 1);
    assert.equal(typeof answer.text, 'string');
  },

  async 'Instructor: an object as a call'({ openai }) {
    const client = Instructor({ client: openai, mode: 'TOOLS' });
    const asked = { model: 'm', messages: [ASKED], response_model: { schema: INPUT3, name: 'Go' } };
    assert.ok(PLACES.includes((await client.chat.completions.create(asked)).place));
  },
};

function chatModel(host) {
  return new chatOpenAI.ChatOpenAI({ model: 'm', apiKey: 'none', configuration: { baseURL: `${host}/v1` }, maxTokens: 60, maxRetries: 0 });
}

await run(tests, (host) => ({
  host,
  openai: new OpenAI({ baseURL: `${host}/v1`, apiKey: 'none', maxRetries: 0 }),
  ollama: new Ollama({ host }),
  provider: createOpenAICompatible({ name: 'throng', baseURL: `${host}/v1`, includeUsage: true, supportsStructuredOutputs: true }),
  responses: createOpenAI({ baseURL: `${host}/v1`, apiKey: 'none' }),
}));
