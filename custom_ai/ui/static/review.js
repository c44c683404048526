// <ca-review>: the table of samples. Only the rows in sight are drawn, whatever their number; rows
// come in pieces and are redrawn when the project's samples change, without moving under the hand
// that works on them. What was decided or typed counts as saved when the server has said so.
import { headers, look, project, showError } from "./app.js";

const PIECE = 150, BEYOND = 6;
const NO_FILTER = { status: "", split: "", document: "", kind: "", text: "", reviewed: false, order: "written", descending: false };
const NARROWING = ["status", "split", "document", "kind", "text", "reviewed"];
const KEYS = { j: "down", ArrowDown: "down", k: "up", ArrowUp: "up", PageDown: "pageDown", PageUp: "pageUp", Home: "first", End: "last",
  a: "accept", r: "reject", u: "restore", e: "edit", Enter: "edit", " ": "select", "/": "find", "?": "keys", Escape: "unselect" };

/** Ask the app; the answer as JSON or text, or null once the error is in the banner. */
async function ask(path, body, signal) {
  const post = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  try {
    const answer = await fetch(`/api/review${path}`, { ...post, signal, headers: { ...headers(), "Content-Type": "application/json" } });
    const json = answer.headers.get("content-type")?.includes("json");
    const found = json ? await answer.json() : await answer.text();
    if (answer.ok) return found;
    showError(found.error);
  } catch {
    // The app is not there, or nobody waits for the answer any more: the pulse says which.
  }
  return null;
}

class Review extends HTMLElement {
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

  // --- what is asked of the server

  /** Nothing is asked while nobody sees it: to read all samples for the first time takes a while. */
  appear() {
    this.rowHeight = 0;
    if (!project() || !this.querySelector(".rv-body").clientHeight) return;
    if (this.stale) this.refresh();
    else this.draw();
  }

  query(more) {
    const said = Object.entries({ ...this.filter, ...more }).filter(([, value]) => value !== "" && value !== false);
    return new URLSearchParams(said);
  }

  /** Ask anew for what is in sight. The row that somebody works on stays where it is. */
  refresh() {
    return (this.newest = this.fetchRows());
  }

  async fetchRows() {
    this.stale = false;
    const turn = ++this.turn;
    const index = (this.anchorAt = this.current), anchor = this.anchor();
    const offset = Math.max(0, this.firstInSight() - PIECE / 3);
    const found = await ask(`?${this.query({ offset: Math.floor(offset), limit: PIECE, anchor, index })}`);
    // Somebody asked anew meanwhile: what comes then is what counts.
    if (turn !== this.turn) return this.newest;
    if (!found) return void (this.stale = true);
    // Meanwhile another row may have become the current one: it moves along.
    this.take(found);
    if (!this.asked || this.asked !== found.counts[""]) this.choose(found.counts[""]);
    return true;
  }

  anchor() {
    return this.sought || this.rows.get(this.current)?.id || "";
  }

  take(found) {
    this.sought = "";
    this.total = found.total;
    this.rows = new Map(found.rows.map((row, i) => [found.offset + i, row]));
    this.stretch();
    if (found.moved) this.move(found.moved);
    if (found.anchor) this.rows.set(this.anchorAt + found.moved, found.anchor);
    this.current = Math.max(0, Math.min(this.current, this.total - 1));
    this.classList.add("rv-read");
    this.showCounts(found.counts);
    const count = this.total.toLocaleString(document.documentElement.lang);
    this.querySelector("[data-found]").textContent = this.dataset.found.replace("{count}", count);
    this.draw();
    this.show();
    this.reopen();
  }

  /** Rows came or went before the current one: it keeps its place on the screen. */
  move(by) {
    const kept = [...this.drawn].filter(([number]) => number === this.current || number === this.editing?.number);
    for (const [number, element] of this.drawn) if (!kept.some(([k]) => k === number)) element.remove();
    this.drawn = new Map(kept.map(([number, element]) => [number + by, element]));
    if (this.editing) this.editing.number += by;
    this.current += by;
    this.mark += by;
    if (this.top === undefined) this.view.scrollTop += by * this.height();
    else this.top += by * this.height();
  }

