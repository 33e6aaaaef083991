// What the run waits for now, in words.

import {duration} from '../state/clock.js';
import {element, table} from './dom.js';

const MOST_SHOWN = 50;
const STALE_S = 5;   // a run that goes on says more often what it waits for

// Who has a call, if that is known.
function whereOf({isQueued, server}) {
  if (server) return `, at ${server}`;
  if (isQueued === null) return '';
  return isQueued ? ', queued' : ', running';
}

// Of a call of Run.openCalls().
export function stateOf(call) {
  if (call.arrived !== null) return 'a guess, answered: its step has not asked it yet';
  return `${call.isGuess ? 'asked on a guess' : 'in flight'} for ${duration(call.told - call.issued)}${whereOf(call)}`;
}

// How many calls are in flight, and how many of them on guesses; '' if the run does not say.
export function flightText({info, isDone}, open) {
  const told = isDone ? null : info.in_flight;
  if (!told) return '';
  const flying = open.filter(({arrived}) => arrived === null), guesses = flying.filter(({isGuess}) => isGuess).length;
  const count = `${flying.length} in flight${guesses ? `, ${guesses} of them on guesses` : ''}`;
  return told.age_s > STALE_S ? `${count} when the run last said so, ${duration(told.age_s)} ago` : count;
}

// Whose calls are in flight, the longest first. Empty: none are known.
export function flightTable({agents, clock}, open) {
  const flying = open.filter(({arrived}) => arrived === null).sort((a, b) => a.issued - b.issued);
  if (!flying.length) return [];
  const rows = flying.slice(0, MOST_SHOWN).map((call) => [agents[call.place].name, clock.timeOf(call.step), call.function, stateOf(call)]);
  const title = flying.length > MOST_SHOWN ? `In flight, the ${MOST_SHOWN} longest of ${flying.length}` : 'In flight';
  return [element('h2', {}, title), table(['agent', 'when', 'call', 'state'], rows)];
}
