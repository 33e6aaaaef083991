// A little of Markdown as elements: headings, lists, tables, quotes, blocks of code, `code`, **strong**, *emphasis*, [links](https://...). All else is text:
// whatever a model writes becomes text nodes of a few kinds of elements, never HTML.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^#{1,6} +/;
const ITEM = /^ *(?:[-*+]|(\d{1,9})[.)]) +/;
const QUOTE = /^ {0,3}> ?/;
const UNDER_HEAD = /^ {0,3}\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$/;  // the line of a table below its names of columns
const BETWEEN_CELLS = /(?<!\\)\|/;
// The counts keep the time for marks that never close in bounds.
const INLINE = new RegExp([
  /(`{1,9})(?!`)(.{1,2000}?)(?<!`)\1(?!`)/, /\*\*(?=\S)(.{1,2000}?)(?<=\S)\*\*/, /\*(?=[^\s*])([^*]{1,2000}?)(?<=\S)\*/,
  /\[([^\]\n]{1,500})\]\((https?:\/\/[^\s()<>]{1,2000})\)/,
].map((form) => form.source).join('|'), 's');

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

// The nodes of a line or paragraph.
function inline(text) {
  const nodes = [];
  for (let rest = text; rest;) {
    const found = INLINE.exec(rest);
    if (!found) {
      nodes.push(rest);
      break;
    }
    if (found.index > 0) nodes.push(rest.slice(0, found.index));
    const [whole, , code, strong, emphasis, label, address] = found;
    if (code !== undefined) {
      nodes.push(element('code', code));
    } else if (strong !== undefined) {
      nodes.push(element('strong', ...inline(strong)));
    } else if (emphasis !== undefined) {
      nodes.push(element('em', ...inline(emphasis)));
    } else {
      const link = element('a', label);
      link.href = address;
      link.rel = 'noopener noreferrer';
      link.target = '_blank';
      nodes.push(link);
    }
    rest = rest.slice(found.index + whole.length);
  }
  return nodes;
}

const cellsOf = (line) => line.trim().replace(/^\|/, '').replace(/(?<!\\)\|$/, '').split(BETWEEN_CELLS)
  .map((cell) => cell.trim().replaceAll('\\|', '|'));

// Cuts a text into blocks: {kind: 'code' | 'heading' | 'list' | 'table' | 'quote' | 'text', lines}.
function blocksOf(text) {
  const blocks = [];
  let open = null, fence = '';
  const begin = (kind, ...lines) => blocks.push(open = {kind, lines});
  for (const line of text.split('\n')) {
    const mark = FENCE.exec(line)?.[1];
    if (fence) {
      if (mark?.startsWith(fence) && line.trim() === mark) {
        open = null;
        fence = '';
      } else {
        open.lines.push(line);
      }
    } else if (mark) {
      fence = mark;
      begin('code');
    } else if (!line.trim()) {
      open = null;
    } else if (HEADING.test(line)) {
      begin('heading', line);
      open = null;
    } else if (ITEM.test(line)) {
      const number = ITEM.exec(line)[1];
      if (open?.kind !== 'list' || open.numbered !== (number !== undefined)) {
        begin('list');
        Object.assign(open, {numbered: number !== undefined, first: Number(number)});
      }
      open.lines.push(line.replace(ITEM, ''));
    } else if (open?.kind === 'list' && /^\s/.test(line)) {
      open.lines[open.lines.length - 1] += '\n' + line.trim();
    } else if (QUOTE.test(line)) {
      if (open?.kind !== 'quote') begin('quote');
      open.lines.push(line.replace(QUOTE, ''));
    } else if (open?.kind === 'text' && BETWEEN_CELLS.test(open.lines.at(-1)) && UNDER_HEAD.test(line)) {
      const head = open.lines.pop();
      if (open.lines.length === 0) blocks.pop();
      begin('table', head);
    } else if (open?.kind === 'text' || (open?.kind === 'table' && BETWEEN_CELLS.test(line))) {
      open.lines.push(line);
    } else {
      begin('text', line);
    }
  }
  return blocks;
}

function tableOf([head, ...lines]) {
  const row = (line, name) => element('tr', ...cellsOf(line).map((cell) => element(name, ...inline(cell))));
  const box = element('div', element('table', element('thead', row(head, 'th')), element('tbody', ...lines.map((line) => row(line, 'td')))));
  box.className = 'table';
  box.tabIndex = 0;  // it may have to be scrolled
  return box;
}

function render({kind, lines, numbered, first}) {
  if (kind === 'code') {
    const block = element('pre', element('code', lines.join('\n')));
    block.tabIndex = 0;  // it may have to be scrolled
    return block;
  }
  if (kind === 'heading') return element('h3', ...inline(lines[0].replace(HEADING, '')));
  if (kind === 'table') return tableOf(lines);
  if (kind === 'quote') return element('blockquote', ...inline(lines.join('\n')));
  if (kind === 'text') return element('p', ...inline(lines.join('\n')));
  const list = element(numbered ? 'ol' : 'ul', ...lines.map((line) => element('li', ...inline(line))));
  if (numbered) list.start = first;
  return list;
}

// Shows a text in an element. Blocks that it shows already stay, so that what is selected stays so while an answer grows.
export function show(target, text) {
  const blocks = blocksOf(text).map((block) => ({...block, source: JSON.stringify(block)}));
  const before = target.blockSources ?? [];
  let same = 0;
  while (same < blocks.length && blocks[same].source === before[same]) same++;
  while (target.childNodes.length > same) target.lastChild.remove();
  for (const block of blocks.slice(same)) target.append(render(block));
  target.blockSources = blocks.map((block) => block.source);
}
