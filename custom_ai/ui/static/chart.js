// The curves of trainings as SVG: drawn in the colours of the page, live while a run is at work.
// <ca-chart data-live> shows the newest training; <ca-chart data-compare> those that are ticked.
import { ask } from "./app.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 280, LEFT = 52, RIGHT = 14, TOP = 12, BOTTOM = 30;
const COLOURS = 5;

/** Round numbers between low and high, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough)), share = rough / power;
  const step = (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(+value.toPrecision(8));
  return found;
}

/** The running mean that makes the trend of a jumpy curve visible. */
function smooth(points) {
  let mean = null;
  return points.map(([step, value]) => [step, (mean = mean === null ? value : mean * 0.85 + value * 0.15)]);
}

class Chart extends HTMLElement {
  connectedCallback() {
    if (this.runs) return;
    this.runs = new Map(); // run → {offset, loss: Map(step → value), eval_loss: Map}
    this.plot = this.appendChild(document.createElement("div"));
    this.plot.className = "ca-plot";
    const again = () => this.update();
    for (const name of ["ca:tick-train", "ca:runs", "ca:chart"]) document.body.addEventListener(name, again);
    document.addEventListener("ca:mode", () => this.draw());
    document.addEventListener("change", (event) => event.target.dataset.compare && this.update());
    new ResizeObserver(() => this.draw()).observe(this);
    this.update();
  }

  wanted() {
    if ("live" in this.dataset) return [0];
    return [...document.querySelectorAll("input[data-compare]:checked")].map((box) => +box.dataset.compare);
  }

  async update() {
    if (this.busy) return;
    this.busy = true;
    const numbers = this.wanted();
    for (const number of numbers) await this.fetch(number);
    this.shown = numbers.map((number) => (number === 0 ? this.newest : number)).filter((n) => this.runs.has(n));
    this.busy = false;
    this.draw();
  }

  async fetch(number) {
    const known = this.runs.get(number === 0 ? this.newest : number);
    let found = await ask(`/api/training/curves/${number}?after=${known?.offset || 0}`);
    if (!found?.run) return void (number === 0 && (this.newest = null));
    if (number === 0 && found.run !== this.newest && known) found = await ask("/api/training/curves/0?after=0");
    if (number === 0) this.newest = found.run;
    const kept = this.runs.get(found.run) || { loss: new Map(), eval_loss: new Map() };
    for (const name of ["loss", "eval_loss"]) for (const [step, value] of found[name]) kept[name].set(step, value);
    kept.offset = found.offset;
    this.runs.set(found.run, kept);
  }

  series() {
    const sorted = (map) => [...map].sort((a, b) => a[0] - b[0]);
    return (this.shown || []).map((number, index) => {
      const { loss, eval_loss } = this.runs.get(number);
      return { number, colour: index % COLOURS + 1, loss: sorted(loss), evaluation: sorted(eval_loss) };
    });
  }

  draw() {
    const all = this.series(), points = all.flatMap((run) => [...run.loss, ...run.evaluation]);
    if (points.length < 2) {
      const empty = Object.assign(document.createElement("p"), { className: "ca-empty", textContent: this.dataset.empty });
      return this.plot.replaceChildren(empty);
    }
    const width = this.clientWidth;
    if (!width) return;
    const steps = points.map((p) => p[0]), values = points.map((p) => p[1]);
    const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * 0.06 || 0.1;
    const y0 = Math.max(0, low - pad), y1 = high + pad, x1 = Math.max(...steps);
    const X = (step) => LEFT + (step / x1) * (width - LEFT - RIGHT);
    const Y = (value) => TOP + ((y1 - value) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
    const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": this.dataset.about });
    for (const value of ticks(y0, y1, 5)) {
      svg.append(make("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: Y(value), y2: Y(value) }));
      svg.append(text(LEFT - 8, Y(value) + 4, "end", number(value)));
    }
    for (const step of ticks(0, x1, 7)) svg.append(text(X(step), HEIGHT - 8, "middle", number(step)));
    for (const run of all) this.lines(svg, run, X, Y);
    this.plot.replaceChildren(this.legend(all), svg);
    this.hover(svg, all, X, Y, width, x1);
  }

  lines(svg, run, X, Y) {
    const path = (points) => points.map(([s, v], i) => `${i ? "L" : "M"}${X(s).toFixed(1)} ${Y(v).toFixed(1)}`).join("");
    const alone = (this.shown || []).length === 1;
    const evaluation = alone ? 2 : run.colour;
    svg.append(make("path", { class: "raw", style: colour(run.colour), d: path(run.loss) }));
    svg.append(make("path", { class: "trend", style: colour(run.colour), d: path(smooth(run.loss)) }));
    svg.append(make("path", { class: "evaluation", style: colour(evaluation), d: path(run.evaluation) }));
    for (const [step, value] of run.evaluation) svg.append(make("circle", { style: colour(evaluation), r: 3, cx: X(step), cy: Y(value) }));
  }

  legend(all) {
    const legend = Object.assign(document.createElement("div"), { className: "ca-legend" });
    const entry = (index, label, dashed) => {
      const item = document.createElement("span"), line = document.createElement("i");
      line.style.cssText = colour(index);
      if (dashed) line.className = "dashed";
      item.append(line, label);
      legend.append(item);
    };
    if (all.length === 1) {
      entry(1, this.dataset.loss);
      if (all[0].evaluation.length) entry(2, this.dataset.eval, true);
    } else for (const run of all) entry(run.colour, `${this.dataset.run} ${run.number}`);
    return legend;
  }

  hover(svg, all, X, Y, width, last) {
    const line = make("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    svg.append(line);
    const tip = Object.assign(document.createElement("div"), { className: "ca-tip", hidden: true });
    this.plot.append(tip);
    svg.addEventListener("pointerleave", () => { tip.hidden = true; line.setAttribute("visibility", "hidden"); });
    svg.addEventListener("pointermove", (event) => {
      const at = event.clientX - svg.getBoundingClientRect().left;
      const step = Math.round(((at - LEFT) / (width - LEFT - RIGHT)) * last);
      const rows = all.flatMap((run) => this.row(run, step, all.length > 1));
      if (!rows.length || step < 0) return;
      line.setAttribute("x1", X(step)); line.setAttribute("x2", X(step)); line.setAttribute("visibility", "visible");
      tip.replaceChildren(...[`${this.dataset.step} ${step}`, ...rows].map((row) => Object.assign(document.createElement("div"), { textContent: row })));
      tip.hidden = false;
      tip.style.left = `${Math.min(X(step) + 12, width - tip.offsetWidth - 4)}px`;
    });
  }

  row(run, step, named) {
    const nearest = (points) => points.reduce((best, p) => (!best || Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best), null);
    const prefix = named ? `${this.dataset.run} ${run.number} · ` : "";
    const found = [];
    const loss = nearest(run.loss), evaluation = nearest(run.evaluation);
    if (loss) found.push(`${prefix}${this.dataset.loss}: ${number(loss[1])}`);
    if (evaluation) found.push(`${prefix}${this.dataset.eval}: ${number(evaluation[1])}`);
    return found;
  }
}

const colour = (index) => `--colour: var(--ca-series-${index})`;
const number = (value) => Number(value.toPrecision(4)).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 6 });
function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
function text(x, y, anchor, content) {
  const element = make("text", { x, y, "text-anchor": anchor });
  element.textContent = content;
  return element;
}

customElements.define("ca-chart", Chart);
