// The list of problems: searched, filtered, the most broken first.

import { element, reach, rove } from "./dom.js";
import { percent } from "./numbers.js";
import { brokenOverall } from "./study.js";

/** @typedef {import("./study.js").Problem} Problem @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").Store} Store @typedef {import("./state.js").View} View */

const ORDERS = {
  broken: (/** @type {Problem} */ a, /** @type {Problem} */ b) => (brokenOverall(b) || 0) - (brokenOverall(a) || 0),
  steps: (/** @type {Problem} */ a, /** @type {Problem} */ b) => (a.steps ?? Infinity) - (b.steps ?? Infinity),
  file: () => 0,
};

/**
 * @param {Study} study
 * @param {{text: string, right: string, steps: string, order: string}} asked
 * @returns {Problem[]}
 */
export function found(study, asked) {
  const text = asked.text.trim().toLowerCase();
  const texts = (/** @type {Problem} */ p) => [p.question, p.id, p.texts[p.gold], p.texts[p.answer ?? p.gold]];
  return study.problems
    .filter((p) => !text || texts(p).some((each) => each.toLowerCase().includes(text)))
    .filter((p) => !asked.right || p.right === (asked.right === "right"))
    .filter((p) => !asked.steps || String(p.steps) === asked.steps)
    .sort(ORDERS[/** @type {keyof ORDERS} */ (asked.order)]);
}

/** @param {Study[]} studies @param {Store} store */
export function problemList(studies, store) {
  let study = studies[0];
  const search = element("input", { type: "search", "aria-label": "Search questions, answers and ids", placeholder: "Search", oninput: fill });
  const right = choice("Answered", [["", "any answer"], ["right", "right"], ["wrong", "wrong"]], fill);
  const steps = choice("Steps", [["", "any steps"]], fill);
  const order = choice("Order", [["broken", "most broken first"], ["steps", "fewest steps first"], ["file", "as they were asked"]], fill);
  const count = element("p", { class: "count", role: "status" });
  const options = element("div", { class: "options", role: "listbox", "aria-label": "Problems" });
  const items = () => /** @type {HTMLElement[]} */ ([...options.children]);
  rove(options, items, () => 1);

  function fill() {
    const problems = found(study, { text: search.value, right: right.value, steps: steps.value, order: order.value });
    options.replaceChildren(...problems.map(option));
    const more = study.n > study.problems.length ? `, of ${study.n} in the study` : "";
    count.textContent = `${problems.length} of ${study.problems.length} problems${more}`;
    mark(store.pinned());
  }

  /** @param {Problem} problem */
  function option(problem) {
    const part = brokenOverall(problem);
    const choose = () => store.pin({ panes: store.pinned().panes.map((pane, i) => (i === store.pinned().active ? { ...pane, problem: problem.id } : pane)) });
    const made = element(
      "div",
      {
        role: "option", tabindex: "-1", "data-id": problem.id, onclick: choose,
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            choose();
          }
        },
      },
      element("span", { class: "question", dir: "auto" }, problem.question.slice(0, 120)),
      element(
        "span",
        { class: "facts" },
        problem.right ? "right" : "wrong",
        problem.steps === null ? "" : ` · ${problem.steps} ${problem.steps === 1 ? "step" : "steps"}`,
        Number.isNaN(part) ? "" : ` · ${percent(part)} % broken`,
      ),
    );
    return made;
  }

  /** @param {View} view */
  function mark(view) {
    const here = view.panes[view.active].problem;
    items().forEach((item) => item.setAttribute("aria-selected", String(item.dataset.id === here)));
    reach(items(), items().find((item) => item.dataset.id === here) ?? items()[0]);
  }

  store.subscribe((_, view) => {
    const now = studies.find((each) => each.name === view.panes[view.active].model) ?? study;
    if (now !== study || !options.children.length) {
      study = now;
      const all = [...new Set(study.problems.map((p) => p.steps))].filter((n) => n !== null).sort((a, b) => Number(a) - Number(b));
      steps.replaceChildren(new Option("any steps", ""), ...all.map((n) => new Option(`${n} ${n === 1 ? "step" : "steps"}`, String(n))));
      fill();
    } else mark(view);
  });
  return [search, element("div", { class: "filters" }, right, steps, order), count, options];
}

/** @param {string} label @param {string[][]} values @param {() => void} changed */
function choice(label, values, changed) {
  return element("select", { "aria-label": label, onchange: changed }, ...values.map(([value, text]) => new Option(text, value)));
}
