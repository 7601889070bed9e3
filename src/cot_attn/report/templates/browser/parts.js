// What is known of a position beside its attention: corruptions, readouts, exits.

import { element, heading } from "./dom.js";
import { plain, rankText } from "./numbers.js";
import { fedRanks, ranks, thoughtOf } from "./study.js";

const MOST_ON_A_LINE = 20; // letters
const MOST_BESIDE = 6; // layers

/** @typedef {import("./study.js").Problem} Problem @typedef {import("./study.js").Study} Study */
/** @typedef {import("./state.js").View} View */

/** @param {Study} study @param {Problem} problem @param {View} view @returns {HTMLElement} what each corruption did */
export function corruptions(study, problem, view) {
  const thought = thoughtOf(view.position);
  const at = thought === null ? -1 : study.thoughts.indexOf(thought);
  const title = at < 0 ? "When a thought is corrupted" : `When thought ${thought} is corrupted`;
  if (!problem.right) return part(title, "The model's own answer is wrong: nothing could be broken, so nothing was corrupted.");
  if (at < 0) return part(title, everyThought(study, problem), "✕: the answer breaks. Choose a thought to see what is answered.");
  const heads = ["corruption", "answer", "", ...(study.kl ? ["KL, nats"] : [])];
  const rows = study.corruptions.map((name, i) => {
    const failed = problem.failed[at][i];
    return [
      label(name),
      text(problem.given ? problem.texts[problem.given[at][i]] : "not kept"),
      element("span", { class: failed ? "broken" : "held" }, failed ? "✕ broken" : "✓ held"),
      ...(study.kl ? [plain(problem.kl?.[at][i])] : []),
    ];
  });
  return part(title, table("corruptions", heads, rows), study.kl && `KL: how far the distribution ${study.kl === "kl_value" ? "of the value's" : "of the answer's"} first token moves.`);
}

/** @param {Study} study @param {Problem} problem @returns {HTMLElement} which thoughts each corruption breaks */
function everyThought(study, problem) {
  const heads = ["corruption", ...study.thoughts.map(String)];
  const rows = study.corruptions.map((name, i) => [
    label(name),
    ...study.thoughts.map((_, at) => {
      const failed = problem.failed[at][i];
      return element("span", { class: failed ? "broken" : "quiet", role: "img", "aria-label": failed ? "broken" : "held" }, failed ? "✕" : "·");
    }),
  ]);
  return table("every", heads, rows);
}

/** @param {Study} study @param {Problem} problem @param {View} view @param {number} steps @returns {HTMLElement | null} where a lens finds the steps */
export function readouts(study, problem, view, steps) {
  if (!study.places) return null;
  if (!problem.reads?.texts.length || !study.places.includes(view.position)) return part("What it reads as", "A lens was not asked here.");
  const thought = thoughtOf(view.position);
  const fed = thought === null ? null : fedRanks(problem, thought);
  const { targets, texts } = problem.reads;
  const heads = ["", "", ...(fed ? ["fed"] : []), ...study.layers.map((layer) => `L${layer}`)];
  const byLayer = study.layers.map((layer) => ranks(study, problem, layer, view.position));
  const rows = targets.map((target, i) => [
    target,
    text(problem.texts[texts[i]]),
    ...[...(fed ? [fed] : []), ...byLayer].map((of, at) => rankCell(of[i], steps, at - (fed ? 1 : 0) === study.layers.indexOf(view.layer))),
  ]);
  const made = part("What it reads as", table("reads", heads, rows), "Rank of the text's first token in the logit lens, by layer; small: the median rank in other problems' states. Fed: among the embeddings.");
  made.classList.toggle("wide", study.layers.length > MOST_BESIDE);
  return made;
}

/** @param {{own: number, others: number}} found @param {number} steps @param {boolean} here */
function rankCell(found, steps, here) {
  return element("span", { class: `rank${found.own === 1 ? " first" : ""}${here ? " here" : ""}` }, rankText(found.own, steps), element("small", {}, rankText(found.others, steps)));
}

/** @param {Study} study @param {Problem} problem @param {View} view @returns {HTMLElement | null} what is answered after fewer thoughts */
export function exits(study, problem, view) {
  if (!study.exits || !problem.exits) return null;
  const { answers, right, logprob } = problem.exits;
  const thought = thoughtOf(view.position);
  const here = view.position === "bot" ? 0 : thought === null ? study.thoughts.length : thought + 1;
  const rows = study.exits.map((n, i) => [
    String(n),
    text(problem.texts[answers[i]]),
    right[i] === null ? "" : element("span", { class: right[i] ? "held" : "broken" }, right[i] ? "✓ right" : "✕ wrong"),
    plain(logprob[i]),
  ]);
  const made = table("exits", ["thoughts", "answer", "", "log P(right)"], rows);
  made.querySelectorAll("tbody tr").forEach((row, i) => row.classList.toggle("here", study.exits?.[i] === here));
  return part("If it answers after", made);
}

/** @param {string} words @returns {HTMLElement} a text of the model or the data set */
function text(words) {
  return element("span", { class: `text${words.length <= MOST_ON_A_LINE ? " short" : ""}`, dir: "auto" }, words || "(empty)");
}

/** @param {string} name of a corruption @returns {HTMLElement} which may be broken before its parameters */
function label(name) {
  const [kind, ...parameters] = name.split(/(?=\()/);
  return element("span", {}, kind, ...parameters.flatMap((each) => [element("wbr"), each]));
}

/** @param {string} title @param {...(Node | string | null)} contents */
function part(title, ...contents) {
  return element("div", { class: "part" }, heading(title), ...contents.map((each) => (typeof each === "string" ? element("p", { class: "says" }, each) : each)));
}

/** @param {string} kind @param {string[]} heads @param {(Node | string)[][]} rows */
function table(kind, heads, rows) {
  return element(
    "div",
    { class: "overflow" },
    element(
      "table",
      { class: kind },
      element("thead", {}, element("tr", {}, ...heads.map((head) => (head ? element("th", { scope: "col" }, head) : element("td"))))),
      element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((each) => element("td", {}, each))))),
    ),
  );
}
