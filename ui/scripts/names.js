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
    for (const each of root.querySelectorAll("button[aria-label], input[aria-label], footer[aria-label], [title], img[alt]")) {
      for (const kind of ["aria-label", "title", "alt"]) {
        const known = each.getAttribute(kind);
        const said = known && names.map((find) => find(known)).find((found) => found !== null);
        if (said) each.setAttribute(kind, said);
      }
    }
  };
  const fresh = new Set();
  new MutationObserver((records) => {
    const isDue = fresh.size > 0;
    for (const record of records) if (record.addedNodes.length) fresh.add(record.target);
    if (isDue || !fresh.size) return;
    requestAnimationFrame(() => {
      if (!names?.length) names = read();
      if (names.length) name(document.body);
      for (const node of fresh) if (node.isConnected) window.longtakeSay(node);
      fresh.clear();
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
