// The colours of canvases, which are those of the page in its light or dark scheme.

const NAMES = ['page', 'text', 'pale', 'line', 'accent', 'ahead', 'fault', 'bubble', 'rim', 'tile-dim'];
const FUNCTIONS = 8;  // colours for kinds of calls

export const theme = {calls: []};

function read() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  for (const name of NAMES) theme[name.replace(/-(.)/, (_, letter) => letter.toUpperCase())] = colour(name);
  theme.calls = Array.from({length: FUNCTIONS}, (_, index) => colour(`call-${index}`));
}

// changed(): the scheme is another one.
export function watchTheme(changed) {
  read();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    read();
    changed();
  });
}

export function colourOf(agent) { return `hsl(${(agent.id * 137) % 360} 70% 45%)`; }
