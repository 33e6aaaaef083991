// Keys for what buttons do. They are silent where a key means something of its own: in fields, lists and dialogs. The slider's keys mean
// the same as here.

const OWN_KEYS = 'input:not([type=range]), select, textarea, dialog';

// commands: by key, {command}; Shift and a key: 'Shift+ArrowLeft'. Space presses buttons.
export function listenToKeys(commands) {
  document.addEventListener('keydown', (event) => {
    const {target} = event, isWritten = event.getModifierState('AltGraph');  // many keyboards have [ and ] so
    if ((!isWritten && (event.ctrlKey || event.altKey)) || event.metaKey || target.closest(OWN_KEYS)) return;
    if (event.key === ' ' && target.closest('button, summary')) return;
    const isLetter = event.key.length === 1;
    const command = commands[`${event.shiftKey && !isLetter ? 'Shift+' : ''}${event.key}`];
    if (!command) return;
    event.preventDefault();
    command();
  });
}
