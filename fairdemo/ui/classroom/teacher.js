// The teacher's page: opens a room, leads it, ends it. The secret stands behind # in the address, which no
// server is sent.
const KEPT = "fairdemo-teacher"; // for the page inside the app's own, whose address isn't this one's
let [code, secret] = (location.hash.slice(1) || (tabStore.get(KEPT) ?? "")).split(".");
let seen = null,
  reach = null,
  said = "",
  ask = null,
  deleted = false,
  deleting = false;

async function does(method, path, body, sure) {
  if (sure && !confirm(sure)) return false;
  const found = await api(method, `rooms/${code}${path}`, body, secret);
  said = found.ok ? "" : t("error", found.data);
  if (path) ask?.();
  draw();
  return found.ok;
}
async function open(kind) {
  const found = await api("POST", "rooms", { kind });
  if (!found.ok) return openView(t("error", found.data));
  ({ code, teacher: secret } = found.data);
  history.replaceState(null, "", `#${code}.${secret}`);
  tabStore.set(KEPT, `${code}.${secret}`);
  begin();
}

function openView(error = "") {
  const offer = (kind) => h("section", { className: "card grow" }, h("p", {}, button(t(`teach_${kind}`),
      () => open(kind), "main")),
    h("p", { className: "soft" }, t(`teach_${kind}_what`)));
  show(["open", error], () => [h("h1", {}, t("teach_title")), error ? h("p", { className: "bad",
      role: "alert" }, error) : "",
    h("div", { className: "row" }, offer("lesson"), offer("experiment")),
      h("p", { className: "soft" }, t("teach_names")),
    h("p", { className: "row" }, h("a", { href: `${root}class/plan`, target: "_blank" },
      t("teach_plan")),
      h("a", { href: `${root}class/form`, target: "_blank" }, t("teach_form")))
  ]);
}
async function begin() {
  reach = await findReach();
  ask = poll(look, 1200);
}
async function look() {
  if (deleted) return "over";
  const found = await api("GET", `rooms/${code}`, undefined, secret);
  if (deleting) return true;
  if (deleted) return "over";
  if (found.status === 404 || (found.ok && !found.data.teacher)) {
    deleted = true;
    show(["none"], () => [h("h1", {}, found.data.error ?? t("removed")), h("p", {},
      button(t("teach_title"), fresh, "main"))]);
    return "over";
  }
  if (!found.ok) return false;
  seen = found.data;
  draw();
  return true;
}

function fresh() {
  tabStore.remove(KEPT);
  location.hash = "";
  location.reload();
}
// Parts that change apart, so that a vote takes nobody's focus.
const parts = Object.fromEntries(["head", "here", "work", "said", "steps", "set", "now",
  "side"].map((name) => [name, h("div")]));

function draw() {
  if (!seen || deleted) return;
  const { step, ended, here, students, facts, kind, counts, said: smallest } = seen;
  show(["room"], () => [parts.head, parts.said, h("div", { className: "two" },
    h("div", {}, parts.steps, h("section", { className: "card" }, parts.set, parts.now)),
      h("aside", {}, parts.here, parts.side))]);
  show([code, reach], head, parts.head);
  show([said], () => (said ? h("p", { className: "bad", role: "alert" }, said) : ""), parts.said);
  show([step, ended], steps, parts.steps);
  const settings = kind === "lesson" ? lessonSettings : experimentSettings;
  show([kind, facts, step, smallest, ended, said], settings, parts.set);
  const many = ended ? t("ended") : t("here", { n: here });
  show([many], () => h("p", { role: "status" }, h("b", {}, many)), parts.here);
  show([ended, students], side, parts.side);
  const { version, students: _, here: __, ...rest } = seen;
  show([rest, counts], kind === "lesson" ? lessonNow : experimentNow, parts.now);
}

