// <ca-review>: the table of samples. Only the rows in sight are drawn, whatever their number; rows
// come in pieces and are redrawn when the project's samples change, without moving under the hand
// that works on them. What was decided or typed counts as saved when the server has said so.
import { look } from "./app.js";
import { Editing } from "./review_editing.js";
import { Moving } from "./review_moving.js";
import { NO_FILTER, Rows, ask } from "./review_rows.js";

const KEYS = { j: "down", ArrowDown: "down", k: "up", ArrowUp: "up", PageDown: "pageDown", PageUp: "pageUp", Home: "first", End: "last",
  a: "accept", r: "reject", u: "restore", e: "edit", Enter: "edit", " ": "select", "/": "find", "?": "keys", Escape: "unselect" };

class Review extends Editing(Moving(Rows(HTMLElement))) {
  connectedCallback() {
    if (this.rows) return;
    this.rows = new Map(); // number → what the server said of that row
    this.drawn = new Map(); // number → its element
    this.selected = new Set(); // ids
    this.filter = { ...NO_FILTER };
    this.current = 0;
    this.mark = 0; // where a selection with Shift began
    this.total = 0;
    this.turn = 0;
    this.stale = true;
    this.grid = this.querySelector(".rv-grid");
    this.view = this.querySelector(".rv-scroll");
    this.space = this.querySelector(".rv-space");
    this.detail = this.querySelector(".rv-detail");
    this.recall();
    this.listen();
  }

  listen() {
    this.view.addEventListener("scroll", () => this.later());
    new ResizeObserver(() => this.appear()).observe(this.querySelector(".rv-body"));
    document.body.addEventListener("ca:samples", () => ((this.stale = true), this.appear()));
    document.body.addEventListener("ca:documents", () => ((this.stale = true), this.appear()));
    this.addEventListener("click", (event) => this.clicked(event));
    this.addEventListener("pointerdown", (event) => (this.again = this.drawn.get(this.current)?.contains(event.target) && this.view.contains(document.activeElement)));
    this.addEventListener("keydown", (event) => this.pressed(event));
    this.addEventListener("input", (event) => this.changed(event));
    this.addEventListener("focusin", (event) => this.entered(event));
    this.addEventListener("focusout", (event) => this.left(event));
    addEventListener("pagehide", () => this.remember());
  }

  // --- what people do

  clicked(event) {
    const at = event.target.closest("[data-do], [data-status], [data-version]");
    const element = event.target.closest(".rv-row");
    const number = this.numberOf(event.target);
    if (at?.dataset.status !== undefined) return this.narrow({ status: at.dataset.status });
    if (at?.dataset.version !== undefined) return this.goBack(at.dataset.version);
    if (at && element === this.editing?.element && element) return this[at.dataset.do](at);
    if (element === this.editing?.element && element) return;
    if (element) {
      if (at?.dataset.do === "select") {
        event.preventDefault();
        setTimeout(() => this.draw());
      }
      this.go(number, event.shiftKey);
      if (event.shiftKey) return getSelection().removeAllRanges();
      if (at?.dataset.do === "select" || event.ctrlKey || event.metaKey) return this.toggle();
      // The first click chooses a sample, the next one into its words edits them.
      if (this.again && event.target.closest(".rv-text") && !getSelection().toString()) return this.edit();
    }
    // A click in a row or beside it is about that one sample, the bar above about the selected ones.
    const one = element || at?.closest(".rv-detail");
    if (at && at.dataset.do !== "select") this[at.dataset.do](one && { one: true });
  }

