// What scrolls sideways is reached with Tab, also where a browser does not see to it; nothing else is.

/** @param {string} selector of boxes with one child each, which may be wider */
export function reachScrolled(selector) {
  const sizes = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      const box = target.closest(selector);
      if (!(box instanceof HTMLElement)) continue;
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(selector)) {
    sizes.observe(box);
    if (box.firstElementChild) sizes.observe(box.firstElementChild);
  }
}
