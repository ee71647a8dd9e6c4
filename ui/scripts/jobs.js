/* The list of jobs: which rows are shown, what their buttons ask the server for, and a question before a job goes. */
(() => {
  "use strict";
  const list = () => document.querySelector("#jobs");
  const row = (job) => list()?.querySelector(`li[data-job="${CSS.escape(job)}"]`);
  // Setting what is set already would be a change, too.
  const hide = (element, hidden) => { if (element.hidden !== hidden) element.hidden = hidden; };
  const place = (element) => [element.closest("li[data-job]")?.dataset.job, element.dataset.act ?? ""];
  let focused = null;

  function filter() {
    const wanted = Object.fromEntries([...document.querySelectorAll("#jobs-filters [data-filter]")].map((group) =>
      [group.dataset.filter, group.querySelector("input:checked")?.value.split(" ").filter(Boolean) ?? []]));
    const words = document.querySelector("#jobs-filters input[type=search]")?.value.trim().toLowerCase() ?? "";
    const rows = [...(list()?.querySelectorAll("li[data-job]") ?? [])];
    for (const each of rows) {
      const fits = Object.entries(wanted).every(([name, values]) => !values.length || values.includes(each.dataset[name]));
      hide(each, !fits || !each.dataset.name.toLowerCase().includes(words));
    }
    const none = list()?.querySelector(".lt-no-match");
    if (none) hide(none, !rows.length || rows.some((each) => !each.hidden));
  }

  function localTimes() {
    const language = document.documentElement.lang || undefined;
    for (const stamp of list()?.querySelectorAll("time[datetime]:not([data-local])") ?? []) {
      stamp.dataset.local = "";
      stamp.textContent = new Date(stamp.dateTime).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
    }
  }

  function ask(act, link) {
    const asked = document.querySelector("#jobs-asked textarea, #jobs-asked input");
    if (!asked) return;
    asked.value = `${act}${link}#${Date.now()}`;
    asked.dispatchEvent(new Event("input", { bubbles: true }));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#jobs [data-act]");
    if (!button) return;
    const { link, name } = button.closest("li").dataset, act = button.dataset.act;
    const dialog = document.querySelector(`.lt-ask-first[data-asks="${act}"]`);
    if (!dialog) return ask(act, link);
    dialog.querySelector(".lt-name").textContent = name;
    dialog.onclose = () => { if (dialog.returnValue === "yes") ask(act, link); };
    dialog.returnValue = "";
    dialog.showModal();
  });
  document.addEventListener("input", (event) => { if (event.target.closest?.("#jobs-filters")) filter(); });

  document.addEventListener("focusin", (event) => {
    focused = event.target.closest?.("#jobs") ? place(event.target) : null;
  });

  // Gradio writes a new list into the rows that stand there: the filter is applied again, and the focus follows its row.
  new MutationObserver((changes) => {
    if (!changes.some(({ target }) => (target.nodeType === 1 ? target : target.parentElement)?.closest("#jobs"))) return;
    localTimes();
    filter();
    const here = document.activeElement;
    if (!focused?.[0] || !here?.closest("#jobs") || place(here).join() === focused.join()) return;
    const [job, act] = focused;
    row(job)?.querySelector(act ? `[data-act="${act}"]` : "a")?.focus();
  }).observe(document, {
    childList: true, subtree: true, characterData: true, attributes: true,
    attributeFilter: ["hidden", "data-job", "data-name", "data-state", "data-kind", "datetime"],
  });
})();
