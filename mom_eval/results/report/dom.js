// Building the page out of elements and texts. Nothing here, nor in the other parts, makes HTML out
// of a string: what runs hold is only ever the text of a node or the value of an attribute.

/** An element; properties starting with "on" are listeners, the others attributes. */
function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A choice of one among values; `options` are [value, words] pairs. */
function choice(label, options, changed) {
  const select = el("select", { onchange: () => changed(select.value) },
    options.map(([value, words]) => el("option", { value }, words)));
  return el("label", { class: "choice" }, el("span", {}, label), select);
}

/** A table of texts; the first column is the heading of its row. */
function grid(head, lines) {
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "table" },
    el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, lines.map((line) => el("tr", {}, line.map((cell, place) =>
        place === 0 ? el("th", { scope: "row" }, cell) : el("td", {}, cell)))))));
}

/** A part of the page with its heading. */
function section(id, title, ...children) {
  return el("section", { id }, el("h2", {}, title), ...children);
}

/** With so many decimals, and commas; a dash where there is no number. */
function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  const form = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString("en", form);
}

/** "1 question", "2 questions". */
function counted(count, word) {
  return `${number(count)} ${word}${count === 1 ? "" : "s"}`;
}
