// The run as a strip of positions: what the shown one attends to, and what changing each breaks.

import { element, reach, rove, unseen } from "./dom.js";
import { percent } from "./numbers.js";
import { broken, keyAt, queryAt, row, thoughtOf } from "./study.js";

/** @typedef {import("./study.js").Problem} Problem @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").Store} Store @typedef {import("./state.js").View} View */

/** @param {Study} study @param {Store} store @param {number} steps */
export function strip(study, store, steps) {
  const columns = study.keys.map((key) => column(study, key, store));
  const recorded = columns.filter((each) => each.recorded).map((each) => each.root);
  const from = element("span");
  const legend = element(
    "p",
    { class: "says" },
    element("span", {}, element("i", { class: "key attention" }), from),
    element("span", {}, element("i", { class: "key importance" }), `Broken by how many of the ${study.corruptions.length} corruptions of the thought: %`),
  );
  const root = element(
    "div",
    { class: "strip", role: "group", "aria-label": "Positions of the run" },
    ...columns.map((each) => each.root),
  );
  root.style.setProperty("--columns", String(columns.length));
  rove(root, () => recorded, () => 1);
  root.addEventListener("pointerleave", () => store.point({}));
  root.addEventListener("focusout", () => store.point({}));

  /** @param {View} view @param {Problem} problem @param {View} pinned */
  function update(view, problem, pinned) {
    const values = row(study, problem, view.layer, view.head, view.position, steps);
    columns.forEach((each, i) => each.update(values[i], problem, view, pinned));
    reach(recorded, columns.find((each) => each.key === keyAt(pinned.position))?.root ?? recorded[0]);
    from.textContent = `Attention from ${named(view.position)}, layer ${view.layer}, ${view.head === null ? "mean over heads" : `head ${view.head}`}: % of the row`;
  }

  return { root: element("div", { class: "run" }, legend, element("div", { class: "overflow" }, root)), update };
}

/** @param {string} position @returns {string} */
export function named(position) {
  return position === "answer_value" ? "the position before the answer's value" : position;
}

/** @param {Study} study @param {string} key @param {Store} store */
function column(study, key, store) {
  const query = queryAt(key);
  const recorded = study.queries.includes(query);
  const thought = thoughtOf(key);
  const attended = element("span", { class: "bar attention" });
  const attendedText = element("span", { class: "number" });
  const breaks = element("span", { class: "bar importance" });
  const breaksText = element("span", { class: "number" });
  const root = element(
    recorded ? "button" : "div",
    {
      class: "position",
      "data-key": key,
      ...(recorded && {
        type: "button",
        tabindex: "-1",
        onclick: () => store.pin({ position: query }),
        onpointermove: () => store.point({ position: query }),
        onfocus: () => store.point({ position: query }),
      }),
    },
    element("span", { class: "name" }, thought === null ? key : unseen("thought "), thought),
    unseen(key === "question" ? ", all words as one, gets " : " gets "),
    element("span", { class: "field" }, attended),
    attendedText,
    unseen(" %"),
    ...(thought === null ? [] : [unseen(", broken: "), element("span", { class: "field" }, breaks), breaksText]),
  );

  /** @param {number} value @param {Problem} problem @param {View} view @param {View} pinned */
  function update(value, problem, view, pinned) {
    const part = thought === null ? NaN : broken(problem.failed[study.thoughts.indexOf(thought)]);
    attended.style.setProperty("--part", String(value || 0));
    attendedText.textContent = percent(value);
    breaks.style.setProperty("--part", String(part || 0));
    breaksText.textContent = percent(part);
    root.classList.toggle("shown", recorded && query === view.position);
    if (recorded) root.setAttribute("aria-pressed", String(query === pinned.position));
  }

  return { root, key, recorded, update };
}
