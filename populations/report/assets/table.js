// The table of models: filter, sort, choose columns, a page of rows at a time.

const ROWS = 50; // on a page
const FIRST = ["id", "run", "status", "generation", "depth", "conv_layers", "params", "flops", "val_accuracy", "test_accuracy",
  "seconds"]; // the columns that are shown at first
const SEARCHED = ["id", "run", "stage", "status", "function_set"];
const COMPARED = /^(\w+)(<=|>=|<|>|=)(.+)$/;
const HOLDS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
};

class ModelsTable {
  constructor(page) {
    this.page = page;
    this.sorted = { name: "val_accuracy", down: true };
    this.first = 0;
    this.shown = null; // names of columns; those of FIRST until somebody chooses
    at("filter").addEventListener("input", () => { this.first = 0; this.draw(); });
    at("earlier").addEventListener("click", () => { this.first = Math.max(0, this.first - ROWS); this.drawRows(); });
    at("later").addEventListener("click", () => { this.first += ROWS; this.drawRows(); });
  }

  // Draw all anew: the data, the filter or the order has changed.
  draw() {
    const { networks } = this.page;
    const tests = at("filter").value.split(/\s+/).filter(Boolean).map((word) => this.test(word));
    this.problem = tests.find((test) => typeof test === "string") ?? "";
    const rows = [];
    for (let row = 0; row < networks.count; row += 1) {
      if (this.page.hidden.has(networks.run(row).name)) continue;
      if (this.problem || tests.every((test) => test(row))) rows.push(row);
    }
    this.rows = this.ordered(rows);
    this.drawColumns();
    this.drawRows();
  }

  // What a word of the filter asks of a row, or what is wrong with it.
  test(word) {
    const { networks } = this.page, found = COMPARED.exec(word);
    if (found === null) {
      const text = word.toLowerCase();
      return (row) => SEARCHED.some((name) => String(networks.value(name, row) ?? "").toLowerCase().includes(text));
    }
    const [, name, how, wanted] = found;
    if (name !== "run" && !networks.names.includes(name)) return `No column ${name}: one of ${networks.names.join(", ")}.`;
    if (!networks.isNumber(name)) {
      return how === "=" ? (row) => networks.value(name, row) === wanted : `${name} is a text: compare it with =.`;
    }
    const number = Number(wanted);
    if (Number.isNaN(number)) return `${word}: ${wanted} is no number.`;
    return (row) => networks.value(name, row) !== null && HOLDS[how](networks.value(name, row), number);
  }

  ordered(rows) {
    const { networks } = this.page, { name, down } = this.sorted, sign = down ? -1 : 1;
    if (!networks.names.includes(name)) return rows;
    const keys = new Map(rows.map((row) => [row, networks.value(name, row)]));
    return rows.sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      if (a === b) return one - other;
      if (a === null || b === null) return a === null ? 1 : -1; // what is missing stands last
      return a < b ? -sign : sign;
    });
  }

  columns() {
    const { networks } = this.page;
    const first = FIRST.filter((name) => name !== "run" || networks.runs.length > 1);
    return networks.names.filter((name) => (this.shown ?? new Set(first)).has(name))
      .sort((a, b) => (b === "id") - (a === "id"));
  }

  drawColumns() {
    const shown = new Set(this.columns()), places = at("columns"), names = this.page.networks.names;
    if (places.dataset.names === names.join()) return;
    places.dataset.names = names.join();
    places.querySelectorAll("label").forEach((label) => label.remove());
    for (const name of names.filter((other) => other !== "id")) {
      const choose = (event) => {
        this.shown = new Set(this.columns());
        if (event.target.checked) this.shown.add(name); else this.shown.delete(name);
        this.drawRows();
      };
      places.append(element("label", { title: this.page.networks.meanings[name] ?? null },
        element("input", { type: "checkbox", checked: shown.has(name), change: choose }), ` ${name}`));
    }
  }

  drawRows() {
    const { networks } = this.page, names = this.columns();
    this.first = Math.min(this.first, Math.max(0, this.rows.length - 1));
    const rows = this.rows.slice(this.first, this.first + ROWS), focused = document.activeElement?.dataset?.sort;
    const table = at("models-table");
    table.replaceChildren(
      element("caption", { class: "hidden" }, "Models; a column's button sorts by it, an id opens its network"),
      element("thead", {}, element("tr", {}, ...names.map((name) => this.heading(name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...names.map((name) =>
        element("td", { class: networks.isNumber(name) ? "number" : null },
          name === "id" ? opener(this.page, row) : networks.text(name, row)))))));
    if (focused) table.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
    at("earlier").disabled = this.first === 0;
    at("later").disabled = this.first + ROWS >= this.rows.length;
    const range = rows.length ? `${written("", this.first + 1)} to ${written("", this.first + rows.length)} of ` : "";
    at("filter-said").textContent = this.problem
      || `${range}${written("", this.rows.length)} models${this.rows.length < networks.count ? ` (${written("", networks.count)} in all)` : ""}`;
  }

  heading(name) {
    const { down } = this.sorted, active = this.sorted.name === name;
    const sort = () => {
      this.sorted = { name, down: active ? !down : this.page.networks.isNumber(name) };
      this.first = 0;
      this.draw();
    };
    return element("th", {
      scope: "col", class: this.page.networks.isNumber(name) ? "number" : null,
      "aria-sort": active ? (down ? "descending" : "ascending") : "none", title: this.page.networks.meanings[name] ?? null,
    }, element("button", { type: "button", "data-sort": name, click: sort }, active ? `${name} ${down ? "▼" : "▲"}` : name));
  }
}

// A button that opens a network.
function opener(page, row) {
  return element("button", { type: "button", class: "id", "data-network": page.networks.key(row), click: () => page.open(row) },
    page.networks.id(row));
}
