// Tables of the page are sorted by a click on a column's heading: up, down, and as they were.

import { element } from "./dom.js";

const FEWEST = 3; // rows that are worth it

/** @param {string} selector of tables */
export function sortTables(selector) {
  for (const table of /** @type {NodeListOf<HTMLTableElement>} */ (document.querySelectorAll(selector))) {
    const heads = [...(table.tHead?.rows[table.tHead.rows.length - 1]?.cells ?? [])];
    const body = table.tBodies[0];
    const rows = [...(body?.rows ?? [])];
    if (rows.length < FEWEST) continue;
    heads.forEach((head, column) => {
      const button = element("button", { type: "button", class: "sort", onclick: () => sort(column) });
      button.append(...head.childNodes);
      head.append(button);
    });

    const sort = (/** @type {number} */ column) => {
      const was = heads[column].getAttribute("aria-sort");
      const now = was === null ? "ascending" : was === "ascending" ? "descending" : null;
      for (const head of heads) head.removeAttribute("aria-sort");
      if (now) heads[column].setAttribute("aria-sort", now);
      body.append(...(now ? sorted(rows, column, now === "ascending" ? 1 : -1) : rows));
    };
  }
}

/** @param {HTMLTableRowElement[]} rows @param {number} column @param {1 | -1} direction what is no number comes last */
function sorted(rows, column, direction) {
  const texts = rows.map((row) => row.cells[column]?.textContent?.trim() ?? "");
  const numbers = texts.map(number);
  const order = rows.map((_, i) => i);
  const isText = numbers.every(Number.isNaN);
  order.sort((a, b) => {
    if (isText) return direction * texts[a].localeCompare(texts[b]);
    const [one, other] = [numbers[a], numbers[b]];
    if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
    return direction * (one - other);
  });
  return order.map((i) => rows[i]);
}

/** @param {string} text @returns {number} that it begins with: an estimate before its interval, a bound */
function number(text) {
  const found = /^[<>≤≥=\s]*([-−]?\d+(?:\.\d+)?(?:e[-−]?\d+)?)/.exec(text);
  return found ? Number(found[1].replaceAll("−", "-")) : Number.NaN;
}
