// Inferred texts: accepted and rejected.
{
  const root = document.getElementById("texts"), tools = document.getElementById("tools"), all = [...document.querySelectorAll(".made")];
  const key = d => JSON.stringify([d.id, d.sum || ""]);
  const said = t => decided.of({id: t.dataset.id, sum: t.dataset.sum}) || decided.of({id: t.dataset.id});
  const mark = () => {
    const by = Object.fromEntries([...tools.querySelectorAll("select")].map(s => [s.dataset.by, s.value]));
    let shown = 0;
    for (const t of all) {
      const d = said(t);
      pressed(t, d && d.decision);
      t.hidden = (by.operation && t.dataset.operation !== by.operation) || (by.filters && t.dataset.kept !== by.filters)
        || (by.arm && !JSON.parse(t.dataset.arms).includes(by.arm)) || (by.decision && (d ? d.decision : "undecided") !== by.decision);
      shown += !t.hidden;
    }
    document.getElementById("shown").textContent = `${shown} shown`;
  };
  const decided = decisions(root, tools, "contextune-texts-" + root.dataset.identity, key, mark);
  for (const button of document.querySelectorAll(".decide button")) button.addEventListener("click", () => {
    const {id, sum} = button.closest(".made").dataset;
    decided.toggle({id, sum, decision: button.dataset.decide});
  });
  decided.show();
}
