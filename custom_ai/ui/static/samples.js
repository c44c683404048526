// What a provider still needs; samples from a file and as a file.
import { headers, look, project, showError } from "./app.js";

/** <ca-provider name="…">: about the chosen provider. Gradio changes the name in place. */
class Provider extends HTMLElement {
  static observedAttributes = ["name"];

  connectedCallback() {
    // Keys are entered on another screen: look again after coming back from there.
    for (const name of ["ca:settings", "ca:arrived"]) document.body.addEventListener(name, () => this.ask());
  }

  attributeChangedCallback() {
    this.ask();
  }

  async ask() {
    const name = this.getAttribute("name");
    const answer = await fetch(`/api/samples/provider/${encodeURIComponent(name)}`, { headers: headers() }).catch(() => null);
    // Made by the server, which has escaped what is not its own.
    if (!answer?.ok || name !== this.getAttribute("name")) return;
    this.innerHTML = await answer.text();
    htmx.process(this);
  }
}
customElements.define("ca-provider", Provider);

// The click that began the sign-in opens its page; where that is forbidden, the link is there.
document.addEventListener("htmx:load", (event) => event.detail.elt.querySelector?.("a[data-opens]")?.click());

async function send(file) {
  const area = document.getElementById("samples-drop");
  if (!file || area.classList.contains("busy")) return;
  area.classList.add("busy");
  try {
    const answer = await fetch(`/api/samples/import?name=${encodeURIComponent(file.name)}`, { method: "POST", headers: headers(), body: file });
    if (!answer.ok) return showError((await answer.json()).error);
    // Made by the server, which has escaped what is not its own.
    document.getElementById("samples-imported").innerHTML = await answer.text();
    look();
  } finally {
    area.classList.remove("busy");
    document.getElementById("samples-file").value = "";
  }
}

async function fetchExport(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const format = form.querySelector("[name=format]").value;
    const answer = await fetch(`/api/samples/export?format=${format}`, { headers: headers() });
    if (!answer.ok) return showError((await answer.json()).error);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1];
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await answer.blob()), download: name || `${project()}-${format}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const away = event.target.closest?.("[data-remove]");
  if (away) away.closest(away.dataset.remove).remove();
});
document.addEventListener("click", (event) => event.target.closest?.("[data-import]") && document.getElementById("samples-file").click());
document.addEventListener("change", (event) => event.target.id === "samples-file" && send(event.target.files[0]));
document.addEventListener("submit", (event) => {
  if (event.target.id !== "samples-export") return;
  event.preventDefault();
  fetchExport(event.target);
});
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    const area = event.target.closest?.("#samples-drop");
    if (!area) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere on the page, files are documents
    event.dataTransfer.dropEffect = "copy";
    area.classList.toggle("over", kind === "dragover");
    if (kind === "drop") send(event.dataTransfer.files[0]);
  }, true);
