// What agents say, in bubbles above or below them.

import {theme} from '../theme.js';

const WIDTH = 150;   // pixels
const LINE = 13;
const MARGIN = 4;

export function wrap(text, width, measure) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (lines.at(-1) && measure(longer) > width) lines.push(word); else lines[lines.length - 1] = longer;
  }
  return lines;
}

// Whether a rectangle {left, top, width, height} covers none of the others.
export function isFree({left, top, width, height}, others) {
  return others.every((other) => left >= other.left + other.width || left + width <= other.left ||
    top >= other.top + other.height || top + height <= other.top);
}

// The index of the first of some rectangles that covers none of `taken`, to which it is added; -1: each covers one.
export function placeFirst(boxes, taken) {
  const index = boxes.findIndex((box) => isFree(box, taken));
  if (index >= 0) taken.push(boxes[index]);
  return index;
}

// A bubble above an agent at x,y, or below where it would cover one of `taken` or end outside of `room`, {width, top, bottom} in
// pixels; none where it would do so there too. Adds its rectangle to `taken`.
export function drawWords(pen, text, x, y, radius, taken, room) {
  pen.font = '11px system-ui, sans-serif';
  const lines = wrap(text, WIDTH, (line) => pen.measureText(line).width);
  const width = Math.max(...lines.map((line) => pen.measureText(line).width)) + 12, height = LINE * lines.length + 8;
  const left = Math.max(MARGIN, Math.min(room.width - width - MARGIN, x - width / 2));
  const sides = [-1, 1].map((side) => {
    const tip = y + side * (radius + 1), edge = tip + side * 6;
    return {tip, edge, left, top: side < 0 ? edge - height : edge, width, height};
  }).filter(({top}) => top >= room.top && top + height <= room.bottom);
  const chosen = sides[placeFirst(sides, taken)];
  if (!chosen) return;
  const {tip, edge, top} = chosen;
  pen.beginPath();
  pen.roundRect(left, top, width, height, 6);
  pen.moveTo(x - 5, edge);
  pen.lineTo(x, tip);
  pen.lineTo(x + 5, edge);
  pen.fillStyle = theme.bubble;
  pen.shadowColor = '#0006';
  pen.shadowBlur = 4;
  pen.fill();
  pen.shadowBlur = 0;
  pen.textAlign = 'left';
  pen.fillStyle = theme.text;
  lines.forEach((line, row) => pen.fillText(line, left + 6, top + 15 + LINE * row));
}
