// How bringing files in goes, in the words of the page (#uploads).

const MOST_SHOWN = 100;

export const place = () => document.getElementById("uploads");
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
const number = (value) => value.toLocaleString(document.documentElement.lang);
const size = (bytes) => {
  let unit = 0;
  for (; bytes >= 1000 && unit < 3; unit++) bytes /= 1024;
  return `${bytes.toLocaleString(document.documentElement.lang, { maximumFractionDigits: unit && bytes < 100 ? 1 : 0 })}\u202f${["B", "KB", "MB", "GB"][unit]}`;
};

export const busy = (batch) => batch.sending.size + batch.waiting.length > 0 && !batch.cancelled;

/** Show how a batch stands; patient: it waits to be read until the run at work is done. */
export function show(batch, patient) {
  const here = place();
  if (!here) return;
  const working = busy(batch);
  const sent = batch.sentBytes + [...batch.sending].reduce((sum, item) => sum + Math.min(item.sent, item.file.size), 0);
  const values = { done: number(batch.kept), total: number(batch.total), sent: size(sent), size: size(batch.bytes), replaced: number(batch.replaced) };
  const retryable = batch.problems.some((problem) => problem.item);
  here.hidden = !batch.total && !batch.problems.length;
  const state = working ? "atWork" : batch.broken ? "broken" : batch.cancelled ? "cancelled" : "done";
  here.querySelector("[data-words]").textContent = fill(here.dataset[state], values);
  const share = batch.bytes ? (sent / batch.bytes) * 100 : working ? 0 : 100;
  const bar = here.querySelector("[role=progressbar]");
  bar.hidden = !working;
  bar.setAttribute("aria-valuenow", Math.round(share));
  bar.firstElementChild.style.width = `${share}%`;
  const more = here.querySelector("[data-more]");
  more.textContent = [!working && patient && here.dataset.patient, batch.replaced && fill(here.dataset.replaced, values)].filter(Boolean).join(" ");
  more.hidden = !more.textContent;
  here.querySelector("[data-upload=cancel]").hidden = !working;
  here.querySelector("[data-upload=close]").hidden = working;
  here.querySelector("[data-upload=retry]").hidden = working || !retryable;
  problems(here, batch);
  if (!working && batch.total && !batch.announced) {
    batch.announced = true;
    document.getElementById("announce").textContent = here.querySelector("[data-words]").textContent;
  }
}

function problems(here, batch) {
  const details = here.querySelector("details");
  const list = details.querySelector("ul");
  details.hidden = !batch.problems.length;
  if (list.childElementCount === Math.min(batch.problems.length, MOST_SHOWN) && list.dataset.of === String(batch.problems.length)) return;
  list.dataset.of = batch.problems.length;
  const failures = batch.problems.filter((problem) => problem.item).length;
  const refused = batch.problems.length - failures;
  const words = [failures && fill(here.dataset.failed, { count: number(failures) }), refused && fill(here.dataset.refused, { count: number(refused) })];
  details.querySelector("summary").textContent = words.filter(Boolean).join(" · ");
  list.replaceChildren(...batch.problems.slice(0, MOST_SHOWN).map(({ name, reason }) => {
    const line = document.createElement("li");
    line.append(Object.assign(document.createElement("bdi"), { textContent: name }), Object.assign(document.createElement("span"), { textContent: reason }));
    return line;
  }));
  if (batch.problems.length > MOST_SHOWN) list.append(Object.assign(document.createElement("li"), { textContent: "…" }));
}
