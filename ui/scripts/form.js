// Sheets of settings (ui/components/option_sheet.py) and the reason beside disabled buttons (ui/components/reason.py).

// Put the fields of a sheet into `element`, and keep them and the component's value, by the names of the settings, equal.
window.longtakeSheet = (element, props, watch, id) => {
  element.innerHTML = window.longtakeSheets[id];
  const fields = [...element.querySelectorAll("[data-setting]")];
  const read = (field) => (field.type === "checkbox" ? field.checked : field.value);
  const fill = () => fields.forEach((field) => {
    const value = props.value?.[field.dataset.setting];
    if (value === undefined) return;
    if (field.type === "checkbox") field.checked = Boolean(value);
    else if (field.value !== String(value ?? "")) field.value = value ?? "";
  });
  window.longtakeSay(element);
  element.addEventListener("input", () => {
    props.value = Object.fromEntries(fields.map((field) => [field.dataset.setting, read(field)]));
  });
  element.addEventListener("click", (event) => {
    const button = event.target.closest(".lt-help");
    if (!button) return;
    const help = document.getElementById(button.getAttribute("aria-controls"));
    help.hidden = !help.hidden;
    button.setAttribute("aria-expanded", String(!help.hidden));
  });
  fill();
  watch("value", fill);
};

// Describe the buttons beside `element` by the sentence in it, for screen readers and as their title.
window.longtakeReason = (element) => {
  const ask = element.closest(".lt-ask"), tell = () => {
    // Not by what is displayed: to find that out, the browser would lay out the page while it is being built.
    const language = document.documentElement.lang.split("-")[0], why = element.querySelector("p");
    const said = (each) => why?.querySelector(`:scope > span[lang="${each}"]`), shown = said(language) ?? said("en");
    for (const button of ask.querySelectorAll("button")) {
      if (why) button.setAttribute("aria-describedby", why.id);
      else button.removeAttribute("aria-describedby");
      button.title = (shown ?? why)?.textContent ?? "";
    }
  };
  // Buttons come after it, and the sentence changes.
  new MutationObserver(tell).observe(ask, { childList: true, subtree: true, characterData: true });
  tell();
};
