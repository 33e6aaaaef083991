// One panel at a time, chosen by its tab; arrow keys go to the tabs beside it.

export class Tabs {
  #tabs;
  #chosen;

  // list: the element with role tablist; chosen(): another panel is seen.
  constructor(list, chosen) {
    this.#tabs = [...list.querySelectorAll('[role=tab]')];
    this.#chosen = chosen;
    this.#tabs.forEach((tab, index) => {
      tab.onclick = () => this.choose(tab.id);
      tab.onkeydown = (event) => {
        const way = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (!way) return;
        event.preventDefault();
        event.stopPropagation();
        const next = this.#tabs.at((index + way) % this.#tabs.length);
        this.choose(next.id);
        next.focus();
      };
    });
  }

  get current() { return this.#tabs.find((tab) => tab.ariaSelected === 'true').id; }

  choose(id) {
    for (const tab of this.#tabs) {
      const isChosen = tab.id === id;
      tab.ariaSelected = String(isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute('aria-controls')).hidden = !isChosen;
    }
    this.#chosen();
  }
}
