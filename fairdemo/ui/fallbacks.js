// What all our pages do where a browser or the net fails them.

// What a page keeps in the browser's `kind` of storage (localStorage, sessionStorage). Where that is blocked,
// null or full, as in some apps that scan codes, it is kept until the page is closed.
function openStore(kind) {
  const own = new Map();
  // Whether the browser's own did it.
  const attempt = (use) => {
    try {
      return use(window[kind]);
    } catch {
      return undefined;
    }
  };
  const keep = (key, value, use) => {
    if (attempt((storage) => (use(storage), true))) own.delete(key);
    else own.set(key, value);
  };
  return {
    get: (key) => (own.has(key) ? own.get(key) : (attempt((storage) => storage.getItem(key)) ?? null)),
    set: (key, value) => keep(key, String(value), (storage) => storage.setItem(key, value)),
    remove: (key) => keep(key, null, (storage) => storage.removeItem(key)),
  };
}
const store = openStore("localStorage"),
  tabStore = openStore("sessionStorage");

// A picture that failed to load is asked for again: later each time, and as soon as the line is back.
const LOADS = 6,
  loads = new WeakMap();
function loadAgain(image) {
  if (image.isConnected && !image.naturalWidth) image.src = image.src;
}
addEventListener(
  "error",
  (event) => {
    const image = event.target;
    if (image.tagName !== "IMG" || !image.src.startsWith(location.origin)) return;
    const count = (loads.get(image) ?? 0) + 1;
    loads.set(image, count);
    if (count <= LOADS) setTimeout(() => loadAgain(image), 500 * 2 ** count);
  },
  true,
);
addEventListener("online", () => document.querySelectorAll("img").forEach((image) => {
  if (image.complete) loadAgain(image);
}));
