// Figures of the page show what is chosen, choose by a click, and can be saved.

import { element } from "./dom.js";
import { thoughtOf } from "./study.js";

/** @typedef {import("./state.js").Store} Store @typedef {import("./state.js").View} View */
/** @typedef {[name: string, labels: (number | string)[], first: number, step: number]} Axis */
/** @typedef {{panel?: Record<string, number>, x?: Axis, y?: Axis}} Links */
/** @typedef {Record<string, number | string | null>} Chosen thought, layer and problem */

/** @param {Store} store */
export function linkFigures(store) {
  const panels = [...document.querySelectorAll("rect.linked")].map((rect) => linked(/** @type {SVGRectElement} */ (rect), store));
  store.subscribe((view) => {
    const chosen = { thought: thoughtOf(view.position), layer: view.layer, problem: view.panes[view.active].problem };
    panels.forEach((panel) => panel(chosen));
  });
}

/** @param {SVGRectElement} rect what a panel of a figure covers @param {Store} store */
function linked(rect, store) {
  /** @type {Links} */
  const links = JSON.parse(rect.dataset.linked ?? "{}");
  const svg = /** @type {SVGSVGElement} */ (rect.ownerSVGElement);
  const model = JSON.parse(rect.closest("figure")?.dataset.models ?? "[]")[0];
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  mark.setAttribute("class", "chosen");
  rect.before(mark);
  const extent = Object.fromEntries(["x", "y", "width", "height"].map((name) => [name, Number(rect.getAttribute(name))]));

  /** @param {PointerEvent | MouseEvent} event @returns {Partial<View>} what lies under the pointer */
  function under(event) {
    const matrix = svg.getScreenCTM();
    if (!matrix) return {};
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    /** @type {Chosen} */
    const found = { ...links.panel };
    for (const [axis, at] of /** @type {[Axis | undefined, number][]} */ ([[links.x, x], [links.y, y]])) {
      if (!axis) continue;
      const [name, labels, first, step] = axis;
      const label = labels[Math.round((at - first) / step)];
      if (label !== undefined) found[name] = label;
    }
    return change(found);
  }

  /** @param {Chosen} found @returns {Partial<View>} */
  function change({ thought, layer, problem }) {
    const { panes, active } = store.pinned();
    return {
      ...(thought === undefined ? {} : { position: `thought ${thought}` }),
      ...(layer === undefined ? {} : { layer: Number(layer) }),
      ...(problem === undefined ? {} : { panes: panes.map((pane, i) => (i === active ? { model, problem: String(problem) } : pane)) }),
    };
  }

  rect.addEventListener("click", (event) => store.pin(under(event)));

  return (/** @type {Chosen} */ chosen) => {
    const elsewhere = Object.entries(links.panel ?? {}).some(([name, value]) => chosen[name] !== value);
    const across = band(links.x, chosen, extent.x, extent.width);
    const up = band(links.y, chosen, extent.y, extent.height);
    const tells = links.panel || across.told || up.told;
    mark.toggleAttribute("hidden", elsewhere || !tells || (!across.told && !up.told && (links.x !== undefined || links.y !== undefined)));
    const place = { x: across.from, width: across.size, y: up.from, height: up.size };
    Object.entries(place).forEach(([name, value]) => mark.setAttribute(name, value.toFixed(1)));
  };
}

/**
 * Where along an axis the chosen one lies, within its panel; all of it where the axis counts nothing
 * or another one.
 *
 * @param {Axis | undefined} axis @param {Chosen} chosen @param {number} from @param {number} size
 */
function band(axis, chosen, from, size) {
  const at = axis ? axis[1].indexOf(/** @type {never} */ (chosen[axis[0]])) : -1;
  if (!axis || at < 0) return { told: false, from, size };
  const [, , first, step] = axis;
  const middle = first + at * step;
  const start = Math.max(from, middle - Math.abs(step) / 2);
  const end = Math.min(from + size, middle + Math.abs(step) / 2);
  return { told: true, from: start, size: Math.max(0, end - start) };
}

/** Let every figure be saved, as a picture and as numbers. */
export function saveFigures() {
  const tables = JSON.parse(document.getElementById("browser-tables")?.textContent || "{}");
  for (const figure of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("figure[data-name]"))) {
    const name = figure.dataset.name ?? "figure";
    /** @type {string[]} */
    const models = JSON.parse(figure.dataset.models ?? "[]");
    const named = [...models, name].join("-").replace(/[^\w.-]+/g, "_");
    const svg = () => /** @type {SVGSVGElement} */ ([...figure.querySelectorAll("svg")].find((each) => each.getClientRects().length));
    const files = (figure.dataset.tables ?? "").split(" ").flatMap((table) => models.map((model) => ({ table, model, csv: tables[model]?.[table] }))).filter((each) => each.csv);
    const bar = element(
      "p",
      { class: "save" },
      "Save ",
      button("SVG", `${name} as SVG`, () => save(new Blob([written(svg())], { type: "image/svg+xml" }), `${named}.svg`)),
      button("PNG", `${name} as PNG`, async () => save(await painted(svg()), `${named}.png`)),
      ...files.map(({ table, model, csv }) =>
        button(models.length > 1 ? `${table}.csv of ${model}` : `${table}.csv`, `the numbers of ${name}: ${table}.csv`, () => save(new Blob([csv], { type: "text/csv" }), `${model}-${table}.csv`.replace(/[^\w.-]+/g, "_"))),
      ),
    );
    figure.append(bar);
  }
}

/** @param {string} text @param {string} label @param {() => void} act */
function button(text, label, act) {
  return element("button", { type: "button", "aria-label": `Save ${label}`, onclick: act }, text);
}

/** @param {SVGSVGElement} svg @returns {string} the drawing as a file, without what the page laid over it */
function written(svg) {
  const copy = /** @type {SVGSVGElement} */ (svg.cloneNode(true));
  copy.querySelectorAll(".linked, .chosen").forEach((each) => each.remove());
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("xmlns:xlink", "http://www.w3.org/1999/xlink");
  return new XMLSerializer().serializeToString(copy);
}

/** @param {SVGSVGElement} svg @returns {Promise<Blob>} at three times the size on the screen */
async function painted(svg) {
  const { width, height } = svg.getBoundingClientRect();
  const image = new Image(3 * width, 3 * height);
  const copy = new DOMParser().parseFromString(written(svg), "image/svg+xml").documentElement;
  copy.setAttribute("width", String(3 * width));
  copy.setAttribute("height", String(3 * height));
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = element("canvas", { width: Math.round(3 * width), height: Math.round(3 * height) });
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("The picture is empty.")))));
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
