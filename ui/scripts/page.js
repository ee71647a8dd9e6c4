// The page's language follows Gradio's own rule; the style sheets show texts by it.
document.documentElement.lang = navigator.language || navigator.languages[0] || "en";

// A link to a job is followed on the page: loading it anew would end the streams of other jobs.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".lt-jobs a"), wanted = document.querySelector("#wanted textarea, #wanted input");
  if (!link || !wanted || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  history.replaceState(null, "", link.getAttribute("href"));
  wanted.value = link.getAttribute("href") + "&at=" + Date.now();
  wanted.dispatchEvent(new Event("input", { bubbles: true }));
});
