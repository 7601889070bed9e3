// Elements are made, never parsed: what a data set says can only ever be text.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes] `on…` are listeners; null and false are left out
 * @param {...(Node | string | number | null)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** @param {string} text @returns {HTMLElement} what is said and not shown */
export function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

/** @param {string} text @returns {HTMLElement} one level below the heading of the browser */
export function heading(text) {
  const level = /** @type {"h2" | "h3"} */ (`h${document.getElementById("browser")?.dataset.level ?? 3}`);
  return element(level, { class: "title" }, text);
}

/**
 * Let arrow keys move among elements of which one at a time can be reached with Tab.
 *
 * @param {HTMLElement} parent
 * @param {() => HTMLElement[]} all
 * @param {() => number} columns how many stand in a row
 */
export function rove(parent, all, columns) {
  parent.addEventListener("keydown", (event) => {
    const items = all();
    const here = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const across = columns();
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const inRow = across > 1 ? here - (here % across) : 0;
    const last = across > 1 ? inRow + across - 1 : items.length - 1;
    const there = event.key === "Home" ? inRow : event.key === "End" ? last : here + (moves[/** @type {keyof typeof moves} */ (event.key)] ?? 0);
    const turnsRow = across > 1 && /Left|Right/.test(event.key) && (there < inRow || there > last);
    if (here < 0 || there === here || turnsRow || !items[there]) return;
    event.preventDefault();
    reach(items, items[there]);
    items[there].focus();
  });
}

/** @param {HTMLElement[]} items @param {HTMLElement | undefined} one the one that Tab reaches */
export function reach(items, one) {
  items.forEach((item) => item.setAttribute("tabindex", item === one ? "0" : "-1"));
}
