// The first view: what stands there until Gradio has drawn the page. It shows the step in the
// address, with the cards of the runs at work, and hands them over to the page when that is there.
window.customAiOpening = (() => {
  const view = () => document.getElementById("first");
  const step = () => location.hash.slice(1);

  // Gradio draws the step in the address first, not the first one and then that.
  const tabs = window.gradio_config?.components.find((one) => one.props.elem_id === "steps");
  if (tabs && step()) tabs.props.selected = step();

  function show() {
    const buttons = [...(view()?.querySelectorAll("[data-first]") ?? [])];
    const chosen = buttons.find((button) => button.dataset.first === step()) ?? buttons[0];
    for (const button of buttons) {
      button.setAttribute("aria-selected", String(button === chosen));
      document.getElementById(button.getAttribute("aria-controls")).hidden = button !== chosen;
    }
  }

  // The part of the page that a card stands for until then; meanwhile it asks for nothing itself.
  const stands = (part) => !part.closest("#first") && cards().find((card) => card.getAttribute("hx-get") === part.getAttribute("hx-get"));
  const cards = () => [...(view()?.querySelectorAll(".ca-card-of-run") ?? [])];

  const place = (card) => document.querySelector(`#steps [hx-get="${card.getAttribute("hx-get")}"]`);
  const waits = () => cards().some((card) => card.checkVisibility() && !place(card));

  // Each card moves to its place as it is: what is open in it stays open, and what has the focus
  // keeps it. It may have been on the way to be drawn anew: its place asks once more. Gradio draws
  // what is in a step a moment after the steps; a card that has no place keeps nobody waiting.
  async function handOver() {
    let looks = 0;
    do await new Promise((go_on) => setTimeout(go_on, 30)); while (waits() && ++looks < 100);
    const focused = document.activeElement;
    for (const card of cards()) {
      if (!place(card)) continue;
      place(card).replaceChildren(...card.childNodes);
      place(card).dataset.stale = "";
    }
    const chosen = focused?.dataset.first;
    view()?.remove();
    becomeVisible();
    if (chosen) document.getElementById(`step-${chosen}-button`)?.focus();
    else if (focused !== document.activeElement) focused?.focus();
    left();
  }

  // What was hidden behind the first view is visible at once. Gradio fades in whatever changes, and
  // on a busy machine what still waits for its first picture could not take the focus.
  function becomeVisible() {
    for (const fading of document.getAnimations()) if (fading instanceof CSSTransition) fading.finish();
  }

  // Nothing behind the first view can have the focus.
  let left;
  const whenLeft = new Promise((resolve) => (left = resolve));

  // The forms show what is stored, and may be used.
  let filled;
  const whenFilled = new Promise((resolve) => (filled = resolve));

  addEventListener("hashchange", show);
  return { show, stands, handOver, whenLeft, filled, whenFilled };
})();
