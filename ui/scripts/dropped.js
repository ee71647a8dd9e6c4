/* A job.json that is dropped on the page, or chosen with the button of a form: its text is written into a hidden field. */
(() => {
  "use strict";
  // One more than the server reads: it says that the file is too large.
  const MOST = 256001;
  const isJob = (file) => file?.name.toLowerCase().endsWith(".json");

  async function open(file) {
    const field = document.querySelector("#dropped-job textarea, #dropped-job input");
    if (!field) return;
    // The time makes each drop another value.
    field.value = `${Date.now()} ${(await file.slice(0, MOST).text()).slice(0, MOST)}`;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Before the fields for videos, which would take it for one.
  document.addEventListener("dragover", (event) => {
    const items = [...(event.dataTransfer?.items ?? [])];
    if (items.length === 1 && items[0].type === "application/json") event.preventDefault();
  }, true);
  document.addEventListener("drop", (event) => {
    const files = event.dataTransfer?.files ?? [];
    if (files.length !== 1 || !isJob(files[0])) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    open(files[0]);
  }, true);
  document.addEventListener("click", (event) => {
    event.target.closest?.("[data-own-open]")?.parentElement.querySelector("input[type=file]").click();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.(".lt-own input[type=file]") || !event.target.files.length) return;
    open(event.target.files[0]);
    event.target.value = "";
  });
})();
