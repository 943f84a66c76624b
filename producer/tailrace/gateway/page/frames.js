/** Draws what changed, at most once a frame, and in at most a third of the time. */

const MAX_PAUSE_MS = 500;
const NEAR_END_PX = 80;

/** @type {Set<{draw: () => void}>} */
const changed = new Set();
let isWaiting = false;

/**
 * Draw a view soon.
 * @param {{draw: () => void}} view
 */
export function drawSoon(view) {
  changed.add(view);
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(drawChanged);
}

function drawChanged() {
  const began = performance.now();
  const views = [...changed];
  changed.clear();
  const root = document.documentElement;
  const isAtEnd = root.scrollHeight - innerHeight - scrollY < NEAR_END_PX;
  for (const view of views) view.draw();
  // Whoever reads the last lines goes on to read them; whoever has scrolled up stays there.
  if (isAtEnd) scrollTo(0, root.scrollHeight);
  // A block that is open is drawn anew each time. The longer that takes, the rarer it has to be.
  setTimeout(goOn, Math.min(2 * (performance.now() - began), MAX_PAUSE_MS));
}

function goOn() {
  isWaiting = changed.size > 0;
  if (isWaiting) requestAnimationFrame(drawChanged);
}
