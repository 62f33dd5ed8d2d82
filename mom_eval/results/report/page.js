// The page out of its data.

const data = JSON.parse(document.getElementById("data").textContent);
const found = browser(data);

/** Turns a #question/... address into the open question, and opens the model of a #model-... one. */
function follow() {
  const [word, ...parts] = location.hash.slice(1).split("/");
  if (word === "question" && parts.length === 3) found.open(...parts.map(decodeURIComponent));
  const model = word.startsWith("model-") ? document.getElementById(word) : null;
  if (model) {
    model.open = true;
    model.scrollIntoView();
  }
}

/** Light, dark, or as the reader's system has it. */
function themes() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const order = ["auto", "light", "dark"];
  let theme = "auto";
  const button = el("button", { type: "button", class: "theme", onclick: () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    apply();
  } });
  const apply = () => {
    const dark = theme === "auto" ? system.matches : theme === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = `Theme: ${theme}`;
  };
  system.addEventListener("change", apply);
  apply();
  return button;
}

function head() {
  const board = data.boards[0];
  const questions = Object.values(data.questions).reduce((sum, one) => sum + one.list.length, 0);
  const parts = [counted(data.models.length, "model"), counted(data.boards.length, "board"),
    counted(questions, "question")];
  const links = [["leaderboard", "Leaderboard", data.boards], ["plots", "Plots", data.plots],
    ["models", "Models", data.models], ["questions", "Questions", Object.keys(data.questions)]];
  return el("header", {},
    el("div", { class: "title" }, el("h1", {}, data.part ? data.part.title : "Recall report"),
      themes()),
    data.part ? el("p", {}, el("a", { href: data.part.back }, "← the whole report")) : [
      el("p", { class: "caption" }, parts.join(" · ")),
      el("nav", { "aria-label": "Parts" }, links.filter(([, , some]) => some.length > 0)
        .map(([id, words]) => el("a", { href: `#${id}` }, words)))],
    board?.synthetic ? el("p", { class: "warning" }, "Synthetic sample: these are not scores of the",
      " real tasks.") : null);
}

function plot(picture) {
  // As a picture, and not as part of the page: whatever stands in it can do nothing.
  const source = `data:image/svg+xml,${encodeURIComponent(picture.svg)}`;
  const image = el("img", { src: source, alt: picture.words, width: Math.round(picture.width * 96),
    height: Math.round(picture.height * 96) });
  return el("figure", { class: "panel" }, el("div", { class: "scroll", tabindex: "0", role: "group",
    "aria-label": picture.title }, image));
}

const parts = data.part ? [] : [
  section("leaderboard", "Leaderboard", data.boards.map(boardSection)),
  data.plots.length === 0 ? null : section("plots", "Plots", data.plots.map(plot)),
  data.models.length === 0 ? null : section("models", "Models", data.models.map((model, place) =>
    modelSection(model, place, data.boards))),
];
const questions = Object.keys(data.questions).length === 0 ? [] : [
  section("questions", "Questions", found.root)];
document.getElementById("page").append(head(),
  el("main", {}, ...[...parts, ...questions].filter((part) => part !== null)));
addEventListener("hashchange", follow);
addEventListener("beforeprint", () => {
  for (const model of document.querySelectorAll(".model")) model.open = true;
});
follow();