function head() {
  const link = phoneLink(reach, code);
  return [reach?.alone ? h("p", { className: "bad", role: "alert" }, t("teach_alone")) : "",
    h("div", { className: "row card" },
      h("img", { className: "qr", alt: link,
        src: `${root}class/api/rooms/${code}/code.svg?link=${encodeURIComponent(link)}` }),
      h("div", { className: "grow" }, h("p", { className: "big" }, code), h("p", {},
        t("teach_scan", { link: link.replace(/#.*/, "") })),
        h("p", {}, h("a", { className: "button", href: `${root}class/projector#${code}`,
          target: "_blank" }, t("teach_projector"))),
        h("details", {}, h("summary", {}, t("teach_link")), h("code", {},
          `${location.origin}${root}class/teacher#${code}.${secret}`))))
  ];
}

function steps() {
  const each = seen.steps.map((s) => {
    const over = seen.kind === "experiment" && s === "end" ? t("teach_over_sure") : "";
    const goes = () => does("PUT", "/step", { step: s }, over);
    const one = button(t(`step_${s}`), goes, s === seen.step ? "on" : "");
    one.setAttribute("aria-pressed", s === seen.step);
    one.disabled = seen.ended;
    return one;
  });
  return h("nav", { className: "steps", "aria-label": t("title") }, each);
}

function lessonSettings() {
  const facts = seen.facts;
  const picked = h("select", { id: "profession", onchange: (e) => does("PUT", "/facts",
    { profession: e.target.value }) },
    seen.guessed.map((p) => h("option", { value: p, selected: p === facts.profession }, t(p))));
  const free = h("label", { className: "choice" }, h("input", {
    type: "checkbox",
    id: "free",
    checked: facts.free,
    onchange: (e) => does("PUT", "/facts", { free: e.target.checked })
  }), t("teach_free"));
  return [h("label", { className: "field", htmlFor: "profession" }, t("teach_profession")), picked,
    free,
    seen.step === "decide" ? h("p", {}, button(t("teach_wish"), () => does("POST", "/wish"),
    "main")) : "",
    seen.step === "methods" && !facts.revealed ? h("p", {}, button(t("teach_reveal"), () => does(
      "PUT", "/facts", { revealed: true }), "main")) : ""
  ];
}

function lessonNow() {
  const counts = Object.entries(seen.counts).map(([q, n]) => h("li", {}, `${questionName(q)}: ${n}`));
  const shownNow = {
    look: (s) => wallView(s.wall),
    compare: compareView,
    end: summaryView,
    decide: (s) => (s.wall ? wishView(s) : h("p", {}, s.class.n ? medianLine(s.class.women) : "")),
    methods: (s) => (s.chosen ? h("ul", {}, s.chosen.map((c) => h("li", {},
      resultLine(c)))) : h("p", {}, t("votes_in", { n: s.answered })))
  } [seen.step];
  return [counts.length ? [h("h2", {}, t("teach_answers")), h("ul", { className: "columns" }, counts)] :
    "", shownNow ? shownNow(seen) : ""
  ];
}

function questionName(question) {
  const [kind, which] = question.split("-");
  if (kind === "guess") return `${t("step_guess")}, ${t(which)}`;
  return kind === "wish" ? t("step_decide") :
    `${t("step_methods")}, ${t("pair_of", { k: Number(which) + 1, n: 4 })}`;
}

function experimentSettings() {
  const facts = seen.facts,
    set = (changed) => does("PUT", "/facts", changed);
  const begun = seen.step !== "lobby";
  const number = (key, value, low, high) => [h("label", { className: "field", htmlFor: key },
    t(`teach_${key}`)),
    h("input", { type: "number", id: key, min: low, max: high, value, disabled: begun, onchange: (
        e) => set({
          [key]: Number(e.target.value) }) })
  ];
  const { each, points } = seen.said;
  const small = points === null ? t("teach_few", facts) : t("teach_smallest", { each, points: points
      .toFixed(1) });
  return [h("label", { className: "field", htmlFor: "arms" }, t("teach_arms")),
    h("select", { id: "arms", disabled: begun, onchange: (e) => set({ arms: Number(e.target
          .value) }) },
      [2, 5].map((k) => h("option", { value: k, selected: k === facts.arms }, t(`arms_${k}`)))),
    number("expected", facts.expected, 4, 60), number("deviation", facts.deviation, 1, 50),
    h("label", { className: "choice" }, h("input", { type: "checkbox", id: "implicit", disabled: begun,
      checked: facts.implicit, onchange: (e) => set({ implicit: e.target.checked }) }), t("teach_implicit")),
    h("p", { role: "status" }, h("b", {}, small)),
    h("p", {},
      h("a", { href: `${root}class/form#${encodeURIComponent(JSON.stringify({ ...facts, ...seen.said }))}`,
      target: "_blank" }, t("teach_form"))),
    begun ? "" : h("p", { className: "row" }, button(t("teach_begin"), () => does("PUT",
      "/step", { step: "experiment" }), "main"),
      button(t("teach_simulate"), () => does("POST", "/simulated")))
  ];
}

function experimentNow() {
  if (seen.step === "lobby") return "";
  return [h("p", {}, t("progress_line", seen)), h("p", { className: "row" },
    button(t("teach_table"), () => save(`rooms/${code}/table.csv`, `${code}.csv`)),
    button(t("teach_codebook"), () => save("codebook.csv", "codebook.csv"))),
      resultsView(seen.results, seen.simulated)];
}
async function save(path, name) {
  const found = await api("GET", path, undefined, secret, "blob");
  said = found.ok ? "" : t("error", found.data);
  draw();
  if (!found.ok) return;
  const url = URL.createObjectURL(found.data);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function side() {
  const students = seen.students.map((n) => h("li", { className: "row" }, badge(n),
    button("×", () => does("DELETE", `/students/${n}`), "small")));
  students.forEach((row, i) => row.lastChild.setAttribute("aria-label", t("remove",
    { name: nameOf(seen.students[i]) })));
  const end = button(t("teach_end"), async () => {
    if (!confirm(t(seen.kind === "experiment" ? "teach_over_sure" : "teach_end_sure"))) return;
    if (seen.step !== "end") await does("PUT", "/step", { step: "end" });
    await does("PUT", "/ended");
  });
  end.disabled = seen.ended;
  const remove = async () => {
    if (!confirm(t("teach_delete_sure"))) return;
    deleting = true; // a poll on its way may find no room any more
    deleted = await does("DELETE", "");
    deleting = false;
    if (!deleted) return;
    tabStore.remove(KEPT);
    show(["deleted"], () => [h("h1", {}, t("teach_deleted")), h("p", {}, button(t("teach_title"),
      fresh, "main"))]);
  };
  return [h("p", { className: "row" }, end, button(t("teach_delete"), remove),
      h("a", { href: `${root}class/plan`, target: "_blank" }, t("teach_plan"))),
    h("h2", {}, t("teach_students")), h("ul", { className: "plain" }, students)
  ];
}
if (code && secret) begin();
else openView();
