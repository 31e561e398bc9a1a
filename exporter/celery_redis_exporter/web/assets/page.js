// Keeps the page fresh without a jump; without this script the browser itself loads it again.
(() => {
  const every = Number(document.body.dataset.refresh) * 1000;
  const field = document.querySelector("input[name=q]");
  const fetchPage = async (address) => {
    const away = document.getElementById("away");
    try {
      const answer = await fetch(address, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const focus = document.activeElement && document.activeElement.closest("main a");
      const left = [...document.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
      document.querySelector("main").replaceWith(fresh);
      document.querySelectorAll(".scroll").forEach((box, index) => { box.scrollLeft = left[index] || 0; });
      const link = focus && document.querySelector(`main a[href="${CSS.escape(focus.getAttribute("href"))}"]`);
      if (link) link.focus();
    } catch {
      if (away) away.hidden = false;
    }
  };
  let timer = 0;
  const again = () => {
    clearTimeout(timer);
    if (every) timer = setTimeout(async () => {
      if (!document.hidden) await fetchPage(location.href);
      again();
    }, every);
  };
  let typing = 0;
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(async () => {
      const address = new URL(location.href);
      if (field.value) address.searchParams.set("q", field.value); else address.searchParams.delete("q");
      history.replaceState(null, "", address);
      await fetchPage(address);
      again();
    }, 200);
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && every) fetchPage(location.href); });
  again();
})();
