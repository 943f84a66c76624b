/** Makes elements without HTML: whatever a text holds stays text. */

/**
 * Make an element.
 * @param {string} name The tag, with classes after dots: `button.quiet`.
 * @param {Record<string, unknown>} properties Properties of the element; those that begin with `aria-` or `data-`, and
 *     `role` and `for`, are set as attributes.
 * @param {...(Node | string)} children What is in it.
 * @returns {HTMLElement}
 */
export function element(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (/^(aria-|data-|role$|for$)/.test(key)) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/**
 * Set the text of an element, and hide the element while there is none.
 * @param {HTMLElement} target
 * @param {string} text
 */
export function tell(target, text) {
  if (target.textContent !== text) target.textContent = text;
  target.hidden = !text;
}
