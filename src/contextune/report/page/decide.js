// A person's decisions: kept in this page (and by the browser, where it can), given as lines of decisions.jsonl.
function decisions(root, tools, kept, key, changed) {
  const decided = new Map(), put = d => decided.set(key(d), d), lines = () => [...decided.values()].map(d => JSON.stringify(d) + "\n").join("");
  JSON.parse(root.dataset.decided).forEach(put);
  try { JSON.parse(localStorage.getItem(kept) || "[]").forEach(put); } catch { /* the browser keeps nothing */ }
  const save = () => {
    tools.querySelector("#download b").textContent = decided.size;
    try { localStorage.setItem(kept, JSON.stringify([...decided.values()])); } catch { /* nothing to keep it in */ }
    changed();
  };
  tools.querySelector("#download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines()], {type: "application/jsonl"}));
    link.download = "decisions.jsonl";
    link.click();
  });
  tools.querySelector("#copy").addEventListener("click", async event => {
    const button = event.currentTarget;
    try { await navigator.clipboard.writeText(lines()); button.textContent = "Copied"; } catch { button.textContent = "Cannot copy: download it"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  for (const select of tools.querySelectorAll("select")) select.addEventListener("change", changed);
  return {
    of: d => decided.get(key(d)),
    put: d => { put(d); save(); },
    toggle: d => {  // the same again takes it back
      const was = decided.get(key(d));
      if (was && was.decision === d.decision) decided.delete(key(d)); else put(d);
      save();
    },
    show: () => {
      tools.hidden = false;
      for (const p of document.querySelectorAll(".decide")) p.hidden = false;
      save();
    },
  };
}
function pressed(element, decision) {
  element.dataset.decision = decision || "";
  for (const b of element.querySelectorAll(":scope > .decide > button")) b.setAttribute("aria-pressed", decision === b.dataset.decide);
}
