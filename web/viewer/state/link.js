// What a link to a moment says, behind the # of the address: step, agent, call and the key of the server.

const NUMBERS = ['step', 'agent', 'call'];

// Absent or wrong numbers are left out.
export function readLink(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const link = {key: fields.get('key') ?? ''};
  for (const name of NUMBERS) {
    const text = fields.get(name) ?? '';
    if (/^\d{1,10}$/.test(text)) link[name] = Number(text);
  }
  return link;
}

// The key is not in it: links are shared.
export function writeLink({step, agent, call}) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries({step, agent, call})) {
    if (value !== undefined && value !== null) fields.set(name, value);
  }
  return '#' + fields;
}
