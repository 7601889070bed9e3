// What is chosen, what is only pointed at, and the address that says it.

/**
 * @typedef {{model: string, problem: string}} Shown
 * @typedef {object} View
 * @property {Shown[]} panes one problem, or two side by side
 * @property {number} active into which of them the list puts a problem
 * @property {string} position whose attention is shown
 * @property {number} layer
 * @property {number | null} head null: the mean over heads
 * @property {string} key what the grid of heads shows the attention on
 */

const NAMES = ["problem", "beside"];

/** @param {View} view @param {boolean} several whether there are several models @returns {string} */
export function address(view, several) {
  const told = new URLSearchParams();
  view.panes.forEach((pane, i) => {
    told.set(NAMES[i], pane.problem);
    if (several) told.set(`${NAMES[i]}-model`, pane.model);
  });
  told.set("position", view.position);
  told.set("layer", String(view.layer));
  if (view.head !== null) told.set("head", String(view.head));
  if (view.key !== "thoughts") told.set("on", view.key);
  return `#${told}`;
}

/** @param {string} hash @param {View} start @returns {View | null} null: the address says nothing of it */
export function viewOf(hash, start) {
  const told = new URLSearchParams(hash.slice(1));
  if (!told.has("problem")) return null;
  const panes = NAMES.filter((name) => told.has(name)).map((name) => ({
    model: told.get(`${name}-model`) ?? start.panes[0].model,
    problem: told.get(name) ?? "",
  }));
  return {
    ...start,
    panes,
    active: 0,
    position: told.get("position") ?? start.position,
    layer: Number(told.get("layer") ?? start.layer),
    head: told.has("head") ? Number(told.get("head")) : null,
    key: told.get("on") ?? "thoughts",
  };
}

/** @param {"pushState" | "replaceState"} how @param {string} view @param {string} url */
function remember(how, view, url) {
  try {
    history[how](view, "", url);
  } catch {
    // A frame without an address of its own, as in some notebooks, has nothing to remember it in.
  }
}

/**
 * @param {View} start
 * @param {(view: View) => View} possible makes a view one that the studies have
 * @param {boolean} several
 */
export function createStore(start, possible, several) {
  let pinned = possible(viewOf(location.hash, start) ?? start);
  /** @type {Partial<View>} */
  let pointed = {};
  /** @type {((shown: View, pinned: View) => void)[]} */
  const listeners = [];
  const tell = () => {
    const shown = possible({ ...pinned, ...pointed });
    listeners.forEach((listener) => listener(shown, pinned));
  };

  remember("replaceState", address(pinned, several), location.href);
  addEventListener("popstate", ({ state }) => {
    pinned = possible(viewOf(state ?? location.hash, start) ?? pinned);
    pointed = {};
    tell();
  });

  return {
    /** @returns {View} */
    pinned: () => pinned,
    /** Choose for good: the address says it, and the back button takes it back. @param {Partial<View>} change */
    pin(change) {
      pinned = possible({ ...pinned, ...change });
      pointed = {};
      const next = address(pinned, several);
      if (next !== location.hash) remember("pushState", next, next);
      tell();
    },
    /** Say into which pane the list puts a problem. @param {number} active */
    activate(active) {
      pinned = { ...pinned, active };
      tell();
    },
    /** Show as long as it is pointed at. @param {Partial<View>} change */
    point(change) {
      if (JSON.stringify(change) === JSON.stringify(pointed)) return;
      pointed = change;
      tell();
    },
    /** @param {(shown: View, pinned: View) => void} listener */
    subscribe(listener) {
      listeners.push(listener);
    },
    tell,
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
