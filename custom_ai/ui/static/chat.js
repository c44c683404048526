// The conversation: one question, and the answers of both models while they are written.
//
// What was said is kept in this window (sessionStorage), for each project: it is there after a
// reload and after a restart of the app, no other window or person sees it, and it is no part of
// the project's folder, which people pack and pass on. The app itself remembers nothing of it.
import { ask, headers } from "./app.js";

const NOTHING = { turns: [], who: "both", model: "", retrieve: false };
const NEAR_END = 80; // pixels: whoever reads further up is not torn away
const SAVE_MS = 500;

/** The JSON lines of a response, one after the other, as they arrive. */
async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

const json = (value) => ({
  method: "POST",
  headers: { ...headers(), "Content-Type": "application/json" },
  body: JSON.stringify(value),
});

/** What is known of an answer if its window goes before it ends. */
const begun = (turn, model = "", text = "") => ({ question: turn.question, model, text, ended: "cut" });

class Chat extends HTMLElement {
  connectedCallback() {
    if (this.talk) return;
    this.bar = this.querySelector("[data-bar]");
    this.talk = this.querySelector("[data-talk]");
    this.box = this.querySelector("textarea");
    this.state = structuredClone(NOTHING);
    this.running = new Map(); // the place of an answer → what ends its request
    this.addEventListener("htmx:afterSwap", () => this.settle());
    this.addEventListener("change", () => this.choose());
    this.addEventListener("click", (event) => this.click(event.target.closest("button")));
    this.querySelector("[data-ask-form]").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.box.value.trim());
    });
    this.box.addEventListener("keydown", (event) => {
      // While a letter is put together from several keys, Enter ends the letter.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send(this.box.value.trim());
    });
    addEventListener("pagehide", () => this.save());
    this.settle();
  }

  // --- what was said and chosen

  /** The bar came (anew): put back what was chosen; at the first time, what was said, too. */
  settle() {
    const about = this.bar.querySelector("[data-conversation]");
    if (!about) return;
    this.trained = about.dataset.trained === "true";
    if (!this.key) {
      this.key = `ca-chat:${about.dataset.conversation}`;
      this.state = { ...NOTHING, ...JSON.parse(sessionStorage.getItem(this.key) || "{}") };
      this.restore();
    }
    const model = this.bar.querySelector("[name=model]");
    if (model) model.value = this.state.model;
    if (model && model.selectedIndex < 0) model.value = this.state.model = "";
    const who = this.trained ? this.state.who : "base";
    this.bar.querySelector(`[name=who][value=${who}]`).checked = true;
    const retrieve = this.bar.querySelector("[name=retrieve]");
    retrieve.checked = this.state.retrieve && !retrieve.disabled;
  }

  choose() {
    if (!this.key) return;
    if (this.trained) this.state.who = this.bar.querySelector("[name=who]:checked").value;
    this.state.model = this.bar.querySelector("[name=model]")?.value ?? this.state.model;
    this.state.retrieve = this.bar.querySelector("[name=retrieve]").checked;
    this.save();
  }

  save() {
    clearTimeout(this.saving);
    this.saving = null;
    if (!this.key) return;
    const kept = { ...this.state };
    // A window may keep a few megabytes: of a very long conversation, the end.
    for (;;) {
      try {
        return sessionStorage.setItem(this.key, JSON.stringify(kept));
      } catch (error) {
        if (error.name !== "QuotaExceededError" || !kept.turns.length) throw error;
        kept.turns = kept.turns.slice(1);
      }
    }
  }

  saveSoon() {
    this.saving ??= setTimeout(() => this.save(), SAVE_MS);
  }

  async restore() {
    const places = this.state.turns.flatMap((turn) => this.draw(turn));
    this.scroll(true);
    const answers = this.state.turns.flatMap((turn) => Object.values(turn.answers));
    if (!answers.length) return;
    const shown = await ask("/api/chat/shown", json(answers));
    shown?.forEach((html, number) => this.show(places[number], answers[number], html));
    this.scroll(true);
  }

  // --- drawing

  /** Draw a turn; returns the places of its answers. */
  draw(turn) {
    const node = this.part("template[data-turn]");
    node.turn = turn;
    node.querySelector("[data-question]").textContent = turn.question;
    if (!turn.apart) node.querySelector("[data-apart]").remove();
    const expected = node.querySelector("[data-expected]");
    if (turn.expected) expected.querySelector("p").textContent = turn.expected;
    else expected.remove();
    const places = Object.keys(turn.answers).map((side) => this.part(`template[data-side=${side}]`));
    node.querySelector("[data-sides]").append(...places);
    this.talk.append(node);
    this.talk.hidden = false;
    return places;
  }

  part(selector) {
    return this.querySelector(selector).content.firstElementChild.cloneNode(true);
  }

  /** Show an answer that has ended; `html` comes from the app, where all text was escaped. */
  show(place, answer, html) {
    place.querySelector("[data-model]").textContent = answer.model;
    place.querySelector("[data-answer]").innerHTML = html;
    place.querySelector("[data-status]").hidden = true;
    place.querySelector("[data-stop]").hidden = true;
  }

  scroll(always = false) {
    const { scrollHeight, scrollTop, clientHeight } = this.talk;
    if (always || scrollHeight - scrollTop - clientHeight < NEAR_END) this.talk.scrollTop = scrollHeight;
  }

  // --- asking

  click(button) {
    if (!button) return;
    const place = button.closest("section[data-side]");
    if (button.hasAttribute("data-new")) this.begin();
    else if (button.hasAttribute("data-stop")) ask(`/api/chat/stop/${place.answer}`, { method: "POST", headers: headers() });
    else if (button.hasAttribute("data-again")) this.again(place);
    else if (button.dataset.ask) this.send(button.dataset.ask, button.dataset.expects);
  }

  /** A new conversation; answers on their way are stopped by leaving them. */
  begin() {
    for (const leaving of this.running.values()) leaving.abort();
    this.state.turns = [];
    this.talk.replaceChildren();
    this.talk.hidden = true;
    this.save();
    this.box.focus();
  }

  /** Ask. A question with a known answer stands apart: it was learnt without any talk before it. */
  async send(question, expected = "") {
    if (!question || this.running.size || !this.key) return;
    const who = this.trained ? this.state.who : "base";
    const { model, retrieve } = this.state;
    const turn = { question, expected, apart: !!expected, model, retrieve, answers: {} };
    for (const side of who === "both" ? ["base", "tuned"] : [who]) turn.answers[side] = begun(turn);
    this.state.turns.push(turn);
    if (this.box.value.trim() === question) this.box.value = "";
    const places = this.draw(turn);
    this.scroll(true);
    await Promise.all(places.map((place) => this.answer(turn, place)));
  }

  /** Ask one side once more, of the tuned models the one that is chosen now. */
  again(place) {
    if (this.running.size) return;
    const fresh = this.part(`template[data-side=${place.dataset.side}]`);
    const turn = place.closest(".ca-turn").turn;
    turn.model = this.state.model;
    place.replaceWith(fresh);
    this.answer(turn, fresh);
  }

  /** Put the question of a turn to one side, and show the answer while it comes. */
  async answer(turn, place) {
    const side = place.dataset.side, turns = this.state.turns, leaving = new AbortController();
    this.running.set(place, leaving);
    this.busy();
    turn.answers[side] = begun(turn);
    this.save();
    let ended = null;
    try {
      const question = { side, ...turn, answers: undefined, earlier: this.earlier(turn, side) };
      const response = await fetch("/api/chat/answer", { ...json(question), signal: leaving.signal });
      if (response.ok) for await (const event of lines(response)) ended = this.take(event, turn, place) ?? ended;
      else ended = await this.refused(turn, (await response.json()).error);
    } catch (error) {
      // The app is gone, or somebody began a new conversation: what there is of it stays.
      if (!leaving.signal.aborted) console.warn(error);
    }
    this.running.delete(place);
    this.busy();
    if (leaving.signal.aborted || this.state.turns !== turns) return;
    if (ended) turn.answers[side] = ended.answer;
    this.save();
    const html = ended?.html ?? (await ask("/api/chat/shown", json([turn.answers[side]])).catch(() => null))?.[0];
    if (html !== undefined) this.show(place, turn.answers[side], html);
    this.scroll();
    const name = place.getAttribute("aria-label");
    document.getElementById("announce").textContent = `${this.dataset.finished} ${name}`;
  }

  /** One event of an answer on its way; returns the last one. */
  take(event, turn, place) {
    const status = place.querySelector("[data-status] span");
    if (event.kind === "done") return event;
    if (event.kind === "began") {
      place.answer = event.id;
      place.querySelector("[data-stop]").hidden = false;
      place.querySelector("[data-model]").textContent = event.model;
      turn.answers[place.dataset.side] = begun(turn, event.model);
    } else if (event.kind === "status") {
      status.textContent = event.text;
    } else {
      turn.answers[place.dataset.side].text += event.text;
      place.querySelector("[data-text]").append(event.text);
      status.textContent = "";
      this.saveSoon();
      this.scroll();
    }
    return null;
  }

  async refused(turn, error) {
    if (!error) return null;
    const answer = { ...begun(turn), ended: "failed", error: { message: error.message, hint: error.hint || "" } };
    return { answer, html: (await ask("/api/chat/shown", json([answer])))?.[0] };
  }

  /** What this side was asked and answered before this turn, in the same talk. */
  earlier(turn, side) {
    if (turn.apart) return [];
    const before = this.state.turns.slice(0, this.state.turns.indexOf(turn));
    return before
      .slice(Math.max(0, before.findLastIndex((turn) => turn.apart)))
      .filter((said) => said.answers[side]?.text)
      .flatMap((said) => [
        { role: "user", content: said.question },
        { role: "assistant", content: said.answers[side].text },
      ]);
  }

  busy() {
    const busy = this.running.size > 0;
    this.toggleAttribute("data-running", busy);
    this.querySelector("[data-send]").disabled = busy;
  }
}
customElements.define("ca-chat", Chat);
