// Numbers as the page carries them (two characters each), and as people read them.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DIGIT = new Uint8Array(128);
[...LETTERS].forEach((letter, digit) => {
  DIGIT[letter.charCodeAt(0)] = digit;
});
const MORE = 4094;
const MISSING = 4095;

/** @param {string} text @param {number} index @returns {number} an integer from 0 to 4095 */
export function unpacked(text, index) {
  return 64 * DIGIT[text.charCodeAt(2 * index)] + DIGIT[text.charCodeAt(2 * index + 1)];
}

/** @param {string} text @param {number} index @param {number} steps @returns {number} NaN where nothing was recorded */
export function fraction(text, index, steps) {
  const whole = unpacked(text, index);
  return whole === MISSING ? NaN : whole / steps;
}

/** @param {string} text @param {number} index @returns {number} Infinity where it is greater than any that is told */
export function rank(text, index) {
  const whole = unpacked(text, index);
  return whole === MISSING ? NaN : whole === MORE ? Infinity : whole;
}

/** @param {number} value a fraction @returns {string} in percent */
export function percent(value) {
  return Number.isNaN(value) ? "n/a" : (100 * value).toFixed(1);
}

/** @param {number} value @param {number} steps @returns {string} */
export function rankText(value, steps) {
  return Number.isNaN(value) ? "–" : value === Infinity ? `>${steps}` : String(value);
}

/** @param {number | null | undefined} value @returns {string} three digits, with a true minus */
export function plain(value) {
  if (value === null || value === undefined) return "n/a";
  const text = value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
