// The teacher's page: opens a room, leads it, ends it. The secret stands behind # in the address, which no
// server is sent.
let [code, secret] = location.hash.slice(1).split(".");
let seen = null, reach = null, said = "", ask = null, deleted = false;

const rights = () => secret;
async function does(method, path, body, sure) {
  if (sure && !confirm(sure)) return false;
  const found = await api(method, `rooms/${code}${path}`, body, rights()).catch(() => null);
  said = !found ? t("lost") : found.ok ? "" : t("error", found.data);
  if (path) ask?.();
  draw();
  return Boolean(found?.ok);
}
async function open(kind) {
  const found = await api("POST", "rooms", { kind }).catch(() => null);
  if (!found?.ok) return openView(found ? t("error", found.data) : t("lost"));
  ({ code, teacher: secret } = found.data);
  location.replace(`#${code}.${secret}`);
  begin();
}
function openView(error = "") {
  const offer = (kind) => h("section", { className: "card grow" }, h("p", {}, button(t(`teach_${kind}`), () => open(kind), "main")),
    h("p", { className: "soft" }, t(`teach_${kind}_what`)));
  show(["open", error], () => [h("h1", {}, t("teach_title")), error ? h("p", { className: "bad", role: "alert" }, error) : "",
    h("div", { className: "row" }, offer("lesson"), offer("experiment")), h("p", { className: "soft" }, t("no_names")),
    h("p", { className: "row" }, h("a", { href: `${root}class/plan`, target: "_blank" }, t("teach_plan")),
      h("a", { href: `${root}class/form`, target: "_blank" }, t("teach_form")))]);
}
async function begin() {
  reach = (await api("GET", "reach").catch(() => ({ data: {} }))).data;
  ask = poll(look, 1200);
}
async function look() {
  if (deleted) return;
  const found = await api("GET", `rooms/${code}`, undefined, rights());
  if (found.status === 404 || (found.ok && !found.data.teacher)) {
    deleted = true;
    return show(["none"], () => [h("h1", {}, found.data.error ?? t("removed")), h("p", {}, button(t("teach_title"), fresh, "main"))]);
  }
  if (!found.ok) throw new Error(found.data.error);
  seen = found.data;
  draw();
}
function fresh() {
  location.hash = "";
  location.reload();
}
function draw() {
  if (!seen || deleted) return;
  const { version, ...shape } = seen;
  // A field that is being written in isn't taken away.
  if (document.activeElement?.type === "number") return;
  show([shape, said], () => [head(), said ? h("p", { className: "bad", role: "alert" }, said) : "",
    h("div", { className: "two" }, h("div", {}, steps(), seen.kind === "lesson" ? lessonView() : experimentView()), side())]);
}
function phoneLink() {
  return `${reach?.address || location.origin + root}class/#${code}`;
}
function head() {
  const link = phoneLink();
  return [reach?.alone ? h("p", { className: "bad", role: "alert" }, t("teach_alone")) : "",
    h("div", { className: "row card" },
      h("img", { className: "qr", alt: link, src: `${root}class/api/rooms/${code}/code.svg?link=${encodeURIComponent(link)}` }),
      h("div", { className: "grow" }, h("p", { className: "big" }, code), h("p", {}, t("teach_scan", { link: link.replace(/#.*/, "") })),
        h("p", { className: "row" }, h("a", { className: "button", href: `${root}class/projector#${code}`, target: "_blank" }, t("teach_projector")),
          h("b", { role: "status" }, t("here", { n: seen.here }))),
        h("p", { className: "soft" }, `${t("teach_link")}: `, h("code", {}, `${location.origin}${root}class/teacher#${code}.${secret}`))))];
}
function steps() {
  const each = seen.steps.map((s) => {
    const one = button(t(`step_${s}`), () => does("PUT", "/step", { step: s }), s === seen.step ? "on" : "");
    one.setAttribute("aria-pressed", s === seen.step);
    one.disabled = seen.ended;
    return one;
  });
  return h("nav", { className: "steps", "aria-label": t("title") }, each);
}
function lessonView() {
  const facts = seen.facts;
  const picked = h("select", { id: "profession", onchange: (e) => does("PUT", "/facts", { profession: e.target.value }) },
    seen.guessed.map((p) => h("option", { value: p, selected: p === facts.profession }, t(p))));
  const free = h("label", { className: "choice" }, h("input", { type: "checkbox", checked: facts.free,
    onchange: (e) => does("PUT", "/facts", { free: e.target.checked }) }), t("teach_free"));
  const counts = Object.entries(seen.counts).map(([q, n]) => h("li", {}, `${questionName(q)}: ${n}`));
  const shownNow = { look: (s) => wallView(s.wall), compare: compareView, end: summaryView,
    decide: (s) => (s.wall ? wishView(s) : h("p", {}, medianLine(s.class.women))),
    methods: (s) => (s.chosen ? h("ul", {}, s.chosen.map((c) => h("li", {}, resultLine(c)))) : h("p", {}, t("votes_in", { n: s.answered }))) }[seen.step];
  return h("section", { className: "card" },
    h("label", { className: "field", htmlFor: "profession" }, t("teach_profession")), picked, free,
    seen.step === "decide" ? h("p", {}, button(t("teach_wish"), () => does("POST", "/wish"), "main")) : "",
    seen.step === "methods" && !facts.revealed ? h("p", {}, button(t("teach_reveal"), () => does("PUT", "/facts", { revealed: true }), "main")) : "",
    counts.length ? [h("h2", {}, t("teach_answers")), h("ul", {}, counts)] : "", shownNow ? shownNow(seen) : "");
}
function questionName(question) {
  const [kind, which] = question.split("-");
  if (kind === "guess") return `${t("step_guess")}, ${t(which)}`;
  return kind === "wish" ? t("step_decide") : `${t("step_methods")}, ${t("pair_of", { k: Number(which) + 1, n: 4 })}`;
}
function experimentView() {
  const facts = seen.facts, set = (changed) => does("PUT", "/facts", changed);
  const begun = seen.step !== "lobby";
  const number = (key, value, low, high) => [h("label", { className: "field", htmlFor: key }, t(`teach_${key}`)),
    h("input", { type: "number", id: key, min: low, max: high, value, disabled: begun,
      onchange: (e) => { e.target.blur(); set({ [key]: Number(e.target.value) }); } })];
  const points = seen.said.points;
  const small = Number.isFinite(points) ? t("teach_smallest", { each: seen.said.each, points: points.toFixed(1) }) : t("teach_few", facts);
  return h("section", { className: "card" },
    h("label", { className: "field", htmlFor: "arms" }, t("teach_arms")),
    h("select", { id: "arms", disabled: begun, onchange: (e) => set({ arms: Number(e.target.value) }) },
      [2, 5].map((k) => h("option", { value: k, selected: k === facts.arms }, t(`arms_${k}`)))),
    number("expected", facts.expected, 4, 60), number("deviation", facts.deviation, 1, 50),
    h("p", { role: "status" }, h("b", {}, small)),
    h("p", {}, h("a", { href: `${root}class/form#${encodeURIComponent(JSON.stringify({ ...facts, ...seen.said }))}`, target: "_blank" }, t("teach_form"))),
    begun ? "" : h("p", { className: "row" }, button(t("teach_begin"), () => does("PUT", "/step", { step: "experiment" }), "main"),
      seen.here ? "" : button(t("teach_simulate"), () => does("POST", "/simulated"))),
    begun ? h("p", {}, t("progress_line", seen)) : "",
    begun ? h("p", { className: "row" }, button(t("teach_table"), () => save(`rooms/${code}/table.csv`, `${code}.csv`)),
      button(t("teach_codebook"), () => save("codebook.csv", "codebook.csv"))) : "",
    begun ? resultsView(seen.results, seen.simulated) : "");
}
async function save(path, name) {
  const answer = await fetch(`${root}class/api/${path}`, { headers: { Authorization: `Bearer ${secret}` } });
  const url = URL.createObjectURL(await answer.blob());
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
function side() {
  const students = seen.students.map((n) => h("li", { className: "row" }, badge(n),
    button("×", () => does("DELETE", `/students/${n}`), "small")));
  students.forEach((row, i) => row.lastChild.setAttribute("aria-label", t("remove", { name: nameOf(seen.students[i]) })));
  const end = button(t("teach_end"), async () => {
    if (!confirm(t("teach_end_sure"))) return;
    if (seen.step !== "end") await does("PUT", "/step", { step: "end" });
    await does("PUT", "/ended");
  });
  end.disabled = seen.ended;
  const remove = async () => {
    if (!(await does("DELETE", "", undefined, t("teach_delete_sure")))) return;
    deleted = true;
    show(["deleted"], () => [h("h1", {}, t("teach_deleted")), h("p", {}, button(t("teach_title"), fresh, "main"))]);
  };
  return h("aside", {}, h("p", { className: "row" }, end, button(t("teach_delete"), remove),
    h("a", { href: `${root}class/plan`, target: "_blank" }, t("teach_plan"))),
    h("h2", {}, t("teach_students")), h("ul", { className: "plain" }, students));
}
if (code && secret) begin();
else openView();
