/**
 * Waiting until a page stands still: its data is there, its fonts and icons are loaded, and nothing moves any more.
 *
 * Takes a condition of the page's own; resolves once it holds and the document did not change for some frames.
 */

const QUIET_FRAMES = 12;

let underWay = 0;
const plainFetch = window.fetch.bind(window);
window.fetch = (...request) => {
  underWay += 1;
  return plainFetch(...request).finally(() => {
    underWay -= 1;
  });
};

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

export async function settled(isReady) {
  let changed = true;
  const observer = new MutationObserver(() => {
    changed = true;
  });
  observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  for (let quiet = 0; quiet < QUIET_FRAMES; quiet += 1) {
    changed = false;
    await document.fonts.ready;
    await nextFrame();
    if (changed || underWay > 0 || !isReady()) quiet = 0;
  }
  observer.disconnect();
}
