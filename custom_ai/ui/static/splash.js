// Waits until the app is loaded (or has failed to), then shows what stands at this address now.
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
