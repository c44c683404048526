// Bringing files in: dropped, chosen or pasted files and folders go to the app one by one, two at a
// time; when all are there, the app is asked to read them. The words stand in the page (#uploads).
import { ask, headers, look, project, tell } from "./app.js";
import { dropped, plain } from "./upload_dropped.js";
import { busy, place, show } from "./upload_view.js";

const AT_ONCE = 2;
const TRIES = 4, WAIT = 1500; // while the app starts again, for instance

const fresh = () => ({ waiting: [], sending: new Set(), kept: 0, replaced: 0, problems: [], total: 0, bytes: 0, sentBytes: 0, names: new Set(), cancelled: false, finished: 0 });
let batch = fresh();
const zone = () => document.getElementById("drop");
const shown = () => zone()?.offsetParent != null;

// --- what can go, and under which name

function take(found) {
  if (!found.length) return;
  if (!batch.waiting.length && !batch.sending.size) batch = fresh();
  const { suffixes, most } = zone().dataset;
  const known = suffixes.split(" ");
  for (const { file, name } of found) {
    const inner = name.split("/");
    // What systems and Office leave beside documents is nobody's document.
    if (inner.some((part) => part.startsWith(".") || part.startsWith("~$"))) continue;
    const suffix = /\.[^./]*$/.exec(name)?.[0].toLowerCase();
    if (!file) refuse(name, place().dataset.unreadable);
    else if (!known.includes(suffix)) refuse(name, place().dataset.kind);
    else if (file.size > Number(most)) refuse(name, place().dataset.big);
    else add(file, single(name));
  }
  draw();
  pump();
}

function add(file, name) {
  batch.waiting.push({ file, name, sent: 0, tries: 0 });
  batch.total += 1;
  batch.bytes += file.size;
}

const refuse = (name, reason) => batch.problems.push({ name, reason });

/** Two files of one name in one batch are two files: the second gets a number. */
function single(name) {
  const [, stem, suffix] = /^(.*?)(\.[^./]*)?$/s.exec(name);
  let free = name;
  for (let n = 2; batch.names.has(free.normalize("NFC").toLowerCase()); n++) free = `${stem} (${n})${suffix}`;
  batch.names.add(free.normalize("NFC").toLowerCase());
  return free;
}

// --- sending

function pump() {
  while (batch.sending.size < AT_ONCE && batch.waiting.length) send(batch.waiting.shift());
  if (!batch.sending.size && !batch.waiting.length) finish();
}

function send(item) {
  const mine = batch;
  const request = new XMLHttpRequest();
  item.request = request;
  item.sent = 0;
  mine.sending.add(item);
  request.open("POST", `/api/documents/upload?name=${encodeURIComponent(item.name)}`);
  const said = { ...headers(), "Content-Type": "application/octet-stream" };
  for (const [name, value] of Object.entries(said)) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => { item.sent = event.loaded; draw(); };
  request.onloadend = () => {
    mine.sending.delete(item);
    if (mine !== batch || mine.cancelled) return;
    if (request.status === 200) kept(item, request);
    else if (request.status === 0 && ++item.tries < TRIES) again(item);
    else failed(item, request);
    draw();
    if (!item.timer) pump();
  };
  request.send(item.file);
}

function kept(item, request) {
  batch.kept += 1;
  batch.replaced += JSON.parse(request.responseText).replaced ? 1 : 0;
  batch.sentBytes += item.file.size;
}

function again(item) {
  // It counts as being sent while it waits, so that the batch doesn't end without it.
  batch.sending.add(item);
  item.timer = setTimeout(() => {
    item.timer = null;
    batch.sending.delete(item);
    batch.waiting.unshift(item);
    pump();
  }, WAIT);
}

function failed(item, request) {
  let error = null;
  try { error = JSON.parse(request.responseText).error; } catch { /* no words of ours */ }
  const reason = error ? `${error.message} ${error.hint}` : place().dataset.lost;
  batch.problems.push({ name: item.name, reason, item });
  // A full disk takes no other file either.
  if (error?.code === "errors.disk_full")
    for (const rest of batch.waiting.splice(0)) batch.problems.push({ name: rest.name, reason, item: rest });
}

function cancel() {
  batch.cancelled = true;
  for (const item of batch.sending) { clearTimeout(item.timer); item.request.abort(); }
  batch.sending.clear();
  batch.waiting = [];
  draw();
  refresh();
}

