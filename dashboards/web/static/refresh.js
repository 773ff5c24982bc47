// Fetches the page again every ten seconds and swaps what changed, unless the reader paused it, is typing or looks elsewhere.
(() => {
  const every_ms = 10000;
  const button = document.getElementById("pause");
  let paused = false;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
  });
  const busy = () => {
    const active = document.activeElement;
    const selection = document.getSelection();
    return (active && ["INPUT", "SELECT"].includes(active.tagName)) || (selection && !selection.isCollapsed);
  };
  const refresh = async () => {
    if (paused || document.hidden || busy()) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const opened = [...document.querySelectorAll("details")].map((one) => one.open);
      for (const id of ["content", "asof"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
      document.querySelectorAll("details").forEach((one, i) => { if (i in opened) one.open = opened[i]; });
      document.title = fresh.title;
    } catch {
      document.getElementById("asof").classList.add("stale");
    }
  };
  setInterval(refresh, every_ms);
})();
