// A student's phone: join, then whatever the class does, or at one's own pace.
const KEPT = "fairdemo-class";
const kept = () => JSON.parse(store.get(KEPT) ?? "{}");
let code = location.hash.slice(1).toUpperCase().replace(/[^A-Z0-9]/g, "") || kept().code || "";
let token = "";
let seen = null; // the room as the server tells it
let ask = null; // polls at once
let joining = false;
let own = {}; // where this phone is
let drafts = {}; // what was set and not sent yet, by question
let said = ""; // what went wrong last
let unsent = null; // an answer that a lost connection swallowed
let turn = 0; // counts what this phone does, so that an older answer of the server isn't shown after it
let at_step = "";

function keep() {
  store.set(KEPT, JSON.stringify({ ...kept(), code, [code]: token }));
}
// A token of this phone's own, kept before it is sent: whatever is lost on the way, the seat stays one.
function made() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

function joinView(error = "") {
  const field = h("input", {
    type: "text",
    className: "code",
    id: "code",
    maxLength: 5,
    value: code,
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: false
  });
  const go = async (event) => {
    event.preventDefault();
    code = field.value.toUpperCase().replace(/[^A-Z0-9]/g, "");
    if (code.length !== 5) return joinView(t("join_bad"));
    join();
  };
  const form = h("form", { onsubmit: go }, h("label", { className: "field", htmlFor: "code" },
    t("join_code")), field,
    h("p", {}, h("button", { className: "main", type: "submit" }, t("join"))));
  show(["join", error, Math.random()], () => [h("h1", {}, t("join_title")), form,
    error ? h("p", { className: "bad", role: "alert" }, error) : "", h("p", { className: "soft" },
      t("no_names"))
  ]);
  field.focus();
}
async function join() {
  if (joining) return;
  joining = true;
  token = kept()[code] ?? made();
  keep();
  const found = await api("POST", `rooms/${code}/students`, undefined, token);
  joining = false;
  if (!found.ok) {
    if (found.status === 404) drop();
    return joinView(found.data.error);
  }
  seen = found.data;
  history.replaceState(null, "", `#${code}`);
  ask = poll(look, 1200);
}

function drop() {
  const {
    [code]: _, ...others } = kept();
  store.set(KEPT, JSON.stringify({ ...others, code: "" }));
}
async function look() {
  const mine = turn;
  const at = seen.free && own.step ?
    `?step=${own.step}&profession=${encodeURIComponent(own.profession ?? "")}` : "";
  const found = await api("GET", `rooms/${code}${at}`, undefined, token);
  if (!ask) return "over";
  if (found.status === 404) return gone(found.data.error);
  if (!found.ok) return false;
  if (found.data.number === undefined) return gone(t("removed"));
  if (mine === turn) {
    seen = found.data;
    draw();
  }
  if (unsent) answer(...unsent);
  return true;
}

function gone(why) {
  ask = null;
  // The token stays: whoever has left, or was taken out, gets no second seat from this phone.
  history.replaceState(null, "", location.pathname);
  store.set(KEPT, JSON.stringify({ ...kept(), code: "" }));
  const fresh = h("p", {}, button(t("again"), () => { location.reload(); }, "main"));
  show(["gone", why], () => [h("h1", {}, why), fresh]);
  return "over";
}
async function answer(question, value, then) {
  turn += 1;
  const found = await api("PUT", `rooms/${code}/answers/${question}`, value, token);
  turn += 1;
  unsent = found.status ? null : [question, value, then];
  if (question === "implicit" && found.status === 422) test = null; // it begins anew
  said = found.ok ? "" : unsent ? t("unsent") : t("error", found.data);
  if (found.ok) {
    seen.answers = { ...seen.answers, [question]: value };
    delete drafts[question];
    then?.();
  }
  draw();
  ask?.();
}
// What was set for a question so far, to be changed in place.
function draft(question, first) {
  return (drafts[question] ??= JSON.parse(JSON.stringify(seen.answers[question] ?? first)));
}
async function leave() {
  if (!confirm(t("leave_sure"))) return;
  const found = await api("DELETE", `rooms/${code}/students/me`, undefined, token);
  if (found.ok) gone(t("left"));
  else {
    said = t("error", found.data);
    draw();
  }
}
// What a screen depends on; numbers that only count others aren't in it.
function shape() {
  const { version, here, answered, consented, finished, ...rest } = seen;
  return [rest, own, said, test && [test.blocks.length, test.ms?.length, test.wrong, Boolean(test.words)]];
}

