// The target mixer: sliders that sum to 100 % in each attribute, locks, undo and redo. Runs in gr.HTML's
// js_on_load; `element`, `props`, `trigger`, `watch` and `server` are Gradio's. The value is {steered:
// [attribute, …], shares: {attribute: {class: percent}}}. While a slider moves, the server says what the
// wall would be; "release" fires when it rests.
const clone = (value) => JSON.parse(JSON.stringify(value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const past = [],
  future = [];
let rested = clone(props.value);

// Shares after `moved` went to `wanted`: locked ones stay, the others keep their proportions.
function linked(shares, moved, wanted, locked) {
  const others = Object.keys(shares).filter((c) => c !== moved);
  const held = others.filter((c) => locked.has(c)).reduce((sum, c) => sum + shares[c], 0);
  const free = others.filter((c) => !locked.has(c));
  const to = free.length ? Math.min(Math.max(0, wanted), 100 - held) : 100 - held;
  const before = free.reduce((sum, c) => sum + shares[c], 0);
  const after = { ...shares, [moved]: to };
  for (const c of free) after[c] = (100 - held - to) * (before > 0 ? shares[c] / before : 1 / free.length);
  return after;
}

// Whole percents that sum to 100 (largest remainders), for showing.
function whole(shares) {
  const floor = Object.fromEntries(Object.entries(shares).map(([c, v]) => [c, Math.floor(v + 1e-6)]));
  let left = 100 - Object.values(floor).reduce((a, b) => a + b, 0);
  for (const c of Object.keys(shares).sort((a, b) => shares[b] - floor[b] - (shares[a] - floor[a])))
    if (left-- > 0) floor[c] += 1;
  return floor;
}

const button = (name) => document.querySelector(`#wish-title .${name}`);

function show() {
  for (const field of element.querySelectorAll("fieldset")) {
    const attribute = field.dataset.attribute,
      on = props.value.steered.includes(attribute),
      percents = whole(props.value.shares[attribute]);
    field.classList.toggle("off", !on);
    field.querySelector(".steer").checked = on;
    for (const row of field.querySelectorAll(".share")) {
      const slider = row.querySelector("input[type=range]"),
        name = row.dataset.class;
      slider.value = props.value.shares[attribute][name];
      slider.style.setProperty("--at", `${slider.value}%`);
      slider.setAttribute("aria-valuetext", `${percents[name]} %`);
      row.querySelector("output").textContent = `${percents[name]} %`;
    }
  }
  if (button("undo")) {
    button("undo").disabled = !past.length;
    button("redo").disabled = !future.length;
  }
}

// What the wall would be: one question at a time, always the latest wish.
let asking = false,
  waiting = false;
async function slide() {
  const token = document.querySelector("#wall-debiased [data-wall]")?.dataset.wall;
  if (!token) return;
  if (asking) return void (waiting = true);
  asking = true;
  do {
    waiting = false;
    try {
      window.fairdemo.show(await server.slide({ wish: props.value, wall: token }));
    } catch {
      // The server is gone or busy; "release" says what is wrong.
    }
  } while (waiting);
  asking = false;
}

// How much of what sliders may ask for is drawn already; the wall's pool fills while nobody draws.
async function pool() {
  const token = document.querySelector("#wall-debiased [data-wall]")?.dataset.wall,
    shown = document.querySelector("#wish-title .pool");
  if (!shown || document.hidden) return;
  // Without a connection the answer is nothing at all, or an error.
  const [drawn, of] = (token && (await server.pooled(token).catch(() => null))) || [];
  shown.textContent = of && drawn < of ? `${Math.floor((100 * drawn) / of)} %` : "";
  shown.dataset.drawn = of ? `${drawn}/${of}` : "";
}
setInterval(pool, 2000);

function rest() {
  if (same(rested, props.value)) return;
  past.push(rested);
  future.length = 0;
  rested = clone(props.value);
  show();
  trigger("release");
}

// One step back or forth among the wishes of this visit.
function step(from, to) {
  if (!from.length) return;
  to.push(rested);
  props.value = rested = from.pop();
  show();
  trigger("release");
}

element.addEventListener("input", (event) => {
  const field = event.target.closest("fieldset");
  if (!field) return;
  const value = clone(props.value),
    attribute = field.dataset.attribute;
  if (event.target.classList.contains("steer")) {
    value.steered = value.steered
      .filter((a) => a !== attribute)
      .concat(event.target.checked ? [attribute] : []);
  } else {
    const locked = new Set(
      [...field.querySelectorAll(".lock[aria-pressed=true]")].map((b) => b.closest(".share").dataset.class),
    );
    value.shares[attribute] = linked(
      value.shares[attribute],
      event.target.closest(".share").dataset.class,
      +event.target.value,
      locked,
    );
    if (!value.steered.includes(attribute)) value.steered = [...value.steered, attribute];
  }
  props.value = value;
  show();
  slide();
});
element.addEventListener("change", rest);
element.addEventListener("click", (event) => {
  const lock = event.target.closest(".lock");
  if (lock) lock.setAttribute("aria-pressed", lock.getAttribute("aria-pressed") !== "true");
});
document.addEventListener("click", (event) => {
  if (event.target.closest("#wish-title .undo")) step(past, future);
  if (event.target.closest("#wish-title .redo")) step(future, past);
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("textarea, input:not([type=range])")) return;
  const key = event.key.toLowerCase();
  if (key === "z" || key === "y") {
    event.preventDefault();
    key === "y" || event.shiftKey ? step(future, past) : step(past, future);
  }
});
watch("value", () => {
  if (!same(rested, props.value)) {
    past.push(rested);
    rested = clone(props.value);
  }
  show();
});
show();