  /** Ask for the rows in sight that are not here yet; one question at a time. */
  async fill() {
    if (this.filling) return;
    const [first, last] = this.inSight();
    let missing = first;
    while (missing <= last && this.rows.has(missing)) missing++;
    if (missing > last) return;
    this.filling = true;
    const turn = this.turn;
    const offset = Math.max(0, missing - PIECE / 3);
    const found = await ask(`?${this.query({ offset: Math.floor(offset), limit: PIECE })}`);
    this.filling = false;
    if (!found || turn !== this.turn) return;
    if (found.total !== this.total) return void this.refresh();
    found.rows.forEach((row, i) => this.rows.set(found.offset + i, row));
    this.draw();
  }

  async choose(count) {
    this.asked = count;
    const found = await ask("/choices");
    for (const [name, values] of Object.entries(found || {})) {
      const select = this.querySelector(`select[data-filter=${name}]`);
      const options = values.map((value) => new Option(value, value, false, value === this.filter[name]));
      select.replaceChildren(select.options[0], ...options);
      select.hidden = values.length < 2 && !this.filter[name];
    }
  }

  // --- what is drawn

  /** Of a row, in pixels; narrow windows have higher ones. Measured when the size changes. */
  height() {
    return (this.rowHeight ||= parseFloat(getComputedStyle(this).getPropertyValue("--rv-row")));
  }

  /** As high as all rows together, so that the scrollbar tells the truth. */
  stretch() {
    const wanted = `${this.total * this.height()}px`;
    if (this.space.style.height !== wanted) this.space.style.height = wanted;
  }

  firstInSight() {
    return Math.floor(this.view.scrollTop / this.height());
  }

  inSight() {
    const first = this.firstInSight();
    const last = first + Math.ceil(this.view.clientHeight / this.height()) + BEYOND;
    return [Math.max(0, first - BEYOND), Math.min(this.total - 1, last)];
  }

