// A study as the page carries it, and its numbers by label.

import { fraction, rank } from "./numbers.js";

/**
 * @typedef {object} Problem
 * @property {string} id
 * @property {string} question
 * @property {number} cut how many characters of the question are left out
 * @property {number} gold
 * @property {number} [answer] where in `texts` the model's answer is
 * @property {number | null} steps
 * @property {number} tokens
 * @property {boolean} right
 * @property {string} why
 * @property {string} rows
 * @property {(0 | 1 | null)[][]} failed
 * @property {number[][]} [given]
 * @property {(number | null)[][]} [kl]
 * @property {{targets: string[], texts: number[], rank: string, others: string, fed_rank: string, fed_others: string}} [reads]
 * @property {{answers: number[], right: (0 | 1 | null)[], logprob: (number | null)[]}} [exits]
 * @property {string[]} texts
 *
 * @typedef {object} Study
 * @property {string} name
 * @property {string} query
 * @property {number} start the layer that is shown first
 * @property {number[]} layers
 * @property {number[]} heads
 * @property {string[]} queries
 * @property {string[]} keys
 * @property {number[][]} seen which keys each query may look at
 * @property {number[]} thoughts
 * @property {string[]} corruptions
 * @property {string | null} kl
 * @property {string[] | null} places
 * @property {number[] | null} exits
 * @property {number} n
 * @property {number} right
 * @property {Record<string, number>} chosen
 * @property {number} seed
 * @property {Problem[]} problems
 *
 * @typedef {{steps: number, studies: Study[]}} Content
 */

/** @param {string} place @returns {number | null} which thought a position or key is */
export function thoughtOf(place) {
  const found = /^thought (\d+)$/.exec(place);
  return found ? Number(found[1]) : null;
}

/** @param {string} key @returns {string} the position whose row the record has there */
export function queryAt(key) {
  return key === "answer" ? "answer_value" : key;
}

/** @param {string} query @returns {string} the key that stands in the same column */
export function keyAt(query) {
  return query === "answer_value" ? "answer" : query;
}

/**
 * A row of the record: how a position's attention is divided among the keys.
 *
 * @param {Study} study @param {Problem} problem @param {number} layer
 * @param {number | null} head null: the mean over heads @param {string} query @param {number} steps
 * @returns {number[]} a fraction a key
 */
export function row(study, problem, layer, head, query, steps) {
  const values = new Array(study.keys.length).fill(0);
  const at = study.queries.indexOf(query);
  const heads = head === null ? study.heads : [head];
  if (at < 0 || !study.layers.includes(layer) || !heads.every((each) => study.heads.includes(each))) return values.fill(NaN);
  const sizes = study.seen.map((keys) => keys.length);
  const perHead = sizes.reduce((sum, size) => sum + size, 0);
  const before = sizes.slice(0, at).reduce((sum, size) => sum + size, 0);
  for (const each of heads) {
    const place = study.layers.indexOf(layer) * study.heads.length + study.heads.indexOf(each);
    study.seen[at].forEach((key, i) => {
      values[key] += fraction(problem.rows, place * perHead + before + i, steps) / heads.length;
    });
  }
  return values;
}

/** @param {Study} study @param {number[]} values a row @param {string} key "thoughts": all of them @returns {number} */
export function attentionOn(study, values, key) {
  if (key !== "thoughts") return values[study.keys.indexOf(key)];
  return values.reduce((sum, value, i) => (thoughtOf(study.keys[i]) === null ? sum : sum + value), 0);
}

/** @param {(0 | 1 | null)[]} failed @returns {number} the fraction broken, NaN where nothing could be */
export function broken(failed) {
  if (failed.some((each) => each === null)) return NaN;
  return failed.reduce((/** @type {number} */ sum, each) => sum + (each ?? 0), 0) / failed.length;
}

/** @param {Problem} problem @returns {number} the fraction broken over all thoughts and corruptions */
export function brokenOverall(problem) {
  return broken(problem.failed.flat());
}

/**
 * Where a lens finds a problem's texts at a place, and in the states of other problems.
 *
 * @param {Study} study @param {Problem} problem @param {number} layer @param {string} place
 * @returns {{own: number, others: number}[]} one a text
 */
export function ranks(study, problem, layer, place) {
  const { reads } = problem;
  const places = study.places ?? [];
  if (!reads || !places.includes(place)) return [];
  const n = reads.texts.length;
  const start = (study.layers.indexOf(layer) * places.length + places.indexOf(place)) * n;
  return reads.texts.map((_, i) => ({ own: rank(reads.rank, start + i), others: rank(reads.others, start + i) }));
}

/** @param {Problem} problem @param {number} thought @returns {{own: number, others: number}[]} the same of what was fed */
export function fedRanks(problem, thought) {
  const { reads } = problem;
  if (!reads) return [];
  const n = reads.texts.length;
  return reads.texts.map((_, i) => ({
    own: rank(reads.fed_rank, thought * n + i),
    others: rank(reads.fed_others, thought * n + i),
  }));
}
