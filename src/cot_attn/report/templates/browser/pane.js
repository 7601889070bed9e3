// One problem: its question and answer, its run, and what is known of the chosen position.

import { element } from "./dom.js";
import { headGrid } from "./heads.js";
import { corruptions, exits, readouts } from "./parts.js";
import { strip } from "./strip.js";

/** @typedef {import("./study.js").Problem} Problem @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").Store} Store @typedef {import("./state.js").View} View */

/**
 * @param {Study[]} studies @param {Study} study @param {number} index which pane this is
 * @param {Store} store @param {number} steps
 */
export function pane(studies, study, index, store, steps) {
  const heading = element("div", { class: "asked-of" });
  const run = strip(study, store, steps);
  const heads = headGrid(study, store, steps);
  const parts = element("div", { class: "parts" }, heads.root);
  const model = element(
    "select",
    { "aria-label": "Model", onchange: () => store.pin({ panes: store.pinned().panes.map((each, i) => (i === index ? { ...each, model: model.value } : each)) }) },
    ...studies.map((each) => new Option(each.name, each.name, false, each === study)),
  );
  const root = element(
    "article",
    { class: "pane", "aria-label": index ? "The problem beside it" : "The problem", onpointerdown: () => active(), onfocusin: () => active() },
    studies.length > 1 ? model : null,
    heading,
    run.root,
    parts,
  );
  const active = () => {
    if (store.pinned().panes.length > 1 && store.pinned().active !== index) store.activate(index);
  };
  let drawn = "";

  /** @param {View} view @param {View} pinned */
  function update(view, pinned) {
    const problem = study.problems.find((each) => each.id === view.panes[index].problem);
    if (!problem) return;
    root.classList.toggle("active", pinned.panes.length > 1 && pinned.active === index);
    if (heading.dataset.id !== problem.id) {
      heading.dataset.id = problem.id;
      heading.replaceChildren(...asked(problem));
    }
    run.update(view, problem, pinned);
    heads.update(view, problem, pinned);
    const now = JSON.stringify([problem.id, view.position, view.layer]);
    if (now !== drawn) {
      const made = [corruptions(study, problem, view), readouts(study, problem, view, steps), exits(study, problem, view)];
      [...parts.children].slice(1).forEach((each) => each.remove()); // the grid stays: it may have the focus
      parts.append(...made.filter((each) => each !== null));
      drawn = now;
    }
  }

  return { root, study, update };
}

/** @param {Problem} problem @returns {HTMLElement[]} */
function asked(problem) {
  const answer = problem.answer === undefined ? "not kept" : problem.texts[problem.answer] || "(empty)";
  const more = problem.cut ? element("span", { class: "says" }, ` … and ${problem.cut} characters more`) : null;
  return [
    element("p", { class: "question", dir: "auto" }, problem.question, more),
    element(
      "dl",
      { class: "facts" },
      fact("answer", element("span", { dir: "auto" }, answer), " ", element("span", { class: problem.right ? "held" : "broken" }, problem.right ? "✓ right" : "✕ wrong")),
      fact("right answer", element("span", { dir: "auto" }, problem.texts[problem.gold])),
      problem.steps === null ? null : fact("steps", String(problem.steps)),
      fact("question", `${problem.tokens} tokens`),
      fact("id", element("span", { class: "id" }, problem.id)),
    ),
  ];
}

/** @param {string} name @param {...(Node | string)} contents */
function fact(name, ...contents) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, ...contents));
}
