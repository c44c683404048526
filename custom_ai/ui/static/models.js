// <ca-models provider address field button>: the models of a provider, to search and to choose from for
// a field; the button opened the list. The page stays usable while a slow server is asked.
import { headers } from "./app.js";

class Models extends HTMLElement {
  static observedAttributes = ["asked"];

  connectedCallback() {
    if (this.waiting) return;
    this.waiting = this.innerHTML;
    this.addEventListener("click", (event) => {
      const at = event.target.closest("[data-pick], [data-again], [data-shut]");
      if (at?.dataset.pick) this.pick(at.dataset.pick);
      else if (at) at.hasAttribute("data-again") ? this.ask() : this.shut();
    });
    this.addEventListener("input", () => this.narrow());
    this.addEventListener("change", (event) => event.target.matches("[data-order]") && this.sort(event.target.value));
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.shut();
      const first = this.querySelector("tbody tr:not([hidden]) [data-pick]");
      if (event.key !== "Enter" || !event.target.matches("[type=search]") || !first) return;
      event.preventDefault(); // the button that gets the focus would be pressed by the same key
      this.pick(first.dataset.pick);
    });
    this.ask();
  }

  /** Each click on the button gives it another value; Gradio changes it in place. */
  attributeChangedCallback() {
    if (this.waiting) this.ask();
  }

  async ask() {
    this.hidden = false;
    this.innerHTML = this.waiting;
    const turn = (this.turn = (this.turn || 0) + 1);
    const query = new URLSearchParams({ address: this.getAttribute("address") });
    const path = `/api/samples/provider/${encodeURIComponent(this.getAttribute("provider"))}/models?${query}`;
    const answer = await fetch(path, { headers: headers() }).catch(() => null);
    if (turn !== this.turn) return;
    if (!answer) return this.shut(); // the app is gone, as the page says
    // Made by the server, which has escaped what is not its own.
    this.innerHTML = await answer.text();
    this.narrow();
    this.querySelector("[type=search]")?.focus();
  }

  shut() {
    this.turn += 1;
    this.hidden = true;
    this.replaceChildren();
    document.getElementById(this.getAttribute("button")).focus({ preventScroll: true });
  }

  narrow() {
    const words = (this.querySelector("[type=search]")?.value || "").toLowerCase().split(/\s+/);
    const free = this.querySelector("[data-free]")?.checked;
    let shown = 0;
    for (const row of this.querySelectorAll("tbody tr")) {
      row.hidden = !words.every((word) => row.dataset.text.includes(word)) || (free && !("costsNothing" in row.dataset));
      shown += !row.hidden;
    }
    const count = this.querySelector("[data-count]"), none = this.querySelector("[data-none]");
    if (count && none) count.textContent = count.dataset.words.replace("{count}", shown.toLocaleString(document.documentElement.lang));
    if (none) none.hidden = shown > 0;
  }

  /** By price the cheapest come first, by context the longest; whatever has none comes last. */
  sort(by) {
    const body = this.querySelector("tbody");
    const rows = [...body.rows];
    const number = (row, or) => (row.dataset[by] === "" ? or : Number(row.dataset[by]));
    if (by === "cost") rows.sort((a, b) => number(a, Infinity) - number(b, Infinity));
    else if (by === "context") rows.sort((a, b) => number(b, 0) - number(a, 0));
    else rows.sort((a, b) => a.dataset.text.localeCompare(b.dataset.text));
    body.append(...rows);
  }

  /** Gradio keeps the model: it is told as if somebody had typed the name. */
  pick(name) {
    const field = document.querySelector(`#${this.getAttribute("field")} input`);
    this.shut();
    field.focus({ preventScroll: true });
    field.value = name;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    field.blur();
    document.getElementById(this.getAttribute("button")).focus({ preventScroll: true });
  }
}
customElements.define("ca-models", Models);
