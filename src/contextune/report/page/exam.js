// An exam's statements and items: accepted, rejected, worded anew.
{
  const exam = document.getElementById("exam"), tools = document.getElementById("tools");
  const key = d => d.form ? `${d.form} ${d.id}` : d.id;
  const of = element => {
    const item = element.closest(".item");
    return item ? [item, item.dataset.id, item.dataset.form] : [element.closest(".statement"), element.closest(".statement").dataset.id, undefined];
  };
  const mark = () => {
    for (const element of document.querySelectorAll(".statement, .item")) {
      const [, id, form] = of(element), d = decided.of({id, form});
      pressed(element, d && d.decision);
    }
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
      const made = {id: item.dataset.id, form: item.dataset.form, decision: "mend", prompt: prompt.value, options, answer};
      item.querySelector(".prompt-text").textContent = prompt.value;
      [...item.querySelectorAll(".choices li")].forEach((li, i) => { li.textContent = options[i]; li.classList.toggle("right", i === answer); });
      item.dataset.answer = answer;
      editor.remove();
      decided.put(made);
    });
    editor.append(save);
    item.append(editor);
  };
  const decided = decisions(exam, tools, "contextune-exam-" + exam.dataset.identity, key, mark);
  for (const button of document.querySelectorAll(".decide button")) button.addEventListener("click", () => {
    const [element, id, form] = of(button);
    if (button.dataset.decide === "mend") return edit(element);
    decided.toggle({id, ...(form && {form}), decision: button.dataset.decide});
  });
  decided.show();
}
