// The run as a whole: what it is, what it cost, what reporters collected, and what happens to it from outside.

import {getJson, post} from '../state/api.js';
import {chart} from './chart.js';
import {element, facts, money, table} from './dom.js';
import {flightTable, flightText} from './in_flight.js';


export class RunPanel {
  #run;
  #page;
  #charts = [];
  #known = -1;   // steps of the run when it was last asked for

  // page: {facts, costs, charts, inject, what, step, said} elements.
  constructor(page, run) {
    this.#page = page;
    this.#run = run;
    page.inject.onsubmit = (event) => {
      event.preventDefault();
      this.#inject();
    };
  }

  // Call this when the panel is seen, or the run has gone on while it is.
  async update() {
    const {info} = this.#run;
    this.#page.inject.hidden = !info.may_inject || this.#run.isDone;
    this.#showFacts();
    if (this.#known === info.steps) return;
    this.#known = info.steps;
    const fields = {run: this.#run.number};
    try {
      const [costs, {series}] = await Promise.all([getJson('costs', fields), getJson('series', fields)]);
      this.#showCosts(costs);
      this.#charts = series.map((one) => chart(one, info.steps));
      this.#page.charts.replaceChildren(...this.#charts.map(({figure}) => figure));
      if (!series.length) this.#page.charts.replaceChildren('None: the run has no reporters (docs/python/tutorial.md).');
    } catch (error) {
      this.#page.costs.replaceChildren(error.message);
    }
  }

  show(step) { for (const {show} of this.#charts) show(step); }

  #showFacts() {
    const {info, clock} = this.#run, {manifest} = info, [prompt, output] = info.tokens_in_vain, open = this.#run.openCalls();
    this.#page.facts.replaceChildren(
      facts([['Journal', info.journal], ['World', info.name], ['Mode', manifest.mode], ['Backend', manifest.backend],
        ['Steps', `${info.steps} of ${this.#run.lastStep}`], ['Calls', [info.answers, flightText(this.#run, open)].filter((text) => text !== '').join('; ')],
        ['Guessed in vain', prompt + output ? `${prompt} + ${output} tokens: asked ahead for steps that came out otherwise` : ''],
        ['Seed', manifest.seed], ['Hash', manifest.hash], ['Program', manifest.program]]),
      ...flightTable(this.#run, open),
      element('h2', {}, 'Sessions'),
      table(['begun (UTC)', 'ended', 'outcome'], info.sessions.map(([, begun, ended, outcome]) => [timeText(begun), timeText(ended) || 'not yet', outcome])),
      ...(info.interventions.length ? [element('h2', {}, 'From outside'), table(['when', 'what'],
        info.interventions.map(([, step, what]) => [step < 0 ? 'to come' : clock.timeOf(step), what]))] : []));
  }

  #showCosts({functions, agents}) {
    const columns = columnsOf(functions), tableOf = (title, list) => table([title, ...columns.map(({head}) => head)],
      list.map((row) => [row[0], ...columns.map(({of}) => of(row))]));
    const most = [...agents].sort((a, b) => b[3] + b[4] - a[3] - a[4]).slice(0, 20);
    this.#page.costs.replaceChildren(tableOf('kind', functions),
      element('h3', {}, agents.length > most.length ? `The ${most.length} agents with most tokens` : 'By agent'),
      tableOf('agent', most));
  }

  async #inject() {
    const {what, step, said} = this.#page;
    try {
      await post('events', {run: this.#run.number}, {what: what.value, step: step.value === '' ? null : step.valueAsNumber});
      said.textContent = 'The run will take it at the first step that no agent has begun, or at its own.';
      what.value = '';
    } catch (error) {
      said.textContent = error.message;
    }
  }
}

// What api/costs says of a kind of calls: without columns that are empty for all.
export function columnsOf(functions) {
  const hasFailed = functions.some(([, , failed]) => failed > 0), hasCost = functions.some(([, , , , , cost]) => cost !== null);
  return [{head: 'calls', of: ([, calls]) => calls}, hasFailed && {head: 'failed', of: ([, , failed]) => failed},
    {head: 'asked', of: ([, , , prompt]) => prompt}, {head: 'answered', of: ([, , , , output]) => output},
    hasCost && {head: 'cost', of: ([, , , , , cost]) => money(cost)}, {head: 'mean s', of: (row) => row[6].toFixed(2)}].filter(Boolean);
}

// "2026-01-31T09:30:00Z" without its letters.
function timeText(utc) { return utc.replace('T', ' ').replace('Z', ''); }
