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
  return true;
}
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
    end: summaryView
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
  const results = seen.chosen ? h("ul", {}, seen.chosen.map((c) => h("li", {},
    resultLine(c)))) : h("p", { role: "status" }, t("votes_in", { n: seen.answered }));
  return [h("h1", {}, t("methods_title")), results, seen.pairs.map((pair) =>
    h("div", { className: "sides card" }, pair.sides.map((side, i) => h("section", {},
      // Phones have the sides in orders of their own, so the board calls none of them left.
      h("h2", {}, pair.names ? methodName(pair.names[i]) : ["A", "B"][i]),
      sideView(side)))))];
}
if (/^[A-Z0-9]{5}$/.test(code)) poll(look, 1200);
else show(["none"], () => [h("h1", {}, t("join_bad"))]);
