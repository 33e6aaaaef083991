// A line over the steps, with the range of all agents around it.

import {drawing, element} from './dom.js';

const WIDTH = 300, HEIGHT = 80;

// points: [[step, mean, min, max]], by step. Returns what maps them into the chart.
export function scaleOf(points, lastStep) {
  let least = Infinity, most = -Infinity;
  for (const [, , min, max] of points) [least, most] = [Math.min(least, min), Math.max(most, max)];
  const span = most - least || 1;
  return {least, most, xOf: (step) => step / Math.max(1, lastStep) * WIDTH, yOf: (value) => HEIGHT - 2 - (value - least) / span * (HEIGHT - 4)};
}

function numberText(value) { return Number.isInteger(value) ? String(value) : value.toPrecision(4); }

// The value at a step is that of the last point up to it; undefined: there is none.
export function valueAt(points, step) { return points.findLast(([at]) => at <= step)?.[1]; }

// A figure whose caption and line follow the step by show(step).
export function chart({name, of_agents: ofAgents, points}, lastStep) {
  const {least, most, xOf, yOf} = scaleOf(points, lastStep);
  const path = (at) => points.map((point) => `${xOf(point[0]).toFixed(1)},${yOf(point[at]).toFixed(1)}`);
  const line = drawing('line', {y1: 0, y2: HEIGHT}), caption = element('figcaption');
  const picture = drawing('svg', {class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `${name}: from ${numberText(least)} to ${numberText(most)}`},
    ofAgents ? drawing('polygon', {points: [...path(2), ...path(3).reverse()].join(' ')}) : null,
    drawing('polyline', {points: path(1).join(' ')}), line);
  const show = (step) => {
    const value = valueAt(points, step);
    caption.textContent = `${name}${ofAgents ? ' (mean of agents)' : ''}: ${value === undefined ? 'none yet' : numberText(value)}, ` +
      `from ${numberText(least)} to ${numberText(most)}`;
    line.setAttribute('x1', xOf(step));
    line.setAttribute('x2', xOf(step));
  };
  return {figure: element('figure', {}, caption, picture), show};
}
