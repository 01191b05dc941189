// What the class's pages share: words, requests, a poll that survives a lost connection, and views of a step.
const words = JSON.parse(document.getElementById("words").textContent);
// The app's own path: a proxy's prefix may end in "class", too.
const root = location.pathname.replace(/(^|\/)class\/?(student|teacher|projector)?$/, "/");
const main = document.getElementById("main");
// In the app's own page it has that page's theme.
if (frameElement)
  document.documentElement.className = parent.document.body.classList.contains("dark") ? "dark" : "light";
main.replaceChildren(); // what stands there for browsers that can't read this script

function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on") || name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined &&
    child !== ""));
  return node;
}

function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
// `read` is how an answer is read that is no error: as "json" or as a "blob", a file.
async function api(method, path, body, secret, read = "json") {
  const headers = {};
  if (secret) headers.Authorization = `Bearer ${secret}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`${root}class/api/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    return { ok: false, status: 0, data: { error: t("lost") } };
  }
  const kind = answer.ok ? read : "json";
  const data = await answer[kind]().catch(() => ({ error: answer.statusText }));
  // The server speaks English; other languages have words for each kind of refusal.
  if (!answer.ok) data.error = words[`error_${answer.status}`] ?? data.error;
  return { ok: answer.ok, status: answer.status, data };
}
// The address that phones open; of a page on this computer alone the server knows one.
async function findReach() {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  return local ? (await api("GET", "reach")).data : {};
}

function phoneLink(reach, code) {
  return `${reach?.address || location.origin}${root}class/#${code}`;
}
// Asks again and again, one request at a time; a lost connection is said at the bottom until it is back.
// `ask` returns whether the server answered, and "over" when there is nothing more to ask.
function poll(ask, every) {
  let last = null,
    going = false,
    again = false,
    over = false;
  const lost = document.getElementById("lost");
  async function once() {
    if (over) return;
    if (going) return void(again = true);
    clearTimeout(last);
    going = true;
    const told = await ask();
    lost.textContent = t("lost");
    lost.hidden = told !== false;
    over = told === "over";
    going = false;
    if (again) {
      again = false;
      return once();
    }
    if (!over) last = setTimeout(once, document.hidden ? 4 * every : every * (0.85 + 0.3 * Math
      .random()));
  }
  document.addEventListener("visibilitychange", () => document.hidden || once());
  once();
  return once;
}
const COLOURS = ["#dc2626", "#f97316", "#facc15", "#16a34a", "#0d9488", "#2563eb", "#7c3aed",
"#ec4899"];

function nameOf(number) {
  const colour = t("colours").split(",")[number % 8];
  const animal = t("animals").split(",")[(number + Math.floor(number / 8)) % 8];
  return t("named", { colour, animal }) + (number > 63 ? ` ${Math.floor(number / 64) + 1}` : "");
}

function badge(number) {
  const dot = h("i");
  dot.style.background = COLOURS[number % 8];
  return h("span", { className: "who" }, dot, nameOf(number));
}
const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const capital = (said) => said[0].toUpperCase() + said.slice(1);
const counted = (c) =>
  c ? t("counts_line", { count: c.count, n: c.n, low: percent(c.low), high: percent(c.high) }) : "–";

function button(text, onclick, className = "") {
  return h("button", { type: "button", className, onclick }, text);
}
let numbered = 0;

function slider(text, value, most, changed, unit = "") {
  const id = `slide-${++numbered}`;
  const out = h("output", {}, `${value}${unit}`);
  const range = h("input", { type: "range", id, min: 0, max: most, step: 1, value });
  range.oninput = () => {
    out.textContent = `${range.value}${unit}`;
    changed(Number(range.value));
  };
  return h("div", { className: "slide" }, h("label", { htmlFor: id }, text, out), range);
}
// A wall whose pictures can be tapped, with the counts.
function wallView(wall, title) {
  if (wall.state === "failed") return h("p", { className: "bad" }, t("failed", wall));
  if (wall.state !== "done") {
    const bar = h("i");
    bar.style.width = `${(100 * wall.done) / wall.n}%`;
    return h("div", { className: "card" }, h("p", {}, t("drawing", wall)),
      h("div", { className: "bar" }, bar));
  }
  const told = h("p", { className: "soft tap", role: "status" }, t("look_tap"));
  const tiles = wall.pictures.map((picture) => {
    const read = reading(picture);
    const tile = h("button", { type: "button", title: read }, h("img", { src: root + picture.src,
      alt: read }));
    tile.onclick = () => {
      told.textContent = `${read} ${capital(t("perceived"))}.`;
      tiles.forEach((other) => other.classList.toggle("on", other === tile));
    };
    return tile;
  });
  return h("section", {}, title ? h("h2", {}, title) : "", h("p", { className: "soft" },
      `“${wall.prompt}”`),
    wall.prompts.length ? h("p", { className: "soft" }, t("changed", { prompt: wall.prompts.join(
        "; ") })) : "",
    h("div", { className: "wall" }, tiles), told, counts(wall));
}

