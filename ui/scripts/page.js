// The page's language follows Gradio's own rule; the style sheets show texts by it.
document.documentElement.lang = navigator.language || navigator.languages[0] || "en";

// Say, of texts in all languages (`in_each` in ui/i18n/texts.py), the one of the page's, below `root`.
window.longtakeSay = (root) => {
  const language = document.documentElement.lang.split("-")[0];
  for (const each of root.querySelectorAll("[data-words]")) {
    const words = JSON.parse(each.dataset.words), said = words[language] ?? words.en;
    if (each.hasAttribute("aria-label")) each.setAttribute("aria-label", said);
    else if (each.textContent !== said) each.textContent = said;
  }
};

// A link to a job is followed on the page: loading it anew would end the streams of other jobs.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".lt-jobs a"), wanted = document.querySelector("#wanted textarea, #wanted input");
  if (!link || !wanted || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  history.replaceState(null, "", link.getAttribute("href"));
  wanted.value = link.getAttribute("href") + "&at=" + Date.now();
  wanted.dispatchEvent(new Event("input", { bubbles: true }));
});
