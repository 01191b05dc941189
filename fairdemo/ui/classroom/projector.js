// The page for the projector: what all may see, large.
const code = location.hash.slice(1).toUpperCase();
let link = "";

async function look() {
  const found = await api("GET", `rooms/${code}`);
  if (found.status === 404) {
    show(["none"], () => [h("h1", {}, found.data.error)]);
    return "over";
  }
  if (!found.ok) return false;
  link ||= phoneLink(await findReach(), code);
  const seen = found.data;
  const { version, ...shape } = seen;
  show(shape, () => [heading(seen), body(seen)]);
  fit();
  return true;
}
// The board is laid out for one width and scaled to the screen, so that nobody has to scroll it: what is tall
// gets smaller, down to where the last row can't read it.
const LEAST = 0.6;

function fit() {
  main.style.zoom = 1;
  const wide = innerWidth / (main.offsetWidth + 24);
  main.style.zoom = Math.max(Math.min(wide, LEAST), Math.min(wide, (innerHeight - 8) / main.offsetHeight));
}
addEventListener("resize", fit);

function heading(seen) {
  return h("header", { className: "top" }, h("b", {},
      `${link.replace(/^https?:\/\//, "").replace(/\/#.*/, "")} · ${code}`),
    h("span", {}, `${seen.ended ? `${t("ended")} ` : ""}${t("here", { n: seen.here })}`));
}

function body(seen) {
  if (seen.kind === "experiment") {
    if (seen.step === "experiment") return h("h1", {}, t("progress_line", seen));
    if (seen.step === "end") return [h("h1", {}, t("debrief_title")), h("p", {}, t("debrief_text")),
      resultsView(seen.results,
      seen.simulated)];
  }
  const view = {
    lobby,
    guess,
    look: (s) => [h("h1", {}, `${t("look_title")}: ${t(s.profession)}`), wallView(s.wall)],
    compare: compareView,
    decide,
    methods,
    end: (s) => summaryView(s, wishCard)  // its walls were on the board before
  } [seen.step];
  return view(seen);
}

function lobby(seen) {
  return h("div", { className: "row" }, h("div", { className: "grow" }, h("h1", {}, t("join_title")),
    h("p", {}, t("teach_scan", { link: link.replace(/#.*/, "") })), h("p", { className: "big" },
      code),
    h("p", {}, t("no_names"))), qr(link));
}

function qr(link) {
  return h("img", { className: "qr", alt: link,
    src: `${root}class/api/rooms/${code}/code.svg?link=${encodeURIComponent(link)}` });
}

function guess(seen) {
  return [h("h1", {}, t("guess_title")), h("p", {}, t("guess_all",
    { professions: seen.guessed.map((p) => t(p)).join(", ") })),
    h("p", { role: "status" }, t("guesses_in", { n: seen.answered }))
  ];
}

function decide(seen) {
  return [h("h1", {}, t("decide_title")), seen.class ? wishView(seen) : [h("p", {},
    t("decide_what", { profession: t(seen.profession) })),
    h("p", { role: "status" }, t("votes_in", { n: seen.answered }))
  ]];
}

function methods(seen) {
  return [h("h1", {}, t("methods_title")),
    seen.chosen ? "" : h("p", { role: "status" }, t("votes_in", { n: seen.answered })),
    h("div", { className: "pair" }, seen.pairs.map((pair, k) => h("div", { className: "card" },
      h("div", { className: "sides" }, pair.sides.map((side, i) => h("section", {},
        // Phones have the sides in orders of their own, so the board calls none of them left.
        h("h2", {}, pair.names ? methodName(pair.names[i]) : ["A", "B"][i]),
        sideView(side)))),
      seen.chosen ? h("p", { className: "result" }, resultLine(seen.chosen[k])) : "")))];
}
if (/^[A-Z0-9]{5}$/.test(code)) poll(look, 1200);
else show(["none"], () => [h("h1", {}, t("join_bad"))]);
