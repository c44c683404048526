// What makes the page of Gradio a desktop product: who asks (headers), what changed (the pulse),
// where we are (the address), and menus and dialogs that behave.

const LANGUAGE = document.documentElement.lang;
export const project = () => projectShown;
export const headers = () => customAiHeaders();

/** Ask the app for JSON; an error becomes the banner and null is returned. */
export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (answer.status === 204) return null;
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  showError(found?.error);
  return null;
}

/** Show an error of the app, {message, hint}, in the banner. */
export function showError(error) {
  if (!error) return;
  const place = errorPlace();
  const template = document.createElement("div");
  template.className = "ca-banner error";
  template.setAttribute("role", "alert");
  const words = document.createElement("div");
  for (const [tag, text] of [["b", error.message], ["p", error.hint]])
    if (text) words.append(Object.assign(document.createElement(tag), { textContent: text }));
  template.append(words);
  place.replaceChildren(template);
}

// An open dialog covers the banner: its errors stand in itself.
const errorPlace = () => document.querySelector("dialog[open] .ca-dialog-error") || document.getElementById("banner") || document.getElementById("early-banner");

// --- htmx: errors have their own place; Gradio draws late, so new parts are adopted.
document.addEventListener("htmx:beforeSwap", (event) => {
  // A refusal comes as a banner, which has its own place.
  if (event.detail.xhr.status !== 422) return;
  event.detail.shouldSwap = true;
  event.detail.target = errorPlace();
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog-body") openDialog();
  if (event.detail.target.id === "banner") event.detail.target.scrollIntoView({ block: "nearest" });
});
// What nobody sees is not asked for; it is as soon as its step is opened. Nor is what the first view
// shows.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (event.detail.requestConfig.verb !== "get" || (isOpen(part) && !customAiOpening.stands(part))) return;
  event.preventDefault();
  part.dataset.stale = "";
});
// Without a project no step is open, even while the style sheet that hides them is on its way.
const isOpen = (part) => (project() || !part.closest("#steps")) && (part.closest("[role=tabpanel]")?.checkVisibility() ?? true);
function freshen() {
  for (const part of document.querySelectorAll("[data-stale]")) {
    if (!isOpen(part)) continue;
    delete part.dataset.stale;
    htmx.ajax("GET", part.getAttribute("hx-get"), { source: part, target: part, swap: "morph:innerHTML" });
  }
}
// A log that somebody opened stays open when the card around it is drawn anew.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details"));
const adopt = (node) => node.nodeType === 1 && (node.matches("[hx-get],[hx-post]") || node.querySelector("[hx-get],[hx-post]")) && htmx.process(node);
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) adopt(node);
}).observe(document.documentElement, { childList: true, subtree: true });

// --- the pulse: what has changed since the last look?
let seen = {}, steps = {}, boot = null, lost = false, timer = null, looking = false;
// The first answer is asked for at once, while Gradio draws the page.
let early = fetch("/api/pulse", { headers: headers() }).catch(() => null);

/** Look at once instead of at the next tick. */
export function look() {
  clearTimeout(timer);
  return pulse();
}

async function pulse() {
  if (looking) return;
  looking = true;
  try {
    const answer = (await early) || (await fetch("/api/pulse", { headers: headers() }));
    early = null;
    if (!answer.ok) throw new Error(answer.status);
    take(await answer.json());
    connection(true);
  } catch {
    connection(false);
  } finally {
    looking = false;
    timer = setTimeout(pulse, document.hidden ? 4000 : lost ? 250 : 1000);
  }
}

function take(now) {
  if (boot && boot !== now.boot) renew();
  boot ??= now.boot;
  // Deleted or renamed in another window: back to the first page.
  if (project() && !now.project) return location.replace(`/${LANGUAGE}/`);
  const first = !Object.keys(seen).length;
  for (const [name, version] of Object.entries(now.versions))
    if (!first && seen[name] !== version) tell(`ca:${name}`);
  seen = now.versions;
  for (const task of now.active) tell(`ca:tick-${task}`);
  steps = now.steps;
  markSteps();
}

// The app was started again: it says at once how the work stands, and gives out pages a little later.
let renewing = false;
async function renew() {
  if (renewing) return;
  renewing = true;
  for (;;) {
    const answer = await fetch("/ready", { cache: "no-store" }).catch(() => null);
    if (answer?.ok && (await answer.json()).state !== "loading") return location.reload();
    await new Promise((go_on) => setTimeout(go_on, 500));
  }
}

