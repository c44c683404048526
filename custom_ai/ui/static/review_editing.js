// Editing a sample in its row of <ca-review>, and coming back to the same place after a reload.
import { project } from "./app.js";
import { NO_FILTER, ask } from "./review_rows.js";

export const Editing = (Base) => class extends Base {
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
    if (words === draft) this.typed();
    await customAiOpening.whenLeft;
    // Whoever has begun with something else meanwhile goes on with that.
    const free = words !== draft || document.activeElement === document.body;
    if (free && this.editing?.editor === editor) editor.querySelector("textarea").focus();
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
};