function draw() {
  if (!ask) return;
  const view = {
    lobby: lobbyView,
    guess: guessView,
    look: lookView,
    compare: compareView,
    decide: decideView,
    methods: methodsView,
    end: endView,
    experiment: experimentView
  } [seen.step];
  show(shape(), () => [
    h("header", { className: "top" }, badge(seen.number), button(t("leave"), leave, "small")),
    seen.free ? paceView() : "",
    seen.ended ? h("p", {}, h("b", {}, t("ended"))) : "",
    said ? h("p", { className: "bad", role: "alert" }, said) : "",
    seen.kind === "experiment" && (seen.step === "end" || seen.ended) ? debriefView() : view(seen),
  ]);
  const now = `${seen.step} ${seen.profession}`;
  if (at_step && now !== at_step) atTop();
  at_step = now;
}

function go(changed) {
  turn += 1;
  own = { ...own, ...changed };
  said = "";
  ask();
  draw();
}

function paceView() {
  const steps = seen.steps.filter((s) => s !== "lobby").map((s) =>
    button(t(`step_${s}`), () => go({ step: s }), s === seen.step ? "small on" : "small"));
  const picked = h("select", { "aria-label": t("teach_profession"),
    onchange: (e) => go({ profession: e.target.value }) },
    seen.guessed.map((p) => h("option", { value: p, selected: p === seen.profession }, t(p))));
  return h("nav", { "aria-label": t("free_hint") }, h("div", { className: "steps" }, steps), picked);
}

function lobbyView() {
  return [h("h1", {}, t("wait")), h("p", { className: "soft" }, t("no_names"))];
}

function guessView() {
  const last = seen.guessed.length - 1;
  const first = seen.guessed.findIndex((p) => !seen.answers[`guess-${p}`]);
  const at = own.guess ?? Math.max(0, first), profession = seen.guessed[at], question = `guess-${profession}`;
  const now = draft(question, { women: 8, white: 8 });
  const done = seen.guessed.filter((p) => seen.answers[`guess-${p}`]).length;
  const to = (place) => go({ guess: Math.max(0, Math.min(last, place)) });
  const sent = () => (own = { ...own, guess: Math.min(last, at + 1) });
  return [h("h1", {}, `${t("guess_title")}: ${t(profession)}`),
    h("p", {}, t("guess_what", { profession: t(profession) })),
    slider(t("guess_women"), now.women, 16, (v) => (now.women = v)),
    slider(t("guess_white"), now.white, 16, (v) => (now.white = v)),
    h("div", { className: "row" }, at ? button(t("back"), () => to(at - 1)) : "",
      button(t("send"), () => answer(question, now, sent), "main"),
      seen.answers[question] && at < last ? button(t("next"), () => to(at + 1)) : ""),
    h("p", { className: "soft", role: "status" }, t("of_sent", { k: done, n: seen.guessed.length }),
      done > last ? `. ${t("all_sent")}` : "")];
}

function lookView() {
  return [h("h1", {}, `${t("look_title")}: ${t(seen.profession)}`), wallView(seen.wall)];
}
const RACES = ["Asian", "Black", "Indian", "Latinx", "Middle Eastern", "White"];

