// What must be there before anything is drawn or asked for: light or dark, and who asks.
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

// Every request says which window asks: its project, from the address, and its language. htmx may
// begin before the modules are there, so this stands here.
window.customAiHeaders = () => ({
  "X-Project": encodeURIComponent(projectShown),
  "X-Language": document.documentElement.lang,
});
// Without a project only the first page is shown, and only it asks for anything.
const projectShown = new URLSearchParams(location.search).get("project") || "";
document.documentElement.classList.toggle("ca-no-project", location.pathname.length > 1 && !projectShown);
document.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, customAiHeaders()));
