/* The job on show in the title and icon of the browser's tab, also while the tab is hidden, and a notification when it ends
   there. It reads what the page says of the job, and asks the server for nothing. */
(() => {
  "use strict";
  const SIZE = 32, COLOURS = { running: "#0f766e", queued: "#64748b", done: "#15803d", failed: "#b91c1c" };
  const GOES_ON = ["queued", "running"], SIGNS = { done: "✓", failed: "✕" };
  let plainTitle = "", plainIcon = null, last = { job: "", state: "" }, shown = "";

  // All languages stand side by side; a hidden tab has no layout that would tell which one is seen.
  function said(element) {
    const language = document.documentElement.lang.split("-")[0], copy = element?.cloneNode(true);
    const texts = [...(copy?.querySelectorAll("[lang]") ?? [])], mine = texts.filter((text) => text.lang === language);
    texts.filter((text) => (mine.length ? text.lang !== language : text.lang !== "en")).forEach((text) => text.remove());
    return copy?.textContent.trim() ?? "";
  }

  function current() {
    const strips = [...document.querySelectorAll(".lt-strip[data-state]")];
    const strip = strips.find((each) => GOES_ON.includes(each.dataset.state))
      ?? strips.find((each) => jobOf(each) === last.job);
    if (!strip) return null;
    const bar = strip.querySelector("progress"), state = strip.dataset.state;
    return {
      job: jobOf(strip), state, name: strip.querySelector(".lt-name")?.textContent.trim() ?? "",
      words: said(strip.querySelector("[role=status]")), share: bar?.hasAttribute("value") && bar.max ? bar.value / bar.max : null,
    };
  }

  const jobOf = (strip) => strip.dataset.job ?? "";

  function show() {
    const now = current();
    if (!now) return plain();
    const ended = GOES_ON.includes(last.state) && last.job === now.job && !GOES_ON.includes(now.state);
    if (ended && document.hidden) notify(now);
    const isNew = last.job !== now.job || last.state !== now.state;
    last = { job: now.job, state: now.state };
    if (isNew) button(GOES_ON.includes(now.state));
    // What has ended stays in the title until the tab is looked at.
    if (!GOES_ON.includes(now.state) && !document.hidden) return plain();
    if (!GOES_ON.includes(now.state) && !ended && !shown) return;
    const percent = now.share === null ? "" : `${Math.floor(100 * now.share)} %`;
    const sign = now.state === "running" ? percent || now.words : SIGNS[now.state] ?? now.words;
    write(`${sign} · ${now.name} – ${title()}`, now.state, now.state === "running" ? now.share ?? 0 : 1);
  }

  const title = () => (plainTitle ||= document.title || "Longtake");

  function write(text, state, share) {
    const drawn = `${state} ${Math.floor(100 * share)}`;
    title();
    if (document.title !== text) document.title = text;
    if (drawn === shown) return;
    shown = drawn;
    icon().href = ring(COLOURS[state] ?? COLOURS.queued, share);
  }

  function plain() {
    if (!shown) return;
    shown = "";
    document.title = title();
    const mine = document.querySelector("#lt-icon");
    mine?.remove();
    plainIcon?.forEach((each) => document.head.append(each));
    plainIcon = null;
  }

  function icon() {
    const mine = document.querySelector("#lt-icon");
    if (mine) return mine;
    plainIcon = [...document.querySelectorAll("link[rel~=icon]")];
    plainIcon.forEach((each) => each.remove());
    return document.head.appendChild(Object.assign(document.createElement("link"), { id: "lt-icon", rel: "icon", type: "image/png" }));
  }

  function ring(colour, share) {
    const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE }), pen = canvas.getContext("2d");
    const arc = (style, part) => {
      pen.beginPath();
      [pen.strokeStyle, pen.lineWidth] = [style, 7];
      pen.arc(SIZE / 2, SIZE / 2, SIZE / 2 - 4, -Math.PI / 2, (2 * part - 0.5) * Math.PI);
      pen.stroke();
    };
    arc("#cbd5e1", 1);
    arc(colour, share);
    return canvas.toDataURL("image/png");
  }

  /* -- notifications: browsers have them over https and on localhost; elsewhere the title has to do ------------------ */

  const may = () => window.isSecureContext && "Notification" in window;

  // Browsers ask another process for the permission, so it is not read at each update.
  function button(isWatching) {
    const asks = document.querySelector(".lt-notify");
    if (asks) asks.hidden = !(isWatching && may() && Notification.permission === "default");
  }

  function notify({ job, name, words }) {
    if (!may() || Notification.permission !== "granted") return;
    try {
      const told = new Notification(`${words}: ${name}`, { tag: job, body: title() });
      told.onclick = () => { window.focus(); told.close(); };
    } catch { /* some phones have notifications for installed pages only */ }
  }

  document.addEventListener("click", async (event) => {
    if (!event.target.closest?.(".lt-notify")) return;
    await Notification.requestPermission();
    button(GOES_ON.includes(last.state));
    show();
  });
  document.addEventListener("visibilitychange", show);
  const inStrip = (node) => node.nodeType === 1 && (node.closest(".lt-run") || node.querySelector?.(".lt-strip"));
  new MutationObserver((changes) => {
    if (changes.some((change) => inStrip(change.target) || [...change.addedNodes].some(inStrip))) show();
  // Gradio changes the attributes and texts of what stands there already.
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["value", "data-state", "data-job"] });
})();
