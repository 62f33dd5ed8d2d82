// Single questions: a list that filters and sorts, and the one that is open.

const AT_ONCE = 50;
const ANY = "";
const narrow = matchMedia("(max-width: 60rem)");

/** The browser of a page's questions; `open(board, task, id)` opens one. */
function browser(data) {
  const places = Object.keys(data.questions);
  const state = { board: places[0], open: null, shown: AT_ONCE };
  const list = el("ol", { class: "list" });
  const count = el("p", { class: "count", role: "status" });
  const pane = el("div", { class: "pane", tabindex: "-1" });
  const more = el("button", { type: "button", class: "more", onclick: () => {
    state.shown += AT_ONCE;
    draw();
  } }, "More");
  const filters = el("div", { class: "controls" });
  const root = el("div", { class: "browser" },
    el("div", { class: "finder" }, filters, count, list, more), pane);

  const change = (key) => (value) => {
    state[key] = value;
    state.shown = AT_ONCE;
    if (key === "board") begin();
    draw();
  };
  const begin = () => {
    Object.assign(state, { task: ANY, models: ANY, row: ANY, verdict: "1", sort: "differ", find: "" });
    filters.replaceChildren(...filterRow(data, state, places, change));
    show(null);
  };
  const draw = () => {
    const found = matching(data, state);
    count.textContent = `${counted(found.length, "question")} of ${number(listOf(data, state).length)}`;
    list.replaceChildren(...found.slice(0, state.shown).map((place) =>
      item(data, state, place, () => show(place, found))));
    more.hidden = found.length <= state.shown;
  };
  const show = (place, found = [], asked = true) => {
    state.open = place;
    root.classList.toggle("opened", place !== null);
    for (const button of list.querySelectorAll("button")) {
      button.setAttribute("aria-current", String(button.dataset.place === String(place)));
    }
    if (place === null) {
      pane.replaceChildren(el("p", { class: "hint" }, "Open a question to read its document, its",
        " prompt and what every model wrote."));
      return;
    }
    const at = found.indexOf(place);
    const step = (by) => (found[at + by] === undefined ? null : () => show(found[at + by], found));
    pane.replaceChildren(opened(data, state.board, place, {
      back: () => show(null), before: step(-1), after: step(1) }));
    const [task, id] = listOf(data, state)[place];
    pane.scrollTop = 0;
    toFirstMark(pane);
    if (!asked) return;
    const words = ["question", state.board, task, id].map(encodeURIComponent);
    history.replaceState(null, "", `#${words.join("/")}`);
    pane.focus({ preventScroll: true });
    if (narrow.matches) root.scrollIntoView();
  };
  const open = (board, task, id) => {
    if (data.questions[board] === undefined) return;
    state.board = board;
    begin();
    draw();
    const place = listOf(data, state).findIndex((one) => one[0] === task && one[1] === id);
    if (place >= 0) show(place, matching(data, state));
    root.scrollIntoView();
  };
  if (places.length > 0) {
    begin();
    draw();
    // Beside the list there is room for one from the start.
    const all = matching(data, state);
    if (!narrow.matches && all.length > 0) show(all[0], all, false);
  }
  return { root, open };
}

function listOf(data, state) {
  return data.questions[state.board].list;
}

function filterRow(data, state, places, change) {
  const board = data.boards[state.board];
  const tasks = [...new Set(listOf(data, state).map((one) => one[0]))];
  const boards = choice("Board", places.map((at) => [at, data.boards[at].title]), change("board"));
  boards.querySelector("select").value = state.board;
  return [
    places.length < 2 ? null : boards,
    choice("Task", [[ANY, "all"], ...tasks.map((task) => [task, taskName(board, task)])], change("task")),
    choice("Models", [[ANY, "any"], ["differ", "differ"], ["right", "all right"],
      ["wrong", "all wrong"]], change("models")),
    choice("Row", [[ANY, "any"], ...board.rows.map((row, at) => [String(at), row.name])
      .filter(([at]) => board.rows[at].kind !== "published")], change("row")),
    choice("is", [["1", "right"], ["0", "wrong"]], change("verdict")),
    choice("Order", [["differ", "most disagreement"], ["asked", "as asked"]], change("sort")),
    el("label", { class: "choice" }, el("span", {}, "Find"), el("input", { type: "search",
      placeholder: "in question, answer, output", oninput: (event) => change("find")(event.target.value) })),
  ].filter((one) => one !== null);
}

/** As the board heads its column. */
function taskName(board, task) {
  return board.columns.find((column) => column.key === task)?.name ?? task;
}

/** Places of the questions that the filters let through, in the order asked for. */
function matching(data, state) {
  const { list, models, rank } = data.questions[state.board];
  const words = state.find.toLowerCase();
  const found = [...list.keys()].filter((place) => {
    const [task, , , right] = list[place];
    if (state.task !== ANY && task !== state.task) return false;
    if (state.row !== ANY && right[state.row] !== state.verdict) return false;
    if (state.models !== ANY && verdict(models, right) !== state.models) return false;
    return words === "" || textOf(data, state, place).includes(words);
  });
  return state.sort === "asked" ? found : found.sort((one, other) => rank[one] - rank[other]);
}

/** "right", "wrong" or "differ" over the models that were asked. */
function verdict(models, right) {
  const said = new Set(models.map((at) => right[at]).filter((one) => one !== "-"));
  return said.size > 1 ? "differ" : said.has("1") ? "right" : "wrong";
}

/** Everything that is searched of a question, in lower case; its id where its words are not here. */
function textOf(data, state, place) {
  const [task, id, document] = listOf(data, state)[place];
  const words = data.words[state.board]?.[place];
  const said = words ? [words.question, ...words.answers, ...Object.values(words.outputs)] : [];
  return [task, id, document, ...said].join("\n").toLowerCase();
}

function item(data, state, place, press) {
  const { models } = data.questions[state.board];
  const [task, id, , right] = listOf(data, state)[place];
  const words = data.words[state.board]?.[place];
  const hits = models.filter((at) => right[at] === "1").length;
  const asked = models.filter((at) => right[at] !== "-").length;
  const dots = models.map((at) => el("span", { class: `dot is${right[at]}` }));
  return el("li", {}, el("button", { type: "button", "data-place": String(place), onclick: press,
    "aria-current": String(state.open === place) },
  el("span", { class: "task" }, taskName(data.boards[state.board], task)), el("span", { class: "asked" }, words ? words.question : id),
  el("span", { class: "dots", "aria-hidden": "true" }, dots),
  el("span", { class: "hits" }, `${hits} of ${asked} right`)));
}
