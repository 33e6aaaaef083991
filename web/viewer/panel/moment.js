// The moment that is shown, in words: when it is, where the agent is, and who is how far.

import {duration} from '../state/clock.js';
import {flightText} from './in_flight.js';

const MOST_AHEAD = 3;  // agents named as those ahead

// The step; {simulated, all: with the time of the run, if that is shown}.
export function clockTexts(run, {step, time, agent}) {
  const simulated = `${run.clock.isKnown ? `${run.clock.timeOf(step)}, ` : ''}step ${step} of ${run.loaded}`;
  return {simulated, all: time === null ? simulated : `${duration(time)} of the run; ${run.agents[agent]?.name ?? ''}: ${simulated}`};
}

// Of the chosen agent.
export function statusText(run, lens, ground) {
  const {agent} = lens, step = lens.stepOf(agent), {name} = run.agents[agent];
  if (!run.isPresent(agent, step)) return `${name} is not there`;
  const state = run.stateAt(agent, step), place = ground.textOf(state);
  return `${name}${place ? ` at ${place}` : ''}${state.status ? `: ${state.status}` : ''}${leadText(run, lens)}`;
}

function leadText(run, lens) {
  const lead = lens.leadOf(lens.agent), behind = lens.nearestBehind(lens.agent), unit = run.map?.unit > 1 ? 'm' : 'tiles';
  const nearest = behind ? `; nearest of those behind: ${run.agents[behind.place].name}, ${Math.round(behind.distance)} ${unit} away, ${behind.steps} steps behind` : '';
  return lead > 0 ? ` (${lead} steps ahead of the last${nearest})` : '';
}

// Of all. time: of the run; null: simulated time is shown.
export function standingText(run, lens, time) {
  const {progress} = lens;
  if (time === null) {
    const answered = run.calls.length ? `${run.calls.length} calls in ${duration(progress.end)}` : 'no calls';
    return [answered, flightText(run, run.openCalls())].filter((text) => text !== '').join('; ');
  }
  const {least, most, ahead} = progress.standing(lens.present(), time);
  const first = ahead.slice(0, MOST_AHEAD).filter(({step}) => step > least).map(({place, step}) => `${run.agents[place].name} +${step - least}`);
  return `steps ${least} to ${most}, ${progress.inFlightAt(time)} calls in flight${first.length ? `; ahead: ${first.join(', ')}` : ''}`;
}