function decideView() {
  if (seen.class) return [h("h1", {}, `${t("decide_title")} ${t(seen.profession)}`), wishView(seen)];
  const now = draft("wish", { women: 50, race: Object.fromEntries(RACES.map((r) => [r, 10])),
    reason: "" });
  const reasons = ["world-is", "world-should-be", "everybody-alike", "as-asked",
    "dont-know"].map((reason) =>
    h("label", { className: "choice" }, h("input", {
      type: "radio",
      name: "reason",
      value: reason,
      checked: now.reason === reason,
      onchange: () => { now.reason = reason; send.disabled = !whole(); }
    }), t(reason)));
  const send = button(t("send"), () => answer("wish", now), "main");
  const whole = () => now.reason && Object.values(now.race).some(Boolean);
  send.disabled = !whole();
  const shares = h("output", { className: "soft" });
  const tell = () => {
    const all = Object.values(now.race).reduce((a, b) => a + b, 0) || 1;
    shares.textContent = RACES.map((r) =>
      `${t(`race_${r.replace(" ", "_")}`)} ${percent(now.race[r] / all)}`).join(" · ");
  };
  tell();
  return [h("h1", {}, t("decide_title")), h("p", {}, t("decide_what",
    { profession: t(seen.profession) })),
    slider(t("decide_women"), now.women, 100, (v) => (now.women = v), " %"),
    h("fieldset", {}, h("legend", {}, t("decide_race")), RACES.map((r) =>
      slider(capital(t(`race_${r.replace(" ", "_")}`)), now.race[r], 20, (v) => { now.race[r] = v;
        send.disabled = !whole();
        tell(); })), shares),
    h("fieldset", {}, h("legend", {}, t("decide_why")), reasons), send,
    seen.answers.wish ? h("p", { role: "status" }, t("decide_wait")) : ""
  ];
}

function methodsView() {
  if (seen.chosen)
    return [h("h1", {}, t("step_methods")), h("ul", {}, seen.chosen.map((c) => h("li", {},
      resultLine(c))))];
  const first = seen.pairs.findIndex((_, k) => !seen.answers[`pair-${k}`]);
  const at = own.pair ?? Math.max(0, first),
    pair = seen.pairs[at];
  const vote = (value) => answer(`pair-${at}`, value, () => (own = { ...own, pair: Math.min(at + 1,
    seen.pairs.length - 1) }));
  const ready = pair.sides.every((s) => s.pictures.length || s.error);
  const given = seen.answers[`pair-${at}`];
  const choice = (value, key) => button(t(key), () => vote(value), given === value ? "on" : "");
  return [h("h1", {}, t("methods_title")), h("p", {}, t("methods_what",
    { profession: t(seen.profession) })),
    h("p", { className: "soft" }, t("pair_of", { k: at + 1, n: seen.pairs.length })),
    ready ? h("div", { className: "sides" }, pair.sides.map((side, i) =>
      h("section", {}, h("h2", {}, t(i ? "right_one" : "left_one")), sideView(side)))) : h("p", {},
        t("pictures_soon")),
    ready ? h("div", { className: "row votes" }, choice("left", "left_one"), choice("alike", "alike"),
      choice("right", "right_one")) : "",
    h("div", { className: "row" }, at ? button(t("back"), () => go({ pair: at - 1 }), "small") : "",
      at < seen.pairs.length - 1 ? button(t("next"), () => go({ pair: at + 1 }), "small") : "",
      given ? h("span", { role: "status" }, t("sent")) : "")
  ];
}

