// Light or dark before anything is drawn; "system" follows the computer while the page is open.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("ca-mode") || "system";
  const wanted = () => (chosen() === "system" ? dark.matches : chosen() === "dark");
  const apply = () => {
    document.documentElement.classList.toggle("dark", wanted());
    document.documentElement.style.colorScheme = wanted() ? "dark" : "light";
    if (document.body) document.body.classList.toggle("dark", wanted());
    for (const button of document.querySelectorAll("[data-mode]"))
      button.setAttribute("aria-pressed", String(button.dataset.mode === chosen()));
    document.dispatchEvent(new Event("ca:mode"));
  };
  window.customAiMode = {
    apply,
    choose: (mode) => { localStorage.setItem("ca-mode", mode); apply(); },
  };
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  apply();
})();
