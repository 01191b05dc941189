// The preregistration form: filled with what the teacher's page knows; what is typed stays in this browser.
const KEPT = "fairdemo-form";
const fields = [...document.querySelectorAll("textarea")];
let facts = {};
try {
  facts = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
} catch {
  // a link that was cut; the form is empty then
}
const known = JSON.parse(store.get(KEPT) ?? "{}");
const words = JSON.parse(document.getElementById("words").textContent);
if (facts.arms) {
  known.arms ||= words[`arms_${facts.arms}`];
  known.n = String(facts.expected);
  if (facts.points) known.smallest = words.teach_smallest.replace("{each}", facts.each).replace(
    "{points}", facts.points.toFixed(1));
}
if (facts.implicit) {
  const outcome = document.getElementById("outcome");
  outcome.value += ` 3. ${words.outcome_implicit}: D. ${words.results_d_what}`;
}
for (const field of fields) {
  field.value = field.value.replace(/\s*\n\s*/g, " ").trim(); // lines of the file, not of the text
  if (known[field.id]) field.value = known[field.id];
  field.oninput = () =>
    store.set(KEPT, JSON.stringify(Object.fromEntries(fields.map((f) => [f.id, f.value]))));
}
document.getElementById("print").onclick = () => print();
