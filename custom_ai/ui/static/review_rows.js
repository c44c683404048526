// The rows of <ca-review>: asked of the server in pieces, drawn where they are in sight.
import { headers, project, showError } from "./app.js";

const PIECE = 150, BEYOND = 6;
export const NO_FILTER = { status: "", split: "", document: "", dataset: "", kind: "", reason: "", text: "", reviewed: false, doubles: "", judged: "", order: "written", descending: false };
const NARROWING = ["status", "split", "document", "dataset", "kind", "reason", "text", "reviewed", "doubles", "judged"];

/** Ask the app; the answer as JSON or text, or null once the error is in the banner. */
export async function ask(path, body, signal) {
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

export const Rows = (Base) => class extends Base {
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
    const there = `${found.counts[""]} ${found.scored}`;
    if (this.asked !== there) this.choose(there);
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

  async choose(there) {
    this.asked = there;
    const found = await ask("/choices");
    for (const [name, values] of Object.entries(found || {})) {
      const select = this.querySelector(`select[data-filter=${name}]`);
      const options = values.map(([value, label]) => new Option(label, value, false, value === this.filter[name]));
      select.replaceChildren(select.options[0], ...options);
      // A single finding tells samples apart, a single document does not.
      select.hidden = values.length < (name === "reason" ? 1 : 2) && !this.filter[name];
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
};
