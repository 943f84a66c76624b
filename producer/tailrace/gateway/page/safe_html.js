/** Turns HTML of the Markdown renderer into nodes that can do nothing. */

import { ADDRESS } from "./markdown.js";
import DOMPurify from "./vendor/purify.es.mjs";

const TAGS = [
  ..."a blockquote br code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong".split(" "),
  ..."table tbody td th thead tr ul".split(" "),
  ..."math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms".split(" "),
  ..."mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none".split(" "),
];
const ATTRIBUTES = [
  ..."class data-style href start title".split(" "),
  ..."accent accentunder columnalign columnlines columnspacing columnspan depth display displaystyle fence".split(" "),
  ..."form height largeop linethickness lspace mathvariant maxsize minsize movablelimits notation".split(" "),
  ..."rowlines rowspacing rowspan rspace scriptlevel separator stretchy symmetric voffset width".split(" "),
];
const POLICY = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ATTRIBUTES,
  ALLOWED_URI_REGEXP: ADDRESS,
  ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== "href"),
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/**
 * Make nodes of HTML. Whatever could run, load or send something is left out.
 * @param {string} html
 * @returns {DocumentFragment}
 */
export function safeHtml(html) {
  const fragment = DOMPurify.sanitize(html, POLICY);
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const styled of fragment.querySelectorAll("[data-style]")) {
    // Only formulas have it. The policy of the page forbids style attributes in HTML, and allows the property.
    if (styled.closest("math, .temml-error")) styled.style.cssText = styled.getAttribute("data-style");
    styled.removeAttribute("data-style");
  }
  return fragment;
}
