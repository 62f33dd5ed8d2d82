// A part a model: its card, its scores on every board, what its memories take, how fast it was.

function modelSection(model, place, boards) {
  return el("details", { class: "panel model", id: `model-${place}` },
    el("summary", {}, el("h3", {}, model.name), el("span", { class: "caption" }, model.about)),
    el("h4", {}, "Scores"), modelScores(place, boards),
    el("h4", {}, "Speed of its runs"), runTable(model.runs),
    model.speeds.length === 0 ? null : [el("h4", {}, "Measured speed"), speedTable(model.speeds)],
    model.routing.map(routingPart),
    el("details", {}, el("summary", {}, "Card"), el("dl", { class: "facts" },
      model.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))));
}

/** All boards that the model stands on, in every score. */
function modelScores(place, boards) {
  return boards.flatMap((board) => board.rows.filter((row) => row.model === place).map((row) => {
    const columns = board.columns.filter((column) => !column.cost && row.cells[column.key]);
    const metrics = Object.entries(board.metrics).filter(([key]) =>
      columns.some((column) => scoreOf(row, column, key)));
    return [el("p", { class: "caption" }, board.title), grid(
      ["", ...columns.map((column) => column.name)],
      metrics.map(([key, metric]) => [metric.name, ...columns.map((column) =>
        scoreOf(row, column, key)?.[3] ?? "–")]))];
  }));
}

function runTable(runs) {
  const mebibytes = (bytes) => (bytes ? `${number(bytes / 2 ** 20)} MiB` : "–");
  return [
    grid(["Run", "Questions", "Seconds", "Questions/s", "Prompt tokens/s", "Tokens read",
      "of those shared", "Written", "Peak memory", "Batch"],
    runs.map((run) => [el("span", { title: run.setting }, run.id), number(run.questions),
      number(run.seconds, 1), number(run.questions_per_second, 2),
      number(run.prompt_tokens_per_second), number(run.read),
      run.read && run.unshared ? `${number(100 * (1 - run.read / run.unshared), 1)} %` : "–",
      number(run.written), mebibytes(run.peak_memory_bytes), number(run.batch)])),
    el("p", { class: "caption" }, "As the runs went, with all that was not the model's work;",
      " mom-eval bench model --out measures, and what it writes beside the runs is shown here."),
  ];
}

function speedTable(rows) {
  return grid(["", "Sequences", "Tokens each", "Tokens/s", "On"], rows.map((row) =>
    [row.phase, number(row.batch), number(row.length), number(row.tokens_per_second),
      `${row.device}, ${row.dtype}`]));
}

function routingPart(routing) {
  const kinds = Object.keys(routing.kinds);
  return [
    el("h4", {}, "What each memory takes"),
    el("p", { class: "caption" }, `${routing.tasks.join(", ")}, ${number(routing.questions)}`,
      " questions. Share of a layer's choices with its 95 % interval; the line is an equal share."),
    el("div", { class: "layers" }, routing.layers.map(layerLoad)),
    el("details", {}, el("summary", {}, "Kinds of tokens: share over chance, 1 is chance"),
      grid(["Layer.memory", ...kinds], routing.layers.flatMap((layer) =>
        layer.load.map((_, memory) => [`${layer.layer}.m${memory}`, ...kinds.map((kind) =>
          ratio(layer.lifts[kind][memory]))]))),
      el("ul", { class: "notes" }, kinds.map((kind) => el("li", {}, `${kind}: ${routing.kinds[kind]}`)))),
  ];
}

function layerLoad(layer) {
  const most = Math.max(...layer.load.map(([value, , high]) => high ?? value));
  const at = (share) => `${(100 * share) / most}%`;
  const bars = layer.load.map(([value, low, high], memory) => {
    const bar = el("span", { class: "load", "aria-hidden": "true" }, styled("fill", { width: at(value) }),
      styled("zero", { left: at(1 / layer.load.length) }));
    if (low !== null && high !== null) {
      bar.append(styled("interval", { left: at(low), right: `calc(100% - ${at(high)})` }));
    }
    return [el("span", {}, `m${memory}`), bar, el("span", {}, `${number(100 * value, 1)} %`)];
  });
  const router = number(layer.router_entropy[0], 2);
  const changes = number(100 * layer.changes[0], 1);
  return el("div", { class: "layer" },
    el("h5", {}, `Layer ${layer.layer}, ${layer.top_k} of ${layer.load.length} a token`),
    el("div", { class: "loads" }, bars),
    el("p", { class: "caption" }, `load ${number(layer.load_entropy, 2)} bits of`,
      ` ${number(Math.log2(layer.load.length), 2)}, router ${router} bits, other memories than the`,
      ` token before: ${changes} % (chance ${number(100 * layer.chance, 1)} %)`));
}

/** A share over chance; bold where its interval leaves chance out. */
function ratio(one) {
  if (one === null) return "–";
  const [value, low, high] = one;
  const known = low !== null && high !== null && (low > 1 || high < 1);
  const words = low === null ? number(value, 2)
    : `${number(value, 2)} ${number(low, 2)}-${number(high, 2)}`;
  return known ? el("strong", {}, words) : words;
}
