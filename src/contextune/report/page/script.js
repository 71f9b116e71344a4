"use strict";
// Sort a table by a click on a column's head; numbers by their exact value, absent ones last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const numeric = head.classList.contains("num"), was = head.getAttribute("aria-sort");
    const up = was ? (was === "ascending" ? -1 : 1) : numeric ? -1 : 1;  // numbers: the largest first
    const value = row => {
      const cell = row.cells[i], v = cell.dataset.v;
      return !numeric ? cell.textContent.trim() : v ? +v : null;
    };
    const rows = [...body.rows].map(row => [value(row), row]);
    rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)
      : up * (numeric ? a - b : a.localeCompare(b)));
    body.append(...rows.map(([, row]) => row));
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up > 0 ? "ascending" : "descending");
  }));
}
// Copy the text beside a button; the button shows only where a script can do it.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre");
    try { await navigator.clipboard.writeText(text.textContent); } catch {
      const range = document.createRange();
      range.selectNodeContents(text);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
// Items by task, and by the arms that are right and wrong.
for (const list of document.querySelectorAll("details.items")) {
  const tools = list.querySelector(".bar-of-tools"), chosen = [...tools.querySelectorAll("select")];
  const filter = () => {
    const [task, right, wrong] = chosen.map(s => s.value);
    let shown = 0;
    for (const item of list.querySelectorAll(".answered")) {
      const has = (arms, arm) => !arm || arms.trim().split(" ").includes(arm);
      item.hidden = (task && item.dataset.task !== task) || !has(item.dataset.right, right) || !has(item.dataset.wrong, wrong);
      shown += !item.hidden;
    }
    tools.querySelector(".count").textContent = `${shown} shown`;
  };
  tools.hidden = false;
  chosen.forEach(s => s.addEventListener("change", filter));
  filter();
}
// A printed page has nothing folded away but the single items.
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.items)").forEach(d => { d.open = true; }));
