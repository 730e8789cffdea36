// Elements, colours, and the tip: what figures, table and dialog share. Text of a run is only ever set as text.

function element(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...inside.filter((part) => part !== null));
  return made;
}

const at = (id) => document.getElementById(id);
const DARK = matchMedia("(prefers-color-scheme: dark)");
const NARROW = matchMedia("(max-width: 700px)"); // as in the styles

// Okabe and Ito's palette, which the colour-blind can tell apart; symbols and dashes for those who see none.
const LIGHT = ["#0072b2", "#d55e00", "#007a5a", "#a6417a", "#8a6d00", "#3d3d3d", "#2f86c4"];
const NIGHT = ["#56b4e9", "#ff9142", "#2fd0a0", "#e79cc2", "#f0e442", "#d0d0d0", "#8fb8ff"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];

function look(n) {
  const palette = DARK.matches ? NIGHT : LIGHT;
  return { colour: palette[n % palette.length], symbol: SYMBOLS[n % SYMBOLS.length] };
}

function ink(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

// Plotly reads a little markup in its texts; this makes it show them as they are.
function plain(text) { return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

const TIPPED = ["val_accuracy", "test_accuracy", "status", "depth", "conv_layers", "params", "flops", "generation"];

function facts(networks, row, names) {
  const list = element("dl");
  for (const name of names) {
    const text = networks.text(name, row);
    if (text !== "") list.append(element("dt", { title: networks.meanings[name] ?? null }, name), element("dd", {}, text));
  }
  return list;
}

function showTip(networks, row, event) {
  const tip = at("tip");
  const names = networks.runs.length > 1 ? ["run", ...TIPPED] : TIPPED;
  tip.replaceChildren(element("div", { class: "id" }, networks.id(row)), facts(networks, row, names));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 16 + width < innerWidth ? event.clientX + 16 : event.clientX - 16 - width;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 12, innerHeight - height - 4))}px`;
}

function hideTip() { at("tip").hidden = true; }

// Fill a table: `columns` are {name, number, words}, a cell is a text or an element. Without rows it stays empty.
function fillTable(table, caption, columns, rows) {
  if (rows.length === 0) { table.replaceChildren(); return; }
  const head = element("tr", {}, ...columns.map(({ name, number }) =>
    element("th", { scope: "col", class: number ? "number" : null }, name)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell, n) =>
    element("td", { class: columns[n].number ? "number" : columns[n].words ? "words" : null }, cell))));
  table.replaceChildren(element("caption", { class: "hidden" }, caption), element("thead", {}, head),
    element("tbody", {}, ...body));
}