/** Say to every part of the page that something changed. */
export const tell = (name, detail) => document.body.dispatchEvent(new CustomEvent(name, { detail }));

function markSteps() {
  for (const [step, { state, label }] of Object.entries(steps))
    for (const button of [tabButton(step), document.querySelector(`#first [data-first="${step}"]`)])
      if (button) mark(button, state, label);
}

function mark(button, state, label) {
  if (button.dataset.state === state) return;
  const before = button.dataset.state;
  button.dataset.state = state;
  button.setAttribute("aria-description", label);
  if (before) document.getElementById("announce").textContent = `${button.textContent.trim()}: ${label}`;
}

function connection(there) {
  if (lost === !there) return;
  lost = !there;
  document.getElementById("connection")?.toggleAttribute("hidden", there);
}

// --- where we are: the tab stands in the address, so a reload comes back to it.
const tabButton = (step) => document.querySelector(`#steps > .tab-wrapper button[role=tab][aria-controls="step-${step}"], #steps button[role=tab]#step-${step}-button`);
const areDrawn = () => document.querySelector("#steps > .tab-wrapper .tab-container:not(.visually-hidden) button[role=tab]");

export function go(step) {
  tabButton(step)?.click();
}

function arrive() {
  const step = location.hash.slice(1);
  const button = step && tabButton(step);
  if (button && button.getAttribute("aria-selected") !== "true") button.click();
}
addEventListener("hashchange", arrive);

document.addEventListener("click", (event) => {
  const at = event.target.closest?.("button, a, [data-dismiss]");
  for (const menu of document.querySelectorAll("details.ca-menu[open]"))
    if (!menu.contains(event.target) || at?.classList.contains("ca-menu-item")) menu.open = false;
  if (!at) return;
  if (at.role === "tab" || at.getAttribute("role") === "tab") {
    const step = (at.getAttribute("aria-controls") || "").replace(/^step-/, "");
    if (step && at.closest("#steps > .tab-wrapper")) {
      // Gradio sets a base address: a bare "#step" would drop the project.
      history.replaceState(null, "", `${location.pathname}${location.search}#${step}`);
      tell("ca:arrived", step);
      setTimeout(freshen);
    }
  }
  if (at.dataset.first) {
    history.replaceState(null, "", `${location.pathname}${location.search}#${at.dataset.first}`);
    customAiOpening.show();
    go(at.dataset.first);  // where Gradio has just drawn it
    freshen();
  }
  if (at.hasAttribute("data-dismiss")) at.closest(".ca-banner").remove();
  if (at.hasAttribute("data-close")) at.closest("dialog").close();
  if (at.dataset.go) go(at.dataset.go);
  if (at.dataset.copy) copy(at);
  if (at.dataset.mode) customAiMode.choose(at.dataset.mode);
  if (at.dataset.language) switchLanguage(at.dataset.language);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.ca-menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  button.dataset.done = "true";
  setTimeout(() => delete button.dataset.done, 1200);
}

async function switchLanguage(language) {
  await ask(`/api/language/${language}`, { method: "POST" });
  location.href = `/${language}/${location.search}${location.hash}`;
}

function openDialog() {
  const dialog = document.getElementById("dialog");
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[autofocus], input, button")?.focus();
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-send-archive]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector(".primary");
  button.disabled = true;
  const name = encodeURIComponent(form.querySelector("[name=name]").value);
  const body = form.querySelector("[type=file]").files[0];
  const answer = await fetch(`/api/projects/open?name=${name}`, { method: "POST", headers: headers(), body });
  button.disabled = false;
  if (answer.ok) location.href = answer.headers.get("HX-Redirect");
  else showError((await answer.json()).error);
});

// --- begin: the frame is there with the page, and lives at once; the steps when Gradio has drawn
// them.
window.customAi = { look, go, tell, ask, headers, project, showError };
customAiMode.apply();
const beating = pulse();
const begin = () => {
  customAiMode.apply();  // Gradio has just decided by itself
  adopt(document.body);
  markSteps();
  arrive();
  customAiOpening.handOver().then(() => {
    freshen();
    Promise.all([beating, customAiOpening.whenFilled]).then(() => (document.body.dataset.ready = ""));
  });
};
const drawing = setInterval(() => {
  if (!areDrawn()) return;
  clearInterval(drawing);
  begin();
}, 30);
document.addEventListener("visibilitychange", () => !document.hidden && look());
document.body.addEventListener("ca:look", look);