function retry() {
  const items = batch.problems.filter((problem) => problem.item).map((problem) => problem.item);
  batch.problems = batch.problems.filter((problem) => !problem.item);
  for (const item of items) Object.assign(item, { tries: 0, sent: 0 });
  batch.waiting.push(...items);
  draw();
  pump();
}

function finish() {
  if (batch.finished === batch.kept) return draw();
  batch.finished = batch.kept;
  draw();
  wish(true);
  read();
}

// --- having them read: now, or when the run at work is done. The wish survives a reload.

const KEY = () => `custom-ai.read.${project()}`;
const wish = (wanted) => (wanted ? sessionStorage.setItem(KEY(), "1") : sessionStorage.removeItem(KEY()));
const wished = () => sessionStorage.getItem(KEY()) === "1";
let asking = false, askAgain = false;

async function read() {
  if (!wished()) return;
  // What changed while the answer is on its way may be what the answer doesn't know yet.
  if (asking) return void (askAgain = true);
  asking = true;
  askAgain = false;
  try {
    const answer = await fetch("/api/documents/read?patient=true", { method: "POST", headers: headers() });
    // 202: another run is at work. An error stands in the banner, and the files are offered.
    if (answer.status !== 202) wish(false);
    if (answer.status === 422) await ask("/api/documents/read?patient=true", { method: "POST" });
  } catch {
    // The app is away; the next look at the runs asks again.
  } finally {
    asking = false;
    draw();
    refresh();
    if (askAgain) read();
  }
}

function refresh() {
  tell("ca:documents");
  look();
}

function draw() {
  show(batch, wished());
  if (place()) note(busy(batch));
}

// --- a batch that a reload broke off: the browser forgets its files, people must not have to guess

const NOTE = () => `custom-ai.upload.${project()}`;
const note = (working) => (working ? sessionStorage.setItem(NOTE(), JSON.stringify([batch.kept, batch.total])) : sessionStorage.removeItem(NOTE()));

function recall() {
  const noted = sessionStorage.getItem(NOTE());
  if (!noted || busy(batch)) return;
  const [kept, total] = JSON.parse(noted);
  batch = { ...fresh(), kept, total, broken: true };
  draw();
}

// --- events; Gradio draws late, so they are heard at the document

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const over = (on) => zone()?.classList.toggle("over", on);
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  // Elsewhere the browser would leave the app and show the file.
  event.preventDefault();
  event.dataTransfer.dropEffect = shown() && project() ? "copy" : "none";
  over(shown());
});
document.addEventListener("dragleave", (event) => !event.relatedTarget && over(false));
document.addEventListener("drop", async (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  over(false);
  if (shown() && project() && !document.querySelector("dialog[open]")) take(await dropped(event.dataTransfer));
});
document.addEventListener("paste", (event) => {
  const files = event.clipboardData?.files;
  if (!files?.length || !shown() || !project() || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  take(plain(files));
});
document.addEventListener("change", (event) => {
  if (!["choose-files", "choose-folder"].includes(event.target.id)) return;
  take(plain(event.target.files));
  event.target.value = ""; // the same file can be chosen again
});
document.addEventListener("click", (event) => {
  const at = event.target.closest?.("[data-choose], [data-upload], [data-chunks-of]");
  if (!at) return;
  if (at.dataset.choose) document.getElementById(`choose-${at.dataset.choose}`).click();
  else if (at.dataset.upload) ({ cancel, retry, close: () => { batch = fresh(); draw(); } })[at.dataset.upload]();
  else showChunks(at.dataset.chunksOf);
});
addEventListener("beforeunload", (event) => {
  if (busy(batch)) event.preventDefault();
});
document.body.addEventListener("ca:runs", read);
read();
const drawn = setInterval(() => {
  if (!place()) return;
  clearInterval(drawn);
  recall();
}, 100);

/** Show the chunks of one document, or of all for "". */
function showChunks(document_) {
  const form = document.getElementById("chunks");
  form.elements.q.value = "";
  form.elements.document.value = document_;
  if (form.elements.page) form.elements.page.value = 1;
  form.requestSubmit();
  if (document_) form.scrollIntoView({ behavior: "smooth", block: "start" });
}
