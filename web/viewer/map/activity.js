// What agents are doing, as far as the map's colours tell.

import {theme} from '../theme.js';

// call: the number of the colour in the theme. isOfRun: there is such a thing in the time of the run only.
const ACTIVITIES = [
  {name: 'waiting', text: 'waiting for a call', call: 1, isOfRun: true},
  {name: 'ahead', text: 'ahead of the last', call: 5, isOfRun: true},
  {name: 'asleep', text: 'asleep', call: 7},
  {name: 'talking', text: 'talking', call: 3},
  {name: 'walking', text: 'on the way', call: 6},
  {name: 'other', text: 'something else', call: 0},
];

// The name of the first that holds. lens: how the run is seen at this moment.
export function activityOf(run, lens, place) {
  if (lens.isWaiting(place)) return 'waiting';
  if (lens.leadOf(place) > 0) return 'ahead';
  const step = lens.stepOf(place), {x, y, status} = run.stateAt(place, step), before = run.stateAt(place, step - 1);
  if (/^a?sleep/.test(status)) return 'asleep';
  if (/^talk/.test(status) || run.wordsOf(place, step, 1)) return 'talking';
  return /^walk/.test(status) || x !== before.x || y !== before.y ? 'walking' : 'other';
}

export function colourOfActivity(name) { return theme.calls[ACTIVITIES.find((activity) => activity.name === name).call]; }

// What the colours say: [{colour, text}].
export function legendOfActivities(isTimeOfRun) {
  return ACTIVITIES.filter(({isOfRun}) => isTimeOfRun || !isOfRun).map(({name, text}) => ({colour: colourOfActivity(name), text}));
}
