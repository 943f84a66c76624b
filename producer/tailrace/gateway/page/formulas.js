/** Formulas in Markdown, as markdown-it rules: `$…$`, `$$…$$`, `\(…\)`, `\[…\]`. They become MathML. */

const MAX_LENGTH = 4_000; // Characters; it bounds the search for the closing bracket.
const LIMITS = { trust: false, maxExpand: 200, maxSize: [20, 20], throwOnError: true };

/** @param {import("./vendor/markdown-it.esm.min.mjs").default} markdown */
export function formulas(markdown) {
  // Before "escape", for which `\(` is a bracket.
  markdown.inline.ruler.before("escape", "formula", inlineFormula);
  markdown.block.ruler.before("fence", "formula_block", blockFormula, {
    alt: ["paragraph", "reference", "blockquote", "list"],
  });
  markdown.renderer.rules.formula = (tokens, index) => rendered(tokens[index]);
  markdown.renderer.rules.formula_block = (tokens, index) =>
    tokens[index].meta.isOpen
      ? `<pre class="formula-source">${markdown.utils.escapeHtml(tokens[index].content)}</pre>`
      : `<div class="formula">${rendered(tokens[index])}</div>`;

  function rendered(token) {
    try {
      const html = globalThis.temml.renderToString(token.content, { ...LIMITS, displayMode: token.block });
      // Attributes named `style` are forbidden here; `safe_html.js` sets them as properties. Quotation marks in texts
      // and in values are escaped, so that this is the only thing that looks so.
      return html.replaceAll(' style="', ' data-style="');
    } catch {
      return `<code class="formula-source">${markdown.utils.escapeHtml(token.content)}</code>`;
    }
  }
}

function inlineFormula(state, silent) {
  const { src, pos, posMax } = state;
  const opener = openerAt(src, pos);
  if (!opener) return false;
  const begin = pos + opener.length;
  const end = closingAt(src, opener, begin, posMax);
  if (end < 0) return false;
  if (!silent) {
    const token = state.push("formula", "math", 0);
    token.content = src.slice(begin, end).trim();
    token.block = opener === "$$" || opener === "\\[";
  }
  state.pos = end + opener.length;
  return true;
}

function openerAt(src, pos) {
  if (src[pos] === "$") return src[pos + 1] === "$" ? "$$" : "$";
  if (src[pos] === "\\" && (src[pos + 1] === "(" || src[pos + 1] === "[")) return src.slice(pos, pos + 2);
  return "";
}

function closingAt(src, opener, begin, posMax) {
  const closer = { "\\(": "\\)", "\\[": "\\]" }[opener] ?? opener;
  // As in Pandoc, so that prices are none: no space inside the dollars, and no digit after them.
  if (opener === "$" && /\s/.test(src[begin] ?? " ")) return -1;
  const within = src.slice(begin, Math.min(posMax, begin + MAX_LENGTH));
  for (let end = within.indexOf(closer, 1); end >= 0; end = within.indexOf(closer, end + 1)) {
    if (isEscaped(within, end)) continue;
    if (opener !== "$" || (/[^\s$]/.test(within[end - 1]) && !/[\d$]/.test(src[begin + end + 1] ?? ""))) return begin + end;
  }
  return -1;
}

function isEscaped(src, pos) {
  let backslashes = 0;
  while (src[pos - 1 - backslashes] === "\\") backslashes += 1;
  return backslashes % 2 === 1;
}

function blockFormula(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const lineAt = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const first = lineAt(startLine);
  const closer = { $$: "$$", "\\[": "\\]" }[first.slice(0, 2)];
  if (!closer) return false;
  const lines = [];
  let line = startLine;
  let isOpen = true;
  for (let rest = first.slice(2); ; rest = lineAt(line)) {
    const end = rest.indexOf(closer);
    if (end >= 0) {
      // Text behind it makes the formula one of a paragraph.
      if (rest.slice(end + 2).trim()) return false;
      lines.push(rest.slice(0, end));
      isOpen = false;
      break;
    }
    lines.push(rest);
    if (line + 1 >= endLine || (state.sCount[line + 1] < state.blkIndent && !state.isEmpty(line + 1))) break;
    line += 1;
  }
  if (silent) return true;
  const token = state.push("formula_block", "math", 0);
  token.content = lines.join("\n").trim();
  token.block = true;
  token.meta = { isOpen };
  token.map = [startLine, line + 1];
  state.line = line + 1;
  return true;
}
