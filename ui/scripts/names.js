// Names of Gradio's own controls, which it has in English alone, and texts in all languages (`in_each`) that arrive
// later. `longtakeNames` (ui/front/names.py) has, for each language, what is said for each English name.
(() => {
  const table = () => window.longtakeNames?.[document.documentElement.lang.split("-")[0]] ?? [];
  let names = null;
  const read = () => table().map(([english, said]) => {
    const [before, after] = english.split("{label}");
    return (name) => {
      if (after === undefined) return name === english ? said : null;
      const fits = name.startsWith(before) && name.endsWith(after);
      return fits ? said.replace("{label}", () => name.slice(before.length, name.length - after.length)) : null;
    };
  });
  const name = (root) => {
    if (!names?.length) names = read();
    for (const each of root.querySelectorAll("button[aria-label], input[aria-label], footer[aria-label], [title], img[alt]")) {
      for (const kind of ["aria-label", "title", "alt"]) {
        const known = each.getAttribute(kind);
        const said = known && names.map((find) => find(known)).find((found) => found !== null);
        if (said) each.setAttribute(kind, said);
      }
    }
    window.longtakeSay(root);
  };
  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; name(document.body); });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