  pressed(event) {
    if (event.target.closest(".rv-editor")) {
      if (event.key === "Escape") event.preventDefault(), this.cancel();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), this.save(true);
      return;
    }
    if (event.target.closest("dialog, select, [type=search]")) {
      if (event.key === "Enter" && event.target.matches("[type=search]")) this.go(this.current);
      return;
    }
    const inGrid = event.target.closest(".rv-row, .rv-head");
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let wish = KEYS[key];
    if (command) wish = { a: "all", z: "undo" }[key];
    if (!wish || event.altKey) return;
    if (wish === "find" || wish === "keys" || wish === "undo") return event.preventDefault(), this[wish]();
    if (!inGrid || (event.target.matches("input, button") && [" ", "Enter"].includes(key))) return;
    event.preventDefault();
    const screen = Math.max(1, Math.floor(this.view.clientHeight / this.height()) - 1);
    const steps = { down: 1, up: -1, pageDown: screen, pageUp: -screen, first: -Infinity, last: Infinity };
    if (wish in steps) this.go(this.current + steps[wish], event.shiftKey);
    else if (wish === "select") this.toggle();
    else this[wish]();
  }

  changed(event) {
    const name = event.target.dataset.filter;
    if (event.target.dataset.word) return this.typed();
    if (!name) return;
    clearTimeout(this.waiting);
    if (name === "text") return void (this.waiting = setTimeout(() => this.narrow({ text: event.target.value.trim() }), 180));
    if (name === "reviewed") return void this.narrow({ reviewed: event.target.checked });
    if (name === "doubles") return void this.narrow({ doubles: event.target.checked ? "any" : "" });
    if (name !== "order") return void this.narrow({ [name]: event.target.value });
    const [order, down] = event.target.value.split(" ");
    this.narrow({ order, descending: Boolean(down) });
  }

  /** Show other rows, from the first one on. */
  async narrow(change) {
    this.filter = { ...this.filter, ...change };
    this.selected.clear();
    this.say("");
    this.sought = "";
    this.rows = new Map();
    this.current = this.mark = 0;
    this.view.scrollTop = 0;
    if (await this.refresh()) document.getElementById("announce").textContent = this.querySelector("[data-found]").textContent;
    this.remember();
  }

  reset() {
    const { order, descending } = this.filter;
    this.filter = { ...NO_FILTER, order, descending };
    this.showFilter();
    this.narrow({});
  }

  showFilter() {
    for (const control of this.querySelectorAll("[data-filter]")) {
      const name = control.dataset.filter, value = this.filter[name];
      if (name === "reviewed" || name === "doubles") control.checked = Boolean(value);
      else if (name === "order") control.value = this.filter.descending ? `${value} down` : value;
      else {
        if (control.matches("select") && ![...control.options].some((option) => option.value === value)) control.add(new Option(value, value));
        control.value = value;
      }
    }
  }

  find() {
    this.querySelector("[data-filter=text]").select();
  }

  keys() {
    this.querySelector("dialog").showModal();
  }

  "close-keys"() {
    this.querySelector("dialog").close();
  }

  async all() {
    if (this.selected.size >= this.total) return this.unselect();
    await this.selectFrom(this.query({}));
  }

  unselect() {
    this.select([]);
  }

  /** Only the samples that say the same as the current one. */
  alike() {
    const row = this.rows.get(this.current);
    if (!row?.alike) return;
    this.filter = { ...NO_FILTER, order: this.filter.order, descending: this.filter.descending, doubles: row.id };
    this.showFilter();
    this.narrow({});
  }

  accept(at) {
    return this.decide("accept", at);
  }

  reject(at) {
    return this.decide("reject", at);
  }

  restore(at) {
    return this.decide("restore", at);
  }

  async decide(wish, at) {
    await this.selecting;
    const row = this.rows.get(this.current);
    const ids = this.selected.size && !at?.one ? [...this.selected] : row ? [row.id] : [];
    if (!ids.length || this.deciding) return;
    this.deciding = true;
    const done = await ask("/decide", { ids, wish });
    this.deciding = false;
    if (!done) return;
    if (!at?.one) this.selected.clear();
    await this.after(done);
  }

  /** The server has written something down: show how things are now, and stay where we were. */
  async after(done) {
    const inGrid = this.view.contains(document.activeElement);
    const aside = this.detail.contains(document.activeElement);
    await this.refresh();
    this.say(done.said, done.before);
    if (inGrid || aside || document.activeElement === document.body) this.drawn.get(this.current)?.focus({ preventScroll: true });
    look();
  }

  async undo() {
    const before = this.undoable;
    if (!before) return;
    this.undoable = null;
    const done = await ask("/undo", { before });
    if (done) await this.after(done);
    else this.say("", before);
  }

  async goBack(version) {
    const done = await ask(`/sample/${encodeURIComponent(this.detail.dataset.id)}/versions/${version}`, {});
    if (done) await this.after(done);
  }
}

customElements.define("ca-review", Review);