function endView() {
  return summaryView(seen);
}
// The experiment: one question after the other.
function experimentView() {
  const have = seen.answers,
    before = (p) => `before-${p}`,
    after = (p) => `after-${p}`;
  const professions = ["doctor", "nurse", "CEO", "housekeeper"];
  if (!have.consent)
    return [h("h1", {}, t("consent_title")), h("p", {}, t("consent_text")), button(t("consent_yes"),
    () => answer("consent", true), "main")];
  const first = professions.find((p) => have[before(p)] === undefined);
  if (first) return estimateView(before(first), t("estimate_what", { profession: t(first) }), PEOPLE);
  if (have.attention === undefined) return estimateView("attention", t("estimate_title"),
    { n: t("attention", { n: 30 }) });
  if (!have.seen) return imagesView(professions);
  const last = professions.find((p) => have[after(p)] === undefined);
  if (last) return estimateView(after(last), t("estimate_again", { profession: t(last) }), PEOPLE);
  if (seen.implicit && !have.implicit) return associationView();
  return [h("h1", {}, t("thanks"))];
}
const PEOPLE = { women: t("guess_women"), white: t("guess_white") }; // what is estimated of a profession
// Sliders that stand nowhere until somebody sets them, since what they stand at would be an anchor.
function estimateView(question, title, asked) {
  const now = (drafts[question] ??= {});
  const whole = () => Object.keys(asked).every((key) => now[key] !== undefined);
  const send = button(t("send"), () => answer(question, asked.n ? now.n : now), "main");
  send.disabled = !whole();
  const sliders = Object.entries(asked).map(([key, what]) => {
    const slide = slider(what, now[key] ?? 50, 100, (v) => {
      now[key] = v;
      slide.classList.remove("unset");
      slide.querySelector("input").ariaValueText = null;
      send.disabled = !whole();
    });
    const range = slide.querySelector("input");
    if (now[key] === undefined) {
      slide.classList.add("unset");
      range.ariaValueText = "–";
    }
    range.onpointerup = () => range.oninput(); // also where it stands already
    range.onkeydown = (e) => ["Enter", " "].includes(e.key) && range.oninput();
    return slide;
  });
  return [h("h1", {}, title), sliders, send];
}
// The association test: words are sorted to the right if they belong to who or what is named there, else to
// the left. Who is named takes turns; who begins, the seats do.
const LONGEST_WORD = 600000, // ms, what the server takes
  WARM_UP = 4,
  TRIALS = 20;
let test = null; // { turns, blocks, words, begun, wrong }: where this phone is in it
function shuffled(list) {
  const left = [...list];
  return list.map(() => left.splice(Math.floor(Math.random() * left.length), 1)[0]);
}
function wordsOf(kind) {
  return t(`words_${kind}`).split(",").map((word) => ({ kind, word: word.trim() }));
}
// A block's words: some to warm up, then people and deeds by turns, each word twice.
function wordsOfBlock() {
  const deeds = [...wordsOf("leading"), ...wordsOf("helping")],
    people = [...wordsOf("women"), ...wordsOf("men")];
  const [some, others] = [people, deeds].map((all) => shuffled([...all, ...all]));
  const main = Array.from({ length: (TRIALS - WARM_UP) / 2 }, (_, k) => [others[k], some[k]]).flat();
  return [...shuffled(deeds).slice(0, WARM_UP), ...main];
}

