// A conversation with the model of this server.

import {answer, modelName, wantsKey} from './api.js';
import {show} from './markdown.js';

const NEAR_END = 80;  // pixels: whoever is that near to the end of the conversation follows it
const KEPT = ['system', 'temperature', 'max_tokens'];  // settings that stay; the key goes with the tab
const CHAT = 'throng.chat';  // the conversation, which is there again after a reload and goes with the tab
const $ = (id) => document.getElementById(id);

const turns = [];    // {role, content, item}; item: its element
let running = null;  // the AbortController of the answer that is being written

function addTurn(role, content) {
  const item = document.createElement('li');
  item.className = role;
  const who = document.createElement('h2');
  who.textContent = role === 'user' ? 'You' : 'Model';
  const text = document.createElement('div');
  text.className = 'text';
  text.textContent = content;
  item.append(who, text);
  $('log').append(item);
  const turn = {role, content, item};
  turns.push(turn);
  return turn;
}

function dropLast() { turns.pop().item.remove(); }

function note(turn, text) {
  const line = document.createElement('p');
  line.className = 'note';
  line.textContent = text;
  turn.item.append(line);
}

function showThought(turn) {
  if (!turn.thoughtBox) {
    turn.thoughtBox = document.createElement('details');
    turn.thoughtBox.className = 'thought';
    turn.thoughtBox.append(document.createElement('summary'), document.createElement('div'));
    turn.item.querySelector('.text').before(turn.thoughtBox);
  }
  const isThinking = running !== null && turn === turns.at(-1) && !turn.content;
  turn.thoughtBox.firstChild.textContent = isThinking ? 'Thinking\u2026' : 'Thoughts';
  turn.thoughtBox.lastChild.textContent = turn.thought.trim();
}

function showTurn(turn) {
  const follows = $('scroll').scrollHeight - $('scroll').scrollTop - $('scroll').clientHeight < NEAR_END;
  if (turn.thought) showThought(turn);
  show(turn.item.querySelector('.text'), turn.content);
  if (follows) $('scroll').scrollTop = $('scroll').scrollHeight;
}

function showState() {
  const isRunning = running !== null;
  $('send').hidden = isRunning;
  $('stop').hidden = !isRunning;
  $('regenerate').hidden = isRunning || turns.length === 0;
  $('fresh').disabled = turns.length === 0;
}

function say(words) { $('status').textContent = words; }

function fail(error) {
  $('error').textContent = error.message;
  say('');
  if (wantsKey(error)) openSettings('key');
}

function requestOf() {
  const messages = turns.map(({role, content}) => ({role, content}));
  if ($('system').value.trim()) messages.unshift({role: 'system', content: $('system').value});
  const request = {messages};
  for (const name of ['temperature', 'max_tokens']) {
    if ($(name).value !== '') request[name] = $(name).valueAsNumber;
  }
  return request;
}

// Asks for the answer to all that was said, and shows it as it comes.
async function run() {
  const request = requestOf();
  const turn = Object.assign(addTurn('assistant', ''), {thought: ''});
  const stopper = running = new AbortController();
  turn.item.classList.add('running');
  $('error').textContent = '';
  say('The model answers.');
  showState();
  $('scroll').scrollTop = $('scroll').scrollHeight;
  let drawn = 0, finish = null;
  const draw = () => { drawn ||= requestAnimationFrame(() => { drawn = 0; showTurn(turn); }); };
  try {
    for await (const piece of answer(request, $('key').value, stopper.signal)) {
      turn.thought += piece.thought;
      turn.content += piece.text;
      finish = piece.finish ?? finish;
      draw();
    }
    say('The answer is complete.');
    if (finish === 'length') note(turn, 'Cut off: this is as long as the settings or the context allow.');
    if (!turn.content && !turn.thought) note(turn, 'The model said nothing.');
  } catch (error) {
    if (running !== stopper) return;  // of a chat that is gone
    if (error.name !== 'AbortError') {
      fail(error);
    } else {
      say('Stopped.');
      note(turn, 'Stopped.');
    }
    if (!turn.content && !turn.thought) takeBack();
  }
  cancelAnimationFrame(drawn);
  turn.item.classList.remove('running');
  running = null;
  showState();
  showTurn(turn);
}

// A message without an answer is to be sent again, perhaps in other words.
function takeBack() {
  dropLast();
  $('message').value = [turns.at(-1).content, $('message').value].filter(Boolean).join('\n\n');
  dropLast();
  fitMessage();
}

function send() {
  const text = $('message').value;
  if (running || !text.trim()) return;
  $('message').value = '';
  fitMessage();
  addTurn('user', text);
  run();
}

function regenerate() {
  dropLast();
  run();
  $('message').focus();
}

function stop() { running?.abort(); }

function startAnew() {
  stop();
  running = null;
  turns.splice(0).forEach(({item}) => item.remove());
  $('error').textContent = '';
  say('A new chat.');
  showState();
  $('message').focus();
}

function fitMessage() {
  $('message').style.height = 'auto';
  $('message').style.height = `${$('message').scrollHeight + 2}px`;
}

function openSettings(field) {
  if (!$('settings').open) $('settings').showModal();
  $(field).focus();
}

async function showModel() {
  try {
    $('model').textContent = await modelName($('key').value);
    $('error').textContent = '';
  } catch (error) {
    fail(error);
  }
}

function keepSettings() {
  for (const name of KEPT) localStorage.setItem(`throng.${name}`, $(name).value);
  sessionStorage.setItem('throng.key', $('key').value);
}

function keepChat() {
  const chat = turns.map(({role, content, thought}) => ({role, content, thought}));
  try {
    sessionStorage.setItem(CHAT, JSON.stringify(chat));
  } catch {  // it is too long for the browser's storage
    sessionStorage.removeItem(CHAT);
  }
}

function restoreChat() {
  for (const {role, content, thought} of JSON.parse(sessionStorage.getItem(CHAT) ?? '[]')) {
    const turn = Object.assign(addTurn(role, content), {thought});
    if (role === 'assistant') showTurn(turn);
  }
  const last = turns.at(-1);
  if (last?.role === 'assistant' && !last.content && !last.thought) takeBack();
  $('scroll').scrollTop = $('scroll').scrollHeight;
}

function listen() {
  $('compose').onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  $('message').oninput = fitMessage;
  $('message').onkeydown = (event) => {
    const isComposing = event.isComposing || event.keyCode === 229;  // Safari says the end of a word in this way
    if (event.key !== 'Enter' || event.shiftKey || isComposing) return;
    event.preventDefault();
    send();
  };
  document.onkeydown = (event) => {
    if (event.key === 'Escape' && !$('settings').open) stop();
  };
  $('stop').onclick = () => {
    stop();
    $('message').focus();
  };
  $('regenerate').onclick = regenerate;
  $('fresh').onclick = startAnew;
  $('open-settings').onclick = () => openSettings('system');
  $('settings').onclose = () => {
    keepSettings();
    $('message').focus();
    if (!$('model').textContent) showModel();
  };
  // Phones drop pages that are hidden, and tell them nothing more.
  window.onpagehide = document.onvisibilitychange = keepChat;
}

for (const name of KEPT) $(name).value = localStorage.getItem(`throng.${name}`) ?? '';
$('key').value = sessionStorage.getItem('throng.key') ?? '';
listen();
restoreChat();
showState();
showModel();
$('message').focus();