  later() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const [first, last] = this.inSight();
    this.lastTop = this.view.scrollTop;
    // The current row is always there: it is where the Tab key comes in.
    const wanted = new Set([this.current, this.editing?.number].filter((n) => n >= 0 && n < this.total));
    for (let number = first; number <= last; number++) wanted.add(number);
    for (const [number, element] of this.drawn)
      if (!wanted.has(number)) {
        element.remove();
        this.drawn.delete(number);
      }
    const height = this.height();
    this.stretch();
    this.grid.setAttribute("aria-rowcount", this.total + 1);
    for (const number of [...wanted].sort((a, b) => a - b)) this.place(number, height);
    if (first <= last) this.fill();
  }

  place(number, height) {
    let element = this.drawn.get(number);
    if (!element) {
      element = this.querySelector("[data-row]").content.firstElementChild.cloneNode(true);
      this.drawn.set(number, element);
      this.space.append(element);
    }
    element.style.transform = `translateY(${number * height}px)`;
    element.setAttribute("aria-rowindex", number + 2);
    const current = number === this.current;
    element.tabIndex = current ? 0 : -1;
    element.classList.toggle("current", current);
    const row = this.rows.get(number);
    element.classList.toggle("waiting", !row);
    if (!row) return;
    const selected = this.selected.has(row.id);
    element.setAttribute("aria-selected", selected);
    element.querySelector("[data-do=select]").checked = selected;
    if (element.row === row || element === this.editing?.element) return;
    element.row = row;
    for (const field of element.querySelectorAll("[data-field]")) field.textContent = row[field.dataset.field];
    element.querySelector(".ca-pill").className = `ca-pill rv-${row.status}`;
    element.querySelector("bdi").title = row.file;
  }

  showCounts(counts) {
    for (const button of this.querySelectorAll("[data-status]")) {
      button.querySelector("span").textContent = (counts[button.dataset.status] || 0).toLocaleString(document.documentElement.lang);
      button.setAttribute("aria-pressed", button.dataset.status === this.filter.status);
    }
    const narrowed = NARROWING.some((name) => this.filter[name] !== NO_FILTER[name]);
    for (const button of this.querySelectorAll("[data-do=reset]")) button.hidden = !narrowed;
    this.querySelector(".rv-none").hidden = this.total > 0 || narrowed;
    this.querySelector(".rv-no-match").hidden = this.total > 0 || !narrowed;
    this.classList.toggle("rv-empty", !this.total);
    this.classList.toggle("rv-bare", !this.total && !narrowed);
    this.showSelection();
  }

  showSelection() {
    this.querySelector(".rv-bulk").hidden = !this.selected.size;
    const count = this.selected.size.toLocaleString(document.documentElement.lang);
    this.querySelector("[data-selected-count]").textContent = this.dataset.selected.replace("{count}", count);
    const all = this.querySelector("[data-do=all]");
    all.checked = this.total > 0 && this.selected.size >= this.total;
    all.indeterminate = this.selected.size > 0 && !all.checked;
  }

  /** The current sample in full, once the reader stays there for a moment. */
  show() {
    clearTimeout(this.showing);
    const row = this.rows.get(this.current);
    if (!row) return void (this.total || this.detail.replaceChildren());
    const said = JSON.stringify(row);
    if (said === this.shown) return;
    this.showing = setTimeout(async () => {
      this.hearing?.abort();
      this.hearing = new AbortController();
      const text = await ask(`/sample/${encodeURIComponent(row.id)}`, undefined, this.hearing.signal);
      if (typeof text !== "string") return;
      const same = this.detail.dataset.id === row.id;
      this.shown = said;
      this.detail.dataset.id = row.id;
      this.detail.innerHTML = text; // made by the server, which has escaped what is not its own
      if (!same) this.detail.scrollTop = 0;
      const passage = this.detail.querySelector(".rv-passage"), found = passage?.querySelector("mark");
      if (found) passage.scrollTop = found.offsetTop - passage.clientHeight / 3;
    }, 70);
  }

  say(text, before) {
    this.querySelector("[data-said]").textContent = text;
    this.undoable = before && Object.keys(before).length ? before : null;
    this.querySelector("[data-do=undo]").hidden = !this.undoable;
  }

  // --- moving and selecting

  go(number, extend = false) {
    if (!this.total) return;
    number = Math.max(0, Math.min(this.total - 1, number));
    const height = this.height(), top = number * height, view = this.view;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + height > view.scrollTop + view.clientHeight) view.scrollTop = top + height - view.clientHeight;
    this.current = number;
    this.draw();
    this.drawn.get(number)?.focus({ preventScroll: true });
    if (extend) this.selectRange();
    else this.mark = number;
    this.show();
  }

  /** Whichever way the focus came to a row: that is the one the keys are about. */
  entered(event) {
    const number = this.numberOf(event.target);
    if (number === undefined || number === this.current || this.editing) return;
    this.current = number;
    this.draw();
    this.show();
  }

  numberOf(node) {
    const element = node.closest(".rv-row");
    return [...this.drawn].find(([, drawn]) => drawn === element)?.[0];
  }

  async selectRange() {
    const [first, last] = [Math.min(this.mark, this.current), Math.max(this.mark, this.current)];
    const rows = Array.from({ length: last - first + 1 }, (_, i) => this.rows.get(first + i));
    if (rows.every(Boolean)) this.select(rows.map((row) => row.id));
    else await this.selectFrom(this.query({ first, last }));
  }

  /** A decision that is made at once waits for this: it is about all of them. */
  selectFrom(query) {
    this.selecting = ask(`/ids?${query}`).then((ids) => ids && this.select(ids));
    return this.selecting;
  }

  select(ids) {
    this.selected = new Set(ids);
    this.showSelection();
    this.draw();
  }

  toggle() {
    const id = this.rows.get(this.current)?.id;
    if (!id) return;
    if (!this.selected.delete(id)) this.selected.add(id);
    this.mark = this.current;
    this.select(this.selected);
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
      if (name === "reviewed") control.checked = value;
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

  // --- editing in the row

  /** Edit the current sample; `draft` holds what was typed before the page was loaded anew. */
  async edit(draft) {
    if (this.opening || this.editing) return;
    const number = this.current, row = this.rows.get(number);
    if (!row) return;
    this.opening = true;
    const full = row.long ? await ask(`/sample/${encodeURIComponent(row.id)}/words`) : row;
    this.opening = false;
    const element = this.drawn.get(this.current);
    if (!full || !element || this.rows.get(this.current)?.id !== row.id) return;
    const editor = this.querySelector("[data-editor]").content.firstElementChild.cloneNode(true);
    this.editing = { id: row.id, number: this.current, element, editor, before: full };
    element.append(editor);
    element.classList.add("editing");
    const words = draft?.id === row.id ? draft : full;
    for (const area of editor.querySelectorAll("textarea")) area.value = words[area.dataset.word];
    this.grow();
    editor.querySelector("textarea").focus();
    if (words === draft) this.typed();
  }

  typedWords() {
    return Object.fromEntries([...this.editing.editor.querySelectorAll("textarea")].map((area) => [area.dataset.word, area.value]));
  }

  hasChanged() {
    const words = this.typedWords();
    return words.instruction !== this.editing.before.instruction || words.output !== this.editing.before.output;
  }

  typed() {
    this.grow();
    this.state(this.hasChanged() ? this.dataset.changed : "");
    // Should the page be loaded anew, what was typed is still there.
    sessionStorage.setItem(this.draftKey(), JSON.stringify({ id: this.editing.id, ...this.typedWords() }));
  }

  grow() {
    for (const area of this.editing.editor.querySelectorAll("textarea")) {
      area.style.height = "auto";
      area.style.height = `${Math.min(area.scrollHeight + 2, 260)}px`;
    }
  }

  state(text, bad = false) {
    const line = this.editing.editor.querySelector(".rv-editor-state");
    line.textContent = text;
    line.classList.toggle("bad", bad);
  }

  left(event) {
    const editing = this.editing;
    // Another window in front is no reason to save.
    if (!editing || !editing.editor.contains(event.target) || editing.editor.contains(event.relatedTarget) || !document.hasFocus()) return;
    this.save();
  }

  async save(stay) {
    const editing = this.editing;
    if (!editing || editing.saving) return;
    if (!this.hasChanged()) return this.close(stay);
    const words = this.typedWords();
    editing.saving = true;
    this.state(this.dataset.saving);
    const done = await ask(`/sample/${encodeURIComponent(editing.id)}/words`, words);
    editing.saving = false;
    if (!done) return this.state(this.dataset.lost, true);
    // Somebody may have typed on while it was on its way.
    const now = this.typedWords();
    editing.before = words;
    if (now.instruction !== words.instruction || now.output !== words.output) return this.typed();
    this.close(stay || editing.editor.contains(document.activeElement));
    await this.after(done);
  }

  cancel() {
    this.close(true);
  }

  close(stay) {
    const { element, editor, number } = this.editing;
    this.editing = null;
    sessionStorage.removeItem(this.draftKey());
    if (stay) this.current = number;
    element.classList.remove("editing");
    if (stay) element.focus({ preventScroll: true });
    editor.remove();
    this.draw();
  }

  // --- a reload comes back to the same place

  placeKey() {
    return `review-place:${project()}`;
  }

  draftKey() {
    return `review-draft:${project()}`;
  }

  remember() {
    const place = { filter: this.filter, id: this.anchor(), current: this.current, top: this.lastTop };
    if (this.classList.contains("rv-read")) sessionStorage.setItem(this.placeKey(), JSON.stringify(place));
  }

  recall() {
    const kept = JSON.parse(sessionStorage.getItem(this.placeKey()) || "null");
    if (!kept) return;
    this.filter = { ...NO_FILTER, ...kept.filter };
    this.sought = kept.id;
    this.current = this.mark = kept.current;
    this.top = kept.top;
    this.showFilter();
    this.firstInSight = () => Math.floor(kept.top / this.height());
  }

  reopen() {
    if (this.top !== undefined) {
      delete this.firstInSight;
      this.view.scrollTop = this.top;
      delete this.top;
      this.draw();
    }
    const draft = JSON.parse(sessionStorage.getItem(this.draftKey()) || "null");
    if (draft && !this.editing && this.rows.get(this.current)?.id === draft.id) this.edit(draft);
  }
}

customElements.define("ca-review", Review);
