// One question, opened: what was asked, what each row wrote, and the prompt with the answer marked.

function opened(data, board, place, steps) {
  const rows = data.boards[board].rows;
  const { models, list } = data.questions[board];
  const [task, id, document, ...scores] = list[place];
  const words = data.words[board]?.[place];
  const order = [...new Set([...models, ...rows.keys()])].filter((at) => scores[0][at] !== undefined
    && scores[0][at] !== "-");
  const step = (text, press) => el("button", { type: "button", disabled: press === null,
    onclick: press ?? (() => {}) }, text);
  return el("article", { class: "question" },
    el("div", { class: "steps" }, el("button", { type: "button", class: "back", onclick: steps.back },
      "← all questions"), step("‹ before", steps.before), step("next ›", steps.after)),
    el("p", { class: "caption which" }, `${taskName(data.boards[board], task)}, question ${id}, document ${document}`),
    words ? asking(words) : withoutWords(data, board, place),
    el("div", { class: "outputs" }, order.map((at) =>
      said(rows[at], at, scores, words))),
    words ? reading(words, rows, data) : null);
}

function asking(words) {
  return [el("h4", { class: "ask" }, words.question || "(no question)"),
    el("p", { class: "answers" }, words.answers.length === 1 ? "Answer: " : "Answers: ",
      words.answers.map((answer, at) => [at ? " · " : null, el("mark", {}, answer)]))];
}

function withoutWords(data, board, place) {
  if (!data.withWords) {
    return el("p", { class: "hint" }, "This page was made with --no-text: it holds scores alone.");
  }
  const page = (data.pages[board] ?? []).find(([, end]) => place < end);
  const [task, id] = data.questions[board].list[place];
  const hash = ["question", "0", task, id].map(encodeURIComponent).join("/");
  if (page) {
    return el("p", { class: "hint" }, "Its words are in ", el("a", { href: `${page[0]}#${hash}` },
      "a page of their own"), ".");
  }
  return el("p", { class: "hint" }, "This page has room for the words of the questions on which models",
    " differ most; mom-eval report --full DIR writes those of all.");
}

/** What a row wrote, and how that scored. */
function said(row, at, [right, exact, f1, bits], words) {
  const hit = right[at] === "1";
  const facts = [exact[at] === "1" ? "exact" : null, f1[at] === null ? null : `F1 ${number(f1[at], 2)}`,
    bits[at] === null ? null : `${number(bits[at], 2)} bits per byte`].filter((fact) => fact);
  const output = words?.outputs[at];
  return el("div", { class: `output is${right[at]}` },
    el("div", { class: "who" }, el("span", { class: "name" }, row.name),
      row.kind === "model" ? null : el("span", { class: "kind" }, row.kind),
      el("span", { class: "verdict" }, hit ? "✓ right" : "✗ wrong")),
    output === undefined ? null
      : output.trim() === "" ? el("p", { class: "hint" }, "(wrote nothing)")
        : el("pre", {}, marked(output, words.answers)),
    el("p", { class: "caption" }, facts.join(" · ")));
}

/** Every prompt that was read for the question. */
function reading(words, rows, data) {
  if (words.read.length === 0) {
    return el("p", { class: "hint" }, "Its document is not at hand.",
      ...data.missing.map((sentence) => el("span", { class: "why" }, sentence)));
  }
  return words.read.map((one) => {
    const names = one.rows.map((at) => rows[at].name).join(", ");
    return [el("h4", {}, one.prompt === null ? "Document, whole" : "Prompt"),
      el("p", { class: "caption" }, one.prompt === null
        ? `The prompt of ${names} is not at hand. ` : `As read by ${names}. `,
      hitWords(one, words.answers), one.span ? " The prompt's own words are in colour." : null),
      el("pre", { class: "prompt", tabindex: "0" }, promptParts(one, words.answers))];
  });
}

function promptParts(one, answers) {
  if (one.prompt === null) return marked(one.document, answers);
  if (one.span === null) return marked(one.prompt, answers);
  const [start, end] = one.span.map((at) => codeUnits(one.prompt, at));
  return [el("span", { class: "around" }, one.prompt.slice(0, start)),
    marked(one.prompt.slice(start, end), answers),
    el("span", { class: "around" }, one.prompt.slice(end))];
}

/** Python counts characters, this language UTF-16 units: a place in the one as a place in the other. */
function codeUnits(text, characters) {
  let units = 0;
  for (const character of text) {
    if (characters-- <= 0) break;
    units += character.length;
  }
  return units;
}

function hitWords(one, answers) {
  const text = one.prompt ?? one.document;
  const hits = [...text.matchAll(pattern(answers))].length;
  return hits === 0 ? "No answer stands in it."
    : `An answer stands in it ${hits === 1 ? "once" : `${number(hits)} times`}.`;
}

/** Any of the answers, whatever its case: what the score "contains" looks for. */
function pattern(answers) {
  const known = answers.filter((answer) => answer !== "").sort((a, b) => b.length - a.length);
  const escaped = known.map((answer) => answer.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(escaped.join("|") || "(?!)", "giu");
}

/** The text as nodes, answers marked. */
function marked(text, answers) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(pattern(answers))) {
    nodes.push(text.slice(end, match.index), el("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

/** Scrolls each prompt to its first mark. */
function toFirstMark(pane) {
  for (const prompt of pane.querySelectorAll(".prompt")) {
    const mark = prompt.querySelector("mark");
    if (mark) prompt.scrollTop = mark.offsetTop - prompt.offsetTop - prompt.clientHeight / 3;
  }
}
