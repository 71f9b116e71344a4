"use strict";
(() => {
  const main = document.querySelector("main.chat"), talk = document.getElementById("talk"), form = document.getElementById("ask");
  const by = (id) => document.getElementById(id), names = JSON.parse(main.dataset.speakers);
  const make = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind || "" });
  const post = (path, body, signal) =>
    fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "X-Token": main.dataset.token }, body: JSON.stringify(body), signal });
  let asking = null;

  function round(question, only) {
    const section = make("section", "", "round"), answers = make("div", "", "answers"), places = {};
    section.append(make("p", question, "question"), answers);
    for (const name of names.filter((n) => only.includes(n))) {
      const box = make("article", "", "answer a" + (names.indexOf(name) % 8)), text = make("p", "", "said");
      text.dir = "auto";
      box.append(make("h3", name), text);
      answers.append(box);
      places[name] = { box, text, read: null };
    }
    talk.append(section);
    section.scrollIntoView({ block: "end" });
    return places;
  }

  function hear(part, places) {
    const place = places[part.speaker];
    if (!place) return;
    if (part.kind === "context") {
      place.box.classList.add("writing");
      if (part.text) {
        const details = make("details", "", "read");
        details.append(make("summary", "what preceded the question"), make("div", part.text, "passage"));
        place.box.append(details);
      }
    } else if (part.kind === "text") place.text.textContent = (place.text.textContent + part.text).trimStart();
    else {
      place.box.classList.remove("writing");
      if (part.kind === "error") place.text.append(make("span", part.text, "absent"));
      else if (!place.text.textContent.trim()) place.text.append(make("span", "no answer", "absent"));
    }
  }

  async function lines(body, places) {
    const reader = body.getReader(), decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      rest += decoder.decode(value || new Uint8Array(), { stream: !done });
      const whole = rest.split("\n");
      rest = whole.pop();
      whole.filter(Boolean).forEach((line) => hear(JSON.parse(line), places));
      if (done) return;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = by("question").value.trim(), boxes = [...form.querySelectorAll("[name=speaker]")];
    const only = boxes.length ? boxes.filter((b) => b.checked).map((b) => b.value) : names;
    if (!question || asking) return;
    if (!only.length) return void (by("said").textContent = "Choose at least one model.");
    by("said").textContent = "";
    by("question").value = "";
    const places = round(question, only);
    asking = new AbortController();
    by("send").hidden = true;
    by("stop").hidden = false;
    try {
      const retrieve = by("retrieve") ? by("retrieve").checked : false;
      const answer = await post("/ask", { question, context: by("context").value, retrieve, only }, asking.signal);
      if (!answer.ok) throw new Error(await answer.text());
      await lines(answer.body, places);
    } catch (error) {
      by("said").textContent = error.name === "AbortError" ? "Stopped." : "No answer: " + error.message + ". Is the command still running?";
      talk.querySelectorAll(".writing").forEach((box) => box.classList.remove("writing"));
    }
    asking = null;
    by("send").hidden = false;
    by("stop").hidden = true;
    by("question").focus();
  });
  by("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  by("stop").addEventListener("click", () => asking && asking.abort());
  by("forget").addEventListener("click", async () => {
    const answer = await post("/forget", {});
    by("said").textContent = answer.ok ? "" : await answer.text();
    if (answer.ok) talk.replaceChildren();
  });
})();
