// What one agent did, said and heard.

// The entries of an agent, in order: {step, kind, text, who, call, place}; who: the speaker of a line, else ''. The lines of a
// talk alternate, and who began it has the event "talk".
export function logOf(run, place) {
  const entries = [];
  const events = run.events;
  for (let i = 0, end = 0; i < events.length; i = end) {
    while (end < events.length && events[end].step === events[i].step) end++;
    addStep(run, place, events.slice(i, end), entries);
  }
  return entries;
}

function addStep(run, place, events, entries) {
  const lines = new Map();  // speaker -> lines so far
  const began = new Set(events.filter(({kind}) => kind === 'talk').map((event) => event.place));
  const found = [];
  for (const event of events) {
    const {kind} = event, isOwn = event.place === place;
    if (kind !== 'say') {
      if (isOwn) found.push({...event, who: '', order: 0});
      continue;
    }
    const line = lines.get(event.place) ?? 0;
    lines.set(event.place, line + 1);
    if (!isOwn && !run.hears(place, event)) continue;
    const order = 1 + 2 * line + (began.has(event.place) ? 0 : 1);
    found.push({...event, kind: isOwn ? 'say' : 'hear', who: run.agents[event.place].name, order});
  }
  entries.push(...found.sort((a, b) => a.order - b.order));
}

// With whom an agent has talked up to a step: [{place, lines, step}], most lines first; step: of the last one.
export function relationsOf(log, place, step) {
  const people = new Map();
  for (const entry of log) {
    if (entry.kind !== 'hear' || entry.step > step) continue;
    const known = people.get(entry.place) ?? {place: entry.place, lines: 0, step: 0};
    people.set(entry.place, {...known, lines: known.lines + 1, step: entry.step});
  }
  return [...people.values()].sort((a, b) => b.lines - a.lines || a.place - b.place);
}
