// Waits until the app is loaded (or has failed to), then shows what stands at this address now.
// Meanwhile the browser fetches what the page will need, one after the other: the app comes first.
(async () => {
  for (const path of JSON.parse(document.body.dataset.files)) await fetch(path).catch(() => null);
})();
(async () => {
  for (;;) {
    try {
      const answer = await fetch("/ready", { cache: "no-store" });
      if (!answer.ok || (await answer.json()).state !== "loading") return location.reload();
    } catch {
      await new Promise((go_on) => setTimeout(go_on, 500));
    }
  }
})();