function associationView() {
  const turns = seen.number % 2 ? ["women", "men", "women", "men"] : ["men", "women", "men", "women"];
  test ??= { blocks: [], words: null };
  const send = () => answer("implicit", { blocks: [...test.blocks] });
  // All is done, and on its way, or was lost on it.
  if (test.blocks.length === turns.length)
    return [h("h1", {}, t("association_title")), button(t("send"), send, "main")];
  const focal = turns[test.blocks.length];
  const right = h("b", {}, `${t(`kind_${focal}`)} + ${t("kind_leading")}`);
  const of = t("round_of", { k: test.blocks.length + 1, n: turns.length });
  if (!test.words) {
    const begin = () => {
      Object.assign(test, { words: wordsOfBlock(), ms: [], begun: performance.now(), wrong: false });
      draw();
    };
    const belongs = (kind) => h("p", { className: "soft" }, `${t(`kind_${kind}`)}: ${t(`words_${kind}`)}`);
    return [h("h1", {}, t("association_title")),
      test.blocks.length ? "" : h("p", {}, t("association_what")),
      h("p", {}, t("association_right"), " ", right, ":"), belongs("leading"), belongs(focal),
      h("p", {}, t("association_left")), h("p", { className: "soft" }, of),
      button(t("start"), begin, "main")];
  }
  const now = test.words[test.ms.length];
  const sort = (toRight) => {
    if (toRight !== [focal, "leading"].includes(now.kind)) {
      test.wrong = true;
      return draw();
    }
    test.ms.push(Math.min(LONGEST_WORD, Math.round(performance.now() - test.begun)));
    Object.assign(test, { begun: performance.now(), wrong: false });
    if (test.ms.length === test.words.length) {
      test.blocks.push({ focal, ms: test.ms });
      test.words = null;
    }
    if (test.blocks.length === turns.length) send();
    else draw();
  };
  const keys = { e: () => sort(false), i: () => sort(true) };
  onkeydown = (e) => !e.repeat && test?.words && keys[e.key.toLowerCase()]?.();
  return [h("p", { className: "sort" }, h("span", { className: "soft" }, t("anything_else")), right),
    h("p", { className: "word", role: "status" }, now.word), h("p", { className: "bad word" },
      test.wrong ? "✗" : "\u00a0"),
    h("div", { className: "sort" }, button(`← ${t("left_one")} (E)`, () => sort(false)),
      button(`${t("right_one")} (I) →`, () => sort(true)))];
}
const LOOKED = 5000; // milliseconds for which pictures of a profession stay at least
let until = {}; // when each page of pictures may be left
function waits(page, long) {
  const next = button(t("next"), null, "main");
  until[page] ??= Date.now() + long;
  next.disabled = Date.now() < until[page];
  if (next.disabled) setTimeout(() => (next.disabled = false), until[page] - Date.now());
  return next;
}

function imagesView(professions) {
  if (!seen.ready) return h("p", {}, t("pictures_soon"));
  if (!seen.images) {
    const next = waits("pause", LOOKED * professions.length); // as long as the others look
    next.onclick = () => answer("seen", true);
    return [h("h1", {}, t("pause")), next];
  }
  const looked = `fairdemo-looked-${code}`; // a reload goes on where it was
  const at = Number(store.get(looked) ?? 0),
    found = seen.images.shown[professions[at]];
  const title = h("h1", {}, t("look_at", { profession: t(professions[at]) }));
  if (found.error) return [title, h("p", { className: "bad" }, t("failed", found))];
  if (!found.pictures.length) return [title, h("p", {}, t("pictures_soon"))];
  const next = waits(at, LOOKED);
  next.onclick = () => {
    if (at + 1 === professions.length) return answer("seen", true);
    store.set(looked, at + 1);
    go({ looked: at + 1 });
  };
  return [title, seen.label ? h("p", {}, h("b", {}, t("made_by_ai"))) : "",
    h("div", { className: "wall" }, found.pictures.map((src) => h("img", { src: root + src,
      alt: "" }))), next
  ];
}

function debriefView() {
  const walls = Object.entries(seen.images ?? {}).map(([arm, by]) => h("section", {}, h("h2", {},
      armName(arm)),
    Object.entries(by).map(([p, list]) => [h("p", {}, t(p)), h("div", { className: "wall" },
      list.pictures.map((src) => h("img", { src: root + src, alt: "" })))])));
  return [h("h1", {}, t("debrief_title")), h("p", {}, t("debrief_text")),
    seen.implicit ? h("p", {}, t("debrief_association")) : "",
    seen.arm ? h("p", {}, h("b", {}, t("your_group", { arm: armName(seen.arm) }))) : "",
    seen.results ? resultsView(seen.results, seen.simulated) : "", walls
  ];
}
addEventListener("hashchange", () => location.reload()); // another code, scanned in the same tab
if (code.length === 5 && (location.hash || kept()[code])) join();
else joinView();
