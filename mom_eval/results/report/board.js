// Leaderboards: tables that sort by any column, each score with its interval drawn below it.

/** One board. */
function boardSection(board, place) {
  const state = { metric: board.metric, column: null, down: true };
  const table = el("table", { class: "board" });
  const draw = () => {
    table.replaceChildren(...boardTable(board, state, draw));
    return table;
  };
  const metrics = Object.entries(board.metrics).map(([key, metric]) => [key, metric.name]);
  draw();
  return el("article", { class: "panel", id: `board-${place}` },
    el("h3", {}, board.title),
    el("p", { class: "caption" }, board.caption),
    el("div", { class: "controls" },
      metrics.length < 2 ? null : choice("Score", metrics, (metric) => {
        state.metric = metric;
        draw();
      })),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": board.title }, table),
    board.notes.length === 0 ? null
      : el("ul", { class: "notes" }, board.notes.map((note) => el("li", {}, note))));
}

function boardTable(board, state, draw) {
  const columns = board.columns.filter((column) =>
    board.rows.some((row) => scoreOf(row, column, state.metric)));
  const scale = scaleOf(board, columns, state.metric);
  const head = [heading("Row", "name", state, false, draw), ...columns.map((column) =>
    heading(headingWords(column), column.key, state, !board.metrics[state.metric].lower, draw))];
  return [el("thead", {}, el("tr", {}, head)), el("tbody", {},
    sorted(board, state).map((row) => boardRow(board, row, columns, state.metric, scale)))];
}

function headingWords(column) {
  const questions = column.questions === null ? "" : ` (${number(column.questions)})`;
  return `${column.name}${column.few ? "†" : ""}${questions}`;
}

/** A heading that sorts by its column; `down`: whether the first press puts the largest on top. */
function heading(words, key, state, down, draw) {
  const active = state.column === key;
  const press = () => {
    state.down = active ? !state.down : down;
    state.column = key;
    draw().querySelector(`[data-sort="${CSS.escape(key)}"]`).focus();
  };
  const sort = active ? (state.down ? "descending" : "ascending") : "none";
  return el("th", { scope: "col", "aria-sort": sort },
    el("button", { type: "button", "data-sort": key, onclick: press }, words,
      el("span", { class: "arrow", "aria-hidden": "true" }, active ? (state.down ? "▼" : "▲") : "↕")));
}

/** Rows as asked for; those without a score stand last whichever way. */
function sorted(board, state) {
  if (state.column === null) return board.rows;
  const column = { key: state.column };
  const sign = state.down ? -1 : 1;
  return [...board.rows].sort((one, other) => {
    if (state.column === "name") return sign * one.name.localeCompare(other.name, "en");
    const [a, b] = [one, other].map((row) => scoreOf(row, column, state.metric));
    if (!a || !b) return Number(!a) - Number(!b);
    return sign * (a[0] - b[0]);
  });
}

/** [mean, low, high, words] of a row in a column, or undefined. */
function scoreOf(row, column, metric) {
  return row.cells[column.key]?.scores[metric];
}

/** The ends of the axis that all columns share but the one of differences. */
function scaleOf(board, columns, metric) {
  const most = (keys) => Math.max(1e-9, ...board.rows.flatMap((row) => keys.flatMap((column) =>
    (column.cost ? [] : scoreOf(row, column, metric) ?? []).slice(0, 3).filter((end) => end !== null).map(Math.abs))));
  const net = most(columns.filter((column) => column.key === "net"));
  return { plain: [0, most(columns.filter((column) => column.key !== "net"))], net: [-net, net] };
}

function boardRow(board, row, columns, metric, scale) {
  const name = row.model === null ? row.name : el("a", { href: `#model-${row.model}` }, row.name);
  const kind = row.kind === "model" ? null : el("span", { class: "kind" }, row.kind);
  return el("tr", { class: row.kind, "data-row": row.name }, el("th", { scope: "row" }, name, kind),
    columns.map((column) => scoreCell(row, column, metric,
      column.key === "net" ? scale.net : scale.plain)));
}

function scoreCell(row, column, metric, [start, end]) {
  const score = scoreOf(row, column, metric);
  const key = column.key;
  if (!score) return el("td", { "data-column": key, title: row.cells[key]?.reason ?? null }, "–");
  const [mean, low, high, words] = score;
  const [value, ...ends] = words.split(" ");
  const at = (position) => `${(100 * (position - start)) / (end - start)}%`;
  const shown = [el("span", { class: "value" }, value),
    el("span", { class: "ends" }, ` ${ends.join(" ")}`)];
  if (column.cost) return el("td", { "data-column": key, "data-words": words }, shown);
  const bar = el("span", { class: "bar", "aria-hidden": "true" });
  if (start < 0) bar.append(styled("zero", { left: at(0) }));
  if (low !== null && high !== null) {
    bar.append(styled("interval", { left: at(low), right: `calc(100% - ${at(high)})` }));
  }
  bar.append(styled("mean", { left: at(mean) }));
  return el("td", { "data-column": key, "data-words": words }, shown, bar);
}

/** A mark of a bar. Styles are set one by one: the page's policy allows none in attributes. */
function styled(name, styles) {
  const mark = el("span", { class: name });
  Object.assign(mark.style, styles);
  return mark;
}