function reading(picture) {
  if (picture.failed) return t("no_picture");
  if (!picture.faces) return t("no_face");
  const { sure } = picture;
  const read = t("reads", {
    gender: t(`gender_${picture.gender}`),
    race: t(`race_${picture.race.replace(" ", "_")}`),
    age: picture.age,
    g: percent(sure.gender),
    r: percent(sure.race),
    a: percent(sure.age),
  });
  return picture.faces > 1 ? `${read} ${t("more_faces", { k: picture.faces })}` : read;
}

function counts(wall) {
  return h("p", {}, h("b", {}, `${t("women")}: `), counted(wall.women), " · ", h("b", {},
      `${t("white")}: `),
    counted(wall.race.White), ` · ${t("perceived")}. ${t("generated")}`,
    wall.none ? ` ${t("none_found", { k: wall.none })}.` : "",
    wall.failed ? ` ${t("failed_pictures", { k: wall.failed })}.` : "");
}
// Guesses as dots over 0 to 16, the model's count with its interval, and the workforce.
function dots(values, found, work) {
  const WIDE = 360,
    x = (v) => 20 + (v / 16) * (WIDE - 40);
  const high = {};
  const stacked = values.map((v) => [v, (high[v] = (high[v] ?? 0) + 1)]);
  const tall = Math.max(3, ...Object.values(high)),
    step = Math.min(12, 96 / tall);
  const floor = tall * step + 8;
  const chart = svg("svg", { class: "dots", viewBox: `0 0 ${WIDE} ${floor + 62}`, role: "img" });
  chart.append(svg("line", { class: "axis", x1: x(0), x2: x(16), y1: floor, y2: floor }));
  for (const v of [0, 4, 8, 12, 16]) chart.append(text(x(v), floor + 54, v));
  for (const [v, k] of stacked)
    chart.append(svg("circle", { class: "guess", cx: x(v), cy: floor - k * step + step / 2, r: step /
        2 - 0.5 }));
  if (found) {
    const y = floor + 16,
      at = 16 * (found.count / (found.n || 1));
    chart.append(svg("line", { class: "model", x1: x(16 * found.low), x2: x(16 * found.high), y1: y,
        y2: y }),
      svg("circle", { class: "model", cx: x(at), cy: y, r: 5 }));
  }
  if (work) {
    const at = x((16 * work.women) / 100),
      y = floor + 34;
    chart.append(svg("path", { class: "work", d: `M${at} ${y - 6}l6 6l-6 6l-6 -6z` }));
  }
  chart.setAttribute("aria-label",
    `${t("dots_class")}: ${values.join(", ") || "–"}; ${t("dots_model")}: ${counted(found)}`);
  return chart;
}

function text(x, y, said) {
  const node = svg("text", { x, y, "text-anchor": "middle" });
  node.textContent = said;
  return node;
}

function compareView(seen) {
  const { wall, guesses, workforce } = seen;
  const done = wall.state === "done";
  const one = (what, title) => {
    const found = done ? (what === "women" ? wall.women : wall.race.White) : null;
    const work = what === "women" ? workforce : null;
    const key = [
      guesses[what].length ? ["guess", "●", t("dots_class")] : "",
      found ? ["model", "━●━", `${t("dots_model")}: ${counted(found)}, ${t("perceived")}`] : "",
      work ? ["work", "◇", t("dots_work", { percent: `${work.women} %` })] : "",
    ];
    return h("section", { className: "card" }, h("h2", {}, title),
      guesses[what].length ? "" : h("p", { className: "soft" }, t("no_guesses")),
      dots(guesses[what], found, work),
      h("p", { className: "key" }, key.filter(Boolean).map(([kind, mark, said]) => h("span", {},
        h("i", { className: kind }, mark), ` ${said}`))));
  };
  return h("div", {}, h("h1", {}, `${t("compare_title")}: ${t(seen.profession)}`), done ? "" : wallView(
      wall),
    h("div", { className: "pair" }, one("women", t("women")), one("white", t("white"))),
    workforce ? h("p", { className: "soft" }, t("work_source", workforce)) : "");
}
const targetLine = (target) => t("target_line", {
  women: percent(target.gender.Female),
  race: Object.entries(target.race)
    .map(([r, s]) => `${t(`race_${r.replace(" ", "_")}`)} ${percent(s)}`).join(", "),
});
const medianLine = (s) => (s ? t("median_line", s) : "–");

