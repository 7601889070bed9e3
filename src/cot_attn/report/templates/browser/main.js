// The problem browser: reads what the page carries, and puts list and panes in place.

import { element } from "./dom.js";
import { linkFigures, saveFigures } from "./figures.js";
import { problemList } from "./list.js";
import { percent } from "./numbers.js";
import { pane } from "./pane.js";
import { reachScrolled } from "./scrolling.js";
import { sortTables } from "./sorting.js";
import { createStore } from "./state.js";
import { named } from "./strip.js";
import { broken, brokenOverall, keyAt, row, thoughtOf } from "./study.js";

/** @typedef {import("./study.js").Content} Content @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").View} View */

const PAUSE = 250; // ms: what is only passed over is not spoken

/** @param {HTMLElement} root */
function start(root) {
  /** @type {Content} */
  const { steps, studies } = JSON.parse(document.getElementById("browser-data")?.textContent ?? "");
  const of = (/** @type {string} */ model) => studies.find((each) => each.name === model) ?? studies[0];

  /** @param {View} view @returns {View} the nearest that the studies have */
  function possible(view) {
    const panes = view.panes.map(({ model, problem }) => {
      const study = of(model);
      const there = study.problems.some((each) => each.id === problem);
      return { model: study.name, problem: there ? problem : study.problems[0].id };
    });
    const study = of(panes[0].model);
    return {
      ...view,
      panes,
      active: Math.min(view.active, panes.length - 1),
      position: study.queries.includes(view.position) ? view.position : study.query,
      layer: study.layers.includes(view.layer) ? view.layer : study.start,
      head: view.head !== null && study.heads.includes(view.head) ? view.head : null,
      key: study.keys.includes(view.key) ? view.key : "thoughts",
    };
  }

  const first = studies[0];
  const telling = [...first.problems].sort((a, b) => (brokenOverall(b) || 0) - (brokenOverall(a) || 0))[0];
  const store = createStore(
    { panes: [{ model: first.name, problem: telling.id }], active: 0, position: first.query, layer: first.start, head: null, key: "thoughts" },
    possible,
    studies.length > 1,
  );
  const live = element("p", { class: "live", role: "status", "aria-live": "polite" });
  let speaking = 0;
  const panes = element("div", { class: "panes" });
  const beside = element("button", { type: "button", onclick: () => {
    const { panes: [one, two] } = store.pinned();
    store.pin(two ? { panes: [one], active: 0 } : { panes: [one, other(one)], active: 1 });
  } });
  /** @type {ReturnType<typeof pane>[]} */
  let shown = [];

  /** @param {View["panes"][number]} one @returns {View["panes"][number]} the same in the next model, or the next problem */
  function other(one) {
    const next = studies[(studies.indexOf(of(one.model)) + 1) % studies.length];
    if (studies.length > 1 && next.problems.some((each) => each.id === one.problem)) return { model: next.name, problem: one.problem };
    const { problems } = of(one.model);
    return { model: one.model, problem: problems[(problems.findIndex((each) => each.id === one.problem) + 1) % problems.length].id };
  }

  store.subscribe((view, pinned) => {
    const wanted = view.panes.map((each) => of(each.model));
    if (wanted.length !== shown.length || wanted.some((study, i) => shown[i].study !== study)) {
      shown = wanted.map((study, i) => pane(studies, study, i, store, steps));
      panes.replaceChildren(...shown.map((each) => each.root));
      panes.classList.toggle("two", shown.length > 1);
      beside.textContent = shown.length > 1 ? "Close the second" : "Set another beside it";
    }
    shown.forEach((each) => each.update(view, pinned));
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      live.textContent = spoken(view);
    }, PAUSE);
  });

  /** @param {View} view @returns {string} the numbers, for those who do not see them */
  function spoken(view) {
    const { model, problem: id } = view.panes[view.active];
    const study = of(model);
    const problem = study.problems.find((each) => each.id === id);
    if (!problem) return "";
    const values = row(study, problem, view.layer, view.head, view.position, steps);
    const seen = study.keys.map((key, i) => `${key} ${percent(values[i])}`).filter((_, i) => values[i] > 0);
    const thought = thoughtOf(keyAt(view.position));
    const part = thought === null ? NaN : broken(problem.failed[study.thoughts.indexOf(thought)]);
    const breaks = Number.isNaN(part) ? "" : ` Corrupted, it breaks ${percent(part)} percent.`;
    return `From ${named(view.position)}, layer ${view.layer}, ${view.head === null ? "mean over heads" : `head ${view.head}`}, percent: ${seen.join(", ")}.${breaks}`;
  }

  root.append(element("div", { class: "list" }, ...problemList(studies, store), beside), element("div", { class: "view" }, panes, live));
  root.hidden = false;
  linkFigures(store);
  if (document.querySelector("rect.linked")) document.querySelector("nav ul")?.append(chosenNow(root, store));
  store.tell();
}

/** @param {HTMLElement} root @param {import("./state.js").Store} store @returns {HTMLElement} what is marked in all figures */
function chosenNow(root, store) {
  const button = element("button", { type: "button", onclick: () => root.scrollIntoView() });
  store.subscribe((_, { position, layer, head }) => {
    button.textContent = `Marked: ${keyAt(position)} · layer ${layer}${head === null ? "" : ` · head ${head}`}`;
  });
  return element("li", { class: "chosen-now" }, button);
}

const browser = document.getElementById("browser");
if (browser) start(browser);
saveFigures();
reachScrolled(".scroll, .broad");
sortTables(".scroll table");
