// Decisions on an exam: kept in this page (and by the browser, where it can), given as lines of decisions.jsonl.
{
  const exam = document.getElementById("exam"), tools = document.getElementById("tools");
  const key = (id, form) => form ? `${form} ${id}` : id, kept = "contextune-exam-" + exam.dataset.identity;
  const decided = new Map();
  const put = d => decided.set(key(d.id, d.form), d);
  JSON.parse(exam.dataset.decided).forEach(put);
  try { JSON.parse(localStorage.getItem(kept) || "[]").forEach(put); } catch { /* the browser keeps nothing */ }
  const lines = () => [...decided.values()].map(d => JSON.stringify(d) + "\n").join("");
  const of = element => {
    const item = element.closest(".item");
    return item ? [item, item.dataset.id, item.dataset.form] : [element.closest(".statement"), element.closest(".statement").dataset.id, undefined];
  };
  const mark = () => {
    for (const element of document.querySelectorAll(".statement, .item")) {
      const [, id, form] = of(element), d = decided.get(key(id, form));
      element.dataset.decision = d ? d.decision : "";
      for (const b of element.querySelectorAll(":scope > .decide > button")) b.setAttribute("aria-pressed", d ? d.decision === b.dataset.decide : false);
    }
    tools.querySelector("#download b").textContent = decided.size;
    try { localStorage.setItem(kept, JSON.stringify([...decided.values()])); } catch { /* nothing to keep it in */ }
    filter();
  };
  const filter = () => {
    const by = Object.fromEntries([...tools.querySelectorAll("select")].map(s => [s.dataset.by, s.value]));
    let shown = 0;
    for (const s of document.querySelectorAll(".statement")) {
      const items = [...s.querySelectorAll(".item")];
      const own = [s, ...items].map(e => e.dataset.decision).filter(Boolean);
      const right = !by.decision || (by.decision === "undecided" ? !own.length : own.includes(by.decision));
      for (const i of items) i.hidden = by.form && i.dataset.form !== by.form;
      s.hidden = !right || (by.kind && s.dataset.kind !== by.kind) || (by.form && items.every(i => i.hidden));
      if (by.form) s.querySelector(".asked").open = true;
      shown += !s.hidden;
    }
    document.getElementById("shown").textContent = `${shown} shown`;
  };
  const edit = item => {
    if (item.querySelector(".editor")) return;
    const editor = document.createElement("div"), prompt = document.createElement("textarea");
    editor.className = "editor";
    prompt.value = item.querySelector(".prompt-text").textContent;
    prompt.rows = 6;
    prompt.setAttribute("aria-label", "prompt");
    editor.append(prompt);
    const inputs = [...item.querySelectorAll(".choices li")].map((li, i) => {
      const row = document.createElement("p"), radio = document.createElement("input"), text = document.createElement("input");
      Object.assign(radio, {type: "radio", name: "right-" + item.dataset.form + item.dataset.id, checked: i === +item.dataset.answer});
      radio.setAttribute("aria-label", "right");
      Object.assign(text, {type: "text", value: li.textContent});
      text.setAttribute("aria-label", "option");
      row.append(radio, text);
      editor.append(row);
      return [radio, text];
    });
    const save = document.createElement("button");
    Object.assign(save, {type: "button", textContent: "keep this wording"});
    save.addEventListener("click", () => {
      const options = inputs.map(([, text]) => text.value), answer = inputs.findIndex(([radio]) => radio.checked);
      const bare = options.map(o => o.trim());
      if (!prompt.value.trim() || bare.includes("") || new Set(bare).size < bare.length) {
        save.textContent = "needs a prompt and different options";
        return;
      }
      put({id: item.dataset.id, form: item.dataset.form, decision: "mend", prompt: prompt.value, options, answer});
      item.querySelector(".prompt-text").textContent = prompt.value;
      [...item.querySelectorAll(".choices li")].forEach((li, i) => { li.textContent = options[i]; li.classList.toggle("right", i === answer); });
      item.dataset.answer = answer;
      editor.remove();
      mark();
    });
    editor.append(save);
    item.append(editor);
  };
  for (const button of document.querySelectorAll(".decide button")) button.addEventListener("click", () => {
    const [element, id, form] = of(button), was = decided.get(key(id, form));
    if (button.dataset.decide === "mend") return edit(element);
    if (was && was.decision === button.dataset.decide) decided.delete(key(id, form));
    else put({id, ...(form && {form}), decision: button.dataset.decide});
    mark();
  });
  for (const select of tools.querySelectorAll("select")) select.addEventListener("change", filter);
  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines()], {type: "application/jsonl"}));
    link.download = "decisions.jsonl";
    link.click();
  });
  document.getElementById("copy").addEventListener("click", async event => {
    const button = event.currentTarget;
    try { await navigator.clipboard.writeText(lines()); button.textContent = "Copied"; } catch { button.textContent = "Cannot copy: download it"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  tools.hidden = false;
  for (const p of document.querySelectorAll(".decide")) p.hidden = false;
  mark();
}
