// The networks of the page's data by row, and how their values are written.

const INTEGERS = new Intl.NumberFormat("en-US");
const FRACTIONS = new Set([
  "val_accuracy", "test_accuracy", "train_accuracy", "val_loss", "scratch_share", "predicted", "gain",
]);

class Networks {
  constructor(data) {
    this.runs = data.runs;
    this.columns = data.networks;
    this.meanings = data.meanings;
    this.count = data.networks.id.length;
    this.names = Object.keys(data.networks); // of the columns
    this.byKey = new Map();
    for (let row = 0; row < this.count; row += 1) this.byKey.set(this.key(row), row);
    this.offspring = null; // made when it is first asked for
  }

  // What a network is known by while rows come and go.
  key(row) {
    return JSON.stringify([this.runs[this.columns.run[row]].name, this.columns.id[row]]);
  }

  id(row) { return this.columns.id[row]; }

  run(row) { return this.runs[this.columns.run[row]]; }

  // A value as it is compared and sorted: a number, a text, or null.
  value(name, row) {
    const column = this.columns[name];
    if (name === "run") return this.run(row).name;
    if (column === undefined) return null;
    if (!Array.isArray(column)) return column.words[column.codes[row]] ?? null;
    const value = column[row];
    if (value !== null && (name === "parent" || name === "same_as")) return this.id(value);
    return value;
  }

  // A value as it is read.
  text(name, row) { return written(name, this.value(name, row)); }

  isNumber(name) {
    return Array.isArray(this.columns[name]) && !["run", "id", "parent", "same_as"].includes(name);
  }

  children(row) {
    if (this.offspring === null) {
      this.offspring = new Map();
      (this.columns.parent ?? []).forEach((parent, child) => {
        if (parent === null) return;
        if (!this.offspring.has(parent)) this.offspring.set(parent, []);
        this.offspring.get(parent).push(child);
      });
    }
    return this.offspring.get(row) ?? [];
  }
}

function written(name, value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (FRACTIONS.has(name)) return value.toFixed(4);
  return Number.isInteger(value) ? INTEGERS.format(value) : INTEGERS.format(Number(value.toPrecision(5)));
}
