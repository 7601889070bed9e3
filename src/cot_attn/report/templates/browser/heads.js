// Layers and heads as a grid: where a position's attention on something is large.

import { element, heading, reach, rove } from "./dom.js";
import { percent } from "./numbers.js";
import { attentionOn, row } from "./study.js";

/** @typedef {import("./study.js").Problem} Problem @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").Store} Store @typedef {import("./state.js").View} View */

const MOST_NUMBERS = 8; // heads whose numbers fit into the cells

/** @param {Study} study @param {Store} store @param {number} steps */
export function headGrid(study, store, steps) {
  const heads = [null, ...study.heads];
  const top = [...study.layers].reverse(); // layer 0 is at the bottom, as in every figure
  const cells = top.flatMap((layer) => heads.map((head) => cell(layer, head, store)));
  const key = element(
    "select",
    { class: "heads-on", "aria-label": "The grid shows attention on", onchange: () => store.pin({ key: key.value }) },
    new Option("all thoughts", "thoughts"),
    ...study.keys.map((each) => new Option(each === "question" ? "the question" : each, each)),
  );
  const grid = element(
    "div",
    { class: "heads", role: "grid", "aria-label": "Layers and heads" },
    element("div", { role: "row" }, element("span", { role: "columnheader", class: "corner" }, "layer"), ...heads.map((head) => element("span", { role: "columnheader" }, head === null ? "mean" : head))),
    ...top.map((layer, i) => element("div", { role: "row" }, element("span", { role: "rowheader" }, layer), ...cells.slice(i * heads.length, (i + 1) * heads.length).map((each) => each.root))),
  );
  grid.style.setProperty("--columns", String(heads.length));
  const items = cells.map((each) => each.root);
  rove(grid, () => items, () => heads.length);
  grid.addEventListener("pointerleave", () => store.point({}));
  grid.addEventListener("focusout", () => store.point({}));

  let drawn = "";

  /** @param {ReturnType<typeof cell>} one @param {View} view @param {Problem} problem */
  function write({ root, layer, head }, view, problem) {
    const value = attentionOn(study, row(study, problem, layer, head, view.position, steps), view.key);
    root.style.setProperty("--part", String(Math.sqrt(value || 0)));
    root.textContent = study.heads.length <= MOST_NUMBERS ? percent(value) : "";
    root.setAttribute("aria-label", `layer ${layer}, ${head === null ? "mean over heads" : `head ${head}`}: ${percent(value)} %`);
  }

  /** @param {View} view @param {Problem} problem @param {View} pinned */
  function update(view, problem, pinned) {
    key.value = view.key;
    const now = JSON.stringify([problem.id, view.position, view.key]);
    if (now !== drawn) cells.forEach((each) => write(each, view, problem));
    drawn = now;
    for (const each of cells) {
      each.root.classList.toggle("shown", each.layer === view.layer && each.head === view.head);
      each.root.setAttribute("aria-selected", String(each.layer === pinned.layer && each.head === pinned.head));
    }
    reach(items, cells.find((each) => each.layer === pinned.layer && each.head === pinned.head)?.root);
  }

  return { root: element("div", { class: "part" }, heading("Layers and heads"), element("p", { class: "says" }, "Attention on ", key, ": % of the row"), element("div", { class: "overflow" }, grid)), update };
}

/** @param {number} layer @param {number | null} head @param {Store} store */
function cell(layer, head, store) {
  const root = element("div", {
    role: "gridcell", class: "head", tabindex: "-1",
    onclick: () => store.pin({ layer, head }),
    onpointermove: () => store.point({ layer, head }),
    onfocus: () => store.point({ layer, head }),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        store.pin({ layer, head });
      }
    },
  });
  return { root, layer, head };
}
