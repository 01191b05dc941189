// Blind pairs: two of the walls that stand in the Methods tab, sides at random, without names and labels; one
// question, then the names. Answers are kept in this browser alone.
(() => {
  const KEY = "fairdemo-arena";
  const $ = (query, root = document) => root.querySelector(query),
    all = (query, root = document) => [...root.querySelectorAll(query)];
  const make = (tag, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };
  const words = () => JSON.parse($("#page-words")?.dataset.words ?? "{}");
  const votes = () => JSON.parse(store.get(KEY) ?? "[]");

  // Wilson's interval of k of n, 95 %.
  function wilson(k, n) {
    const z = 1.96,
      p = k / n,
      middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n),
      half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n)) || 0;
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }
  // Whole walls that stand, each with its method's name.
  const standing = () =>
    all("#methods-walls .wall")
      .filter((wall) => all(".tile", wall).length && !$(".tile.empty", wall))
      .map((wall) => ({
        name: wall.dataset.title || words().baseline,
        pictures: all(".picture img", wall).map((image) => image.src),
      }));
  const shuffled = (list) =>
    list
      .map((item) => [Math.random(), item])
      .sort((a, b) => a[0] - b[0])
      .map((pair) => pair[1]);

  function ask() {
    const text = words(),
      pair = shuffled(standing()).slice(0, 2);
    if (pair.length < 2) return;
    const prompt = $("#methods-prompt textarea, #methods-prompt input").value;
    const sides = pair.map(({ pictures }, i) =>
      make(
        "div",
        { className: "blind" },
        make("h3", { textContent: i ? "B" : "A" }),
        make("div", { className: "pictures" }, ...pictures.map((src) => make("img", { src, alt: "" }))),
      ),
    );
    $("#arena .field").replaceChildren(...sides);
    const vote = (winner) => {
      const told = { prompt, a: pair[0].name, b: pair[1].name, when: new Date().toISOString() };
      told.winner = winner === null ? "" : pair[winner].name;
      store.set(KEY, JSON.stringify([...votes(), told]));
      sides.forEach((side, i) => ($("h3", side).textContent = pair[i].name));
      $("#arena .vote").replaceChildren(
        make("p", { textContent: `A: ${pair[0].name}. B: ${pair[1].name}.` }),
        button(text.arena_next, ask, true),
      );
      score();
    };
    $("#arena .vote").replaceChildren(
      make("p", { textContent: `${text.arena_question} “${prompt}”?` }),
      button("A", () => vote(0)),
      button("B", () => vote(1)),
      button(text.arena_neither, () => vote(null)),
    );
  }
  function button(textContent, onclick, primary = false) {
    return make("button", { type: "button", textContent, onclick, className: primary ? "primary" : "" });
  }
  // Of each two methods: how often which was chosen, with the interval.
  function score() {
    const text = words(),
      pairs = new Map();
    for (const { a, b, winner } of votes()) {
      const [one, other] = [a, b].sort(),
        key = JSON.stringify([one, other]);
      const row = pairs.get(key) ?? { one, other, first: 0, n: 0, neither: 0 };
      if (winner) [(row.first += winner === one), (row.n += 1)];
      else row.neither += 1;
      pairs.set(key, row);
    }
    const lines = [...pairs.values()].map(({ one, other, first, n, neither }) => {
      const [low, high] = n ? wilson(first, n) : [0, 1],
        percent = (share) => `${Math.round(100 * share)} %`;
      const told = `${one} ${first} : ${n - first} ${other} (${percent(low)} – ${percent(high)})`;
      const none = neither ? `, ${text.arena_neither.toLowerCase()} ${neither}` : "";
      return make("li", { textContent: told + none });
    });
    const tools = lines.length ? [button(text.arena_csv, save), button(text.arena_clear, forget)] : [];
    $("#arena .score").replaceChildren(make("ul", {}, ...lines), ...tools);
  }
  function forget() {
    store.remove(KEY);
    score();
  }
  function save() {
    const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`,
      head = ["when", "prompt", "a", "b", "winner"];
    const rows = [head, ...votes().map((vote) => head.map((name) => vote[name]))];
    const csv = rows.map((row) => row.map(quoted).join(",")).join("\r\n");
    const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    make("a", { href: url, download: "fairdemo-blind-pairs.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
  // The arena opens once two walls stand; new walls begin a new pair.
  let seen = "";
  function look() {
    const arena = $("#arena .arena"),
      walls = standing();
    if (!arena) return;
    const now = walls.map((wall) => wall.pictures.join()).join();
    if (now === seen) return;
    seen = now;
    arena.hidden = walls.length < 2;
    if (arena.hidden) return;
    const text = words();
    $("h2", arena).replaceChildren(text.arena, " ", make("small", { textContent: text.arena_what }));
    $("#arena .field").replaceChildren();
    $("#arena .vote").replaceChildren(button(words().arena_begin, ask, true));
    score();
  }
  new MutationObserver(() => requestAnimationFrame(look)).observe(document.documentElement, {
    childList: true,
    subtree: true,
  });
})();