function wishView(seen) {
  const price = seen.cost ?
    [seen.cost.kept ? h("p", {}, t("cost_kept", { after: counted(seen.cost.kept),
      before: counted(seen.cost.kept_before) })) : "",
      h("p", {}, t("cost_look", seen.cost)),
        ...seen.cost.notices.map((n) => h("p", { className: "soft" }, n))
    ] :
    [];
  return h("div", {},
    h("div", { className: "walls" }, wallView(seen.before, t("wish_before")), wallView(seen.wall,
      t("wish_wall"))), ...price, wishCard(seen));
}
// What the class wishes, and why.
function wishCard(seen) {
  const own = seen.class;
  const reasons = Object.entries(own.reasons).map(([reason, r]) =>
    h("li", {}, h("b", {}, `${t(reason)}: `),
      r.n ? t("reason_line", { n: r.n, median: r.women.median }) : t("reason_none")));
  const races = Object.entries(own.race).map(([race, s]) =>
    h("li", {}, h("b", {}, `${capital(t(`race_${race.replace(" ", "_")}`))}: `), medianLine(s)));
  return h("section", { className: "card wish" },
    h("div", {}, h("h2", {}, `${t("class_wish")} (${t("class_n", own)})`),
      h("p", {}, h("b", {}, `${t("women")}: `), medianLine(own.women)), strip(own.every),
      seen.target ? h("p", { className: "soft" }, targetLine(seen.target)) : ""),
    h("ul", { className: "columns" }, races),
    h("div", {}, h("h2", {}, t("decide_why")), h("ul", { className: "columns" }, reasons)));
}
// Wishes as dots over 0 to 100 percent.
function strip(values) {
  const x = (v) => 24 + v * 3.12,
    high = {};
  const stacked = values.map((v) => [v, (high[v] = (high[v] ?? 0) + 1)]);
  const step = Math.min(12, 72 / Math.max(1, ...Object.values(high))),
    floor = 6 + step * Math.max(1, ...Object.values(high));
  const chart = svg("svg", { class: "dots", viewBox: `0 0 360 ${floor + 20}`,
  role: "img", "aria-label": `${t("class_wish")}: ${values.join(", ") || "–"}` });
  chart.append(svg("line", { class: "axis", x1: x(0), x2: x(100), y1: floor, y2: floor }));
  for (const v of [0, 25, 50, 75, 100]) chart.append(text(x(v), floor + 15, `${v} %`));
  for (const [v, k] of stacked)
    chart.append(svg("circle", { class: "guess", cx: x(v), cy: floor - k * step + step / 2, r: step /
        2 - 0.5 }));
  return chart;
}
const methodName = (name) => t(`method_${name.replace(" ", "_")}`);

function resultLine(c) {
  const [left, right] = c.names.map(methodName);
  if (!(c.left + c.right)) return t("methods_none", { left, right, n: c.alike });
  return t("methods_result", {
    left: methodName(c.names[0]),
    right: methodName(c.names[1]),
    a: c.left,
    b: c.right,
    c: c.alike,
    low: percent(c.low),
    high: percent(c.high)
  });
}

function sideView(side) {
  if (side.error) return h("p", { className: "bad" }, t("failed", side));
  return !side.pictures.length ? h("p", { className: "soft" }, t("pictures_soon")) :
    h("div", { className: "wall" }, side.pictures.map((src) => h("img", { src: root + src, alt: "" })));
}
const ofAll = (c) => (c ? [String(c.count), h("br"), h("small", {},
  `${percent(c.low)}–${percent(c.high)}`)] : "–");

