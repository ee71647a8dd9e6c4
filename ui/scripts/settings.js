/* Settings that stay in this browser: those last used, per task, and presets with names. They hold values of settings only,
   nothing of files. Where the browser has no storage to give (some private windows), they last as long as the page.
   The server asks for nothing: what is wanted back is written into a hidden field, and checked there. */
window.longtakeSettings = (() => {
  "use strict";
  const KEY = "longtake.settings", VERSION = 1, MOST_OWN = 50;
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const now = {}, defaults = {};
  let kept = { version: VERSION, last: {}, own: {} }, isStored = true, ofTheFiles = [];

  // What another tab of the browser kept meanwhile counts; where there is no storage, what this page knows.
  function load() {
    if (!isStored) return;
    let text;
    try { text = localStorage.getItem(KEY); } catch { return; }
    try {
      const found = JSON.parse(text ?? "null");
      if (isObject(found) && found.version === VERSION && isObject(found.last) && isObject(found.own)) kept = found;
    } catch { /* somebody else's text: what this page knows takes its place */ }
  }

  function save() {
    try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { isStored = false; /* none, or it is full */ }
  }

  // A component holds one setting, or, where its name is empty, several by name; null is not kept.
  function byName(names, values) {
    const found = {};
    names.forEach((name, at) => {
      if (name) found[name] = values[at];
      else if (name === "" && isObject(values[at])) Object.assign(found, values[at]);
    });
    ofTheFiles.forEach((name) => delete found[name]);
    return found;
  }

  function begin(forms, without, values) {
    let at = 0;
    ofTheFiles = without;
    load();
    for (const [task, names] of forms) {
      now[task] = byName(names, values.slice(at, (at += names.length)));
      defaults[task] = { ...now[task] };
    }
    show();
    const last = Object.fromEntries(Object.entries(kept.last).filter(([task]) => isObject(now[task])));
    return Object.keys(last).length ? request(last) : "";
  }

  function keep(task, names, values) {
    now[task] = byName(names, values);
    load();
    kept.last[task] = now[task];
    save();
  }

  // The settings of a task as its fields show them: Gradio tells `keep` of a change only a while after it.
  function shownNow(task) {
    const found = { ...now[task] };
    for (const name of Object.keys(found)) {
      const field = document.getElementById(`${task}-setting-${name}-field`);
      if (field?.dataset.setting === name) found[name] = field.type === "checkbox" ? field.checked : field.value;
    }
    return found;
  }

  const request = (tasks) => JSON.stringify({ tasks, at: Date.now() });
  const own = (task) => (isObject(kept.own[task]) ? kept.own[task] : {});

  function want(task, values) {
    const field = document.querySelector("#own-settings textarea, #own-settings input");
    if (!field || !isObject(values)) return;
    field.value = request({ [task]: values });
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /* -- the row of each tab ------------------------------------------------------------------------------------- */

  function show() {
    for (const row of document.querySelectorAll(".lt-own")) {
      const choice = row.querySelector(".lt-own-choice"), names = Object.keys(own(row.dataset.task)).sort();
      const shown = [...choice.options].filter((each) => each.dataset.own !== undefined).map((each) => each.dataset.own);
      window.longtakeSay(choice);
      if (names.join("\n") === shown.join("\n")) continue;
      choice.querySelectorAll("[data-own]").forEach((each) => each.remove());
      for (const name of names) {
        const option = Object.assign(document.createElement("option"), { value: `own ${name}`, textContent: name });
        option.dataset.own = name;
        choice.append(option);
      }
      enable(row);
    }
  }

  const chosen = (row) => row.querySelector(".lt-own-choice").selectedOptions[0]?.dataset.own ?? "";
  const enable = (row) => { row.querySelector("[data-own-ask=delete]").disabled = !chosen(row); };

  document.addEventListener("change", (event) => {
    const row = event.target.closest?.(".lt-own");
    if (!row || !event.target.matches(".lt-own-choice")) return;
    const task = row.dataset.task;
    enable(row);
    if (event.target.value === "defaults") want(task, defaults[task]);
    else if (chosen(row)) want(task, own(task)[chosen(row)]);
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest?.(".lt-own");
    if (!row) return;
    if (event.target.closest("[data-own-close]")) event.target.closest("dialog").close();
    const act = event.target.closest("[data-own-ask]")?.dataset.ownAsk;
    if (!act) return;
    const dialog = row.querySelector(`dialog[data-own=${act}]`);
    if (act === "save") dialog.querySelector("input").value = chosen(row);
    else dialog.querySelector(".lt-name").textContent = chosen(row);
    dialog.showModal();
  });
  document.addEventListener("submit", (event) => {
    const dialog = event.target.closest?.("dialog[data-own]"), row = dialog?.closest(".lt-own");
    if (!row) return;
    const task = row.dataset.task;
    load();
    kept.own[task] = own(task);
    let name = chosen(row);
    if (dialog.dataset.own === "delete") delete kept.own[task][name];
    else {
      name = dialog.querySelector("input").value.trim();
      const isNew = !Object.hasOwn(kept.own[task], name);
      if (!name || (isNew && Object.keys(kept.own[task]).length >= MOST_OWN)) return;
      // As a property of its own, whatever its name.
      Object.defineProperty(kept.own[task], name, { value: shownNow(task), enumerable: true, configurable: true, writable: true });
    }
    save();
    show();
    row.querySelector(".lt-own-choice").value = dialog.dataset.own === "save" ? `own ${name}` : "";
    enable(row);
  });
  // A tab's row comes when the tab is opened.
  new MutationObserver((changes) => {
    if (changes.some((change) => [...change.addedNodes].some((node) => node.nodeType === 1 && (node.matches(".lt-own") || node.querySelector(".lt-own"))))) show();
  }).observe(document, { childList: true, subtree: true });

  return { begin, keep };
})();
