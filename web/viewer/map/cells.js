// What cells of the ground hold: colours for it, and a legend.

const MOST_TOLD = 8;      // values beyond which there is no legend
const MOST_LETTERS = 24;  // of a value there
const TURN = 137;         // degrees between the hues of 1 and 2

// The same value has the same colour in all runs.
export function colourOfCell(value) {
  const hash = [...String(value)].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  return `hsl(${hash * TURN % 360} 80% 55% / 60%)`;
}

// values: what cells have held. Returns [{colour, text}]; none if there are too many, which zooming in tells.
export function legendOfCells(values) {
  if (values.size > MOST_TOLD) return [];
  const short = (value) => (value.length > MOST_LETTERS ? `${value.slice(0, MOST_LETTERS - 1)}…` : value);
  return [...values].sort().map((value) => ({colour: colourOfCell(value), text: `cell: ${short(value)}`}));
}