function summaryView(seen, wish = wishView) {
  const rows = seen.summary.map((row) => h("tr", {}, h("th", { scope: "row" }, t(row.profession)),
    h("td", {}, row.guessed.women ? row.guessed.women.median : "–"), h("td", {}, ofAll(row.women)),
    h("td", {}, row.workforce ? `${row.workforce.women} %` : "–"),
    h("td", {}, row.guessed.white ? row.guessed.white.median : "–"), h("td", {}, ofAll(row.white))));
  const head = ["col_profession", "col_guess", "col_model", "col_work", "col_guess", "col_model"];
  const kinds = ["", t("women"), t("women"), t("women"), t("white"), t("white")];
  const asked = seen.chosen?.some((c) => c.left + c.right + c.alike);
  return h("div", {}, h("h1", {}, t("end_title")),
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": t("end_title") },
      h("table", {},
      h("thead", {}, h("tr", {}, head.map((key, i) => h("th", { scope: "col" }, t(key), kinds[i] ?
        h("br") : "", h("small", {}, kinds[i]))))),
      h("tbody", {}, rows))),
    h("p", { className: "soft" }, `${t("perceived")}. ${t("generated")}`),
    seen.class ? (seen.wall ? wish : wishCard)(seen) : "",
    asked ? h("section", { className: "card" }, h("h2", {}, t("step_methods")), h("ul", {},
      seen.chosen.map((c) => h("li", {}, resultLine(c))))) : "",
    h("p", {}, button(t("save_page"), () => print())));
}
const armName = (arm) => t(`arm_${arm.replaceAll(" ", "_")}`);

function resultsView(results, simulated) {
  const middle = (s) => (s ? `${s.median} (${s.low}–${s.high})` : "–");
  const over = results.effects.length > 0;
  const outcomes = [...new Set(results.effects.map((e) => e.outcome))];
  const cells = (a) => outcomes.map((o) => (o === "implicit" ? [a[o]] : a[o])).flat();
  const rows = results.arms.map((a) => h("tr", {}, h("th", { scope: "row" }, armName(a.arm)),
    h("td", {}, a.dealt), h("td", {}, a.n), cells(a).map((s) => h("td", {}, middle(s)))));
  const line = (e, kind) => e.why ? t("effect_none", { first: armName(e.first), second: armName(e
        .second), why: t("few_people") }) :
    t(e.outcome === "implicit" ? "effect_d" : "effect_line", { ...e[kind], first: armName(e.first),
      second: armName(e.second), a: e[kind].n[0], b: e[kind].n[1] });
  const scored = outcomes.flatMap((o) => o === "implicit" ? [t("results_d")] :
    ["results_before", "results_after"].map((when) => `${t(`outcome_${o}`)}, ${t(when).toLowerCase()}`));
  const head = [...["results_arm", "results_dealt", "results_n"].map((key) => t(key)), ...scored];
  const analyses = (o) => (o === "implicit" ? ["differences"] : ["covariance", "differences"]);
  return h("section", { className: "card" }, h("h2", {}, t("results")),
    simulated ? h("p", { className: "bad" }, t("simulated")) : "",
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": t("results") },
      h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows))),
    h("p", { className: "soft" }, t(over ? "results_score" : "results_later")),
    outcomes.includes("implicit") ? h("p", { className: "soft" }, t("results_d_what")) : "",
    results.inattentive ? h("p", { className: "soft" }, t("results_out", { n: results
      .inattentive })) : "",
    outcomes.map((o) => [h("h2", {}, t(`outcome_${o}`)), analyses(o).map((kind) => [
      o === "implicit" ? "" : h("h3", {}, t(`effect_${kind}`)),
      h("ul", {}, results.effects.filter((e) => e.outcome === o).map((e) => h("li", {}, line(e, kind))))
    ])]));
}
// Puts a view on the page only where what it shows has changed, so that nobody's slider jumps.
const standing = new Map();

function show(key, make, place = main) {
  const now = JSON.stringify(key);
  if (now === standing.get(place)) return;
  const y = scrollY,
    focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.replaceChildren(...[make()].flat(Infinity).filter((part) => part !== "" && part !== null));
  standing.set(place, now);
  scrollTo(0, y);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}
// A new step begins at its top, and is read out.
function atTop() {
  scrollTo(0, 0);
  const title = document.querySelector("main h1");
  if (title) {
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  }
}
