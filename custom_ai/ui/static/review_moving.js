// Moving through the rows of <ca-review>, and selecting some of them.
import { ask } from "./review_rows.js";

export const Moving = (Base) => class extends Base {
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
};
