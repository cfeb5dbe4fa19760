"use strict";
// Steps through the counterexamples: with the buttons, the slider, the keys j and k, or a link such as
// #step=7, and #run=2&step=7 for another one than the first.

const runs = [...document.querySelectorAll(".run")].map((element) => {
  const steps = JSON.parse(element.querySelector("script").textContent);
  return { element, steps, step: Number(element.dataset.violation) };
});
let current = 0;

/** Splits a server's description into words, and marks those that were not there before. */
function marked(target, before, after) {
  const old = before.split(" ");
  target.replaceChildren();
  after.split(" ").forEach((word, place) => {
    if (place > 0) target.append(" ");
    const found = old.indexOf(word);
    if (found >= 0) {
      old.splice(found, 1);
      target.append(word);
    } else {
      const mark = document.createElement("mark");
      mark.textContent = word;
      target.append(mark);
    }
  });
}

function show(number, step, scroll) {
  const run = runs[number];
  if (!run) return;
  current = number;
  run.step = Math.min(Math.max(step, 0), run.steps.length - 1);
  const { element, steps } = run;
  element.querySelector("input").value = run.step;
  const { action, servers } = steps[run.step];
  const title = run.step === 0 ? "Start" : `Step ${run.step}: ${action}`;
  element.querySelector("[aria-live]").textContent = title;
  const before = steps[Math.max(run.step - 1, 0)].servers;
  element.querySelectorAll(".servers dd").forEach((target, place) => {
    marked(target, before[place], servers[place]);
  });
  element.querySelectorAll("tbody tr").forEach((row, place) => {
    if (place + 1 === run.step) {
      row.setAttribute("aria-current", "step");
      if (scroll) row.scrollIntoView({ block: "nearest" });
    } else {
      row.removeAttribute("aria-current");
    }
  });
}

function go(number, step) {
  show(number, step, true);
  const run = number === 0 ? "" : `run=${number + 1}&`;
  history.replaceState(null, "", `#${run}step=${runs[number].step}`);
}

function follow() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("step")) return;
  const number = Number(parts.get("run") ?? 1) - 1;
  const step = Number(parts.get("step"));
  if (!runs[number] || !Number.isInteger(step)) return;
  show(number, step, false);
  runs[number].element.scrollIntoView();
}

runs.forEach((run, number) => {
  const { element } = run;
  element.querySelector(".before").addEventListener("click", () => go(number, run.step - 1));
  element.querySelector(".after").addEventListener("click", () => go(number, run.step + 1));
  element.querySelector("input").addEventListener("input", (event) => {
    go(number, Number(event.target.value));
  });
  element.addEventListener("focusin", () => { current = number; });
  element.querySelectorAll("tbody tr").forEach((row, place) => {
    row.addEventListener("click", () => go(number, place + 1));
  });
  show(number, run.step, false);
});

if (runs.length > 0) {
  current = 0;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") go(current, runs[current].step + 1);
    if (event.key === "k") go(current, runs[current].step - 1);
  });
  addEventListener("hashchange", follow);
  follow();
}
