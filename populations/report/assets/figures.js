// One function for each figure: it draws a table of the data, and says it in words. Plotly keeps zoom and selection.

const MANY = 3000; // points, from which on the graphics card draws them
const VERTICES = 800; // of a line across a figure: more cannot be seen
const FRONTS = { depth: "depth", conv_layers: "convolutions on the longest path", params: "parameters", flops: "FLOPs of an image" };

// `page`: {data, networks, hidden: names of runs not shown, selected: key of the opened network or null, open(row)}.
function drawFigures(page) {
  for (const draw of [drawProgress, drawSizes, drawBlocks, drawLineage, drawCurves]) draw(page);
  drawStudies(page);
  drawJobs(page);
  drawFailures(page);
  drawTimes(page);
}

function shownRuns(page) { return page.data.runs.flatMap((run, n) => (page.hidden.has(run.name) ? [] : [n])); }

// The positions in a table, whose column `row` names networks, that belong to run `n`.
function ofRun(page, table, n) {
  const found = [];
  table.row.forEach((row, place) => { if (page.networks.columns.run[row] === n) found.push(place); });
  return found;
}

function axis(title, more = {}) {
  return {
    title: { text: title }, gridcolor: ink("line"), zerolinecolor: ink("line"), linecolor: ink("quiet"),
    automargin: true, ...more,
  };
}

// An axis of whole numbers.
function counting(title, values) {
  const most = values.reduce((a, b) => Math.max(a, b ?? 0), 0);
  return axis(title, most <= 12 ? { dtick: 1 } : {});
}

function plot(page, id, traces, layout, revision) {
  const place = at(`${id}-plot`);
  const base = {
    margin: { l: 56, r: 12, t: 8, b: 48 }, hovermode: "closest", showlegend: false, uirevision: revision,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("ink"), size: 13 }, dragmode: "zoom",
  };
  const options = {
    displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: id }, plotlyServerURL: "",
  };
  Plotly.react(place, traces, { ...base, ...layout }, options);
  if (place.listens) return;
  place.listens = true; // to the page as it is then, whichever data it has by then
  const rowOf = (event) => event.points.map((point) => point.customdata).find((row) => Number.isInteger(row));
  place.on("plotly_hover", (event) => {
    const row = rowOf(event);
    if (row !== undefined) showTip(page.networks, row, event.event);
  });
  place.on("plotly_unhover", hideTip);
  place.on("plotly_click", (event) => {
    const row = rowOf(event);
    if (row !== undefined) page.open(row);
  });
}

function points(rows, x, y, { colour, symbol }, more = {}) {
  return {
    type: rows.length > MANY ? "scattergl" : "scatter", mode: "markers", x, y, customdata: rows, hoverinfo: "none",
    marker: { color: colour, symbol, size: rows.length > MANY ? 4 : 7, opacity: rows.length > MANY ? 0.3 : 0.75 }, ...more,
  };
}

function line(x, y, colour, more = {}) {
  return { type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color: colour, width: 2.5, ...more } };
}

// A ring around the network that was opened last, where the figure has it.
function ring(page, rows, x, y) {
  const place = rows.findIndex((row) => page.selected !== null && page.networks.key(row) === page.selected);
  return {
    type: "scatter", mode: "markers", x: place < 0 ? [] : [x[place]], y: place < 0 ? [] : [y[place]], hoverinfo: "skip",
    marker: { symbol: "circle-open", size: 17, color: ink("focus"), line: { width: 3 } },
  };
}

const pick = (column, places) => places.map((place) => column[place]);
const accuracies = (page, rows) => rows.map((row) => page.networks.value("val_accuracy", row));

function say(id, texts, note = "") { at(`${id}-said`).textContent = [...texts, note].filter(Boolean).join(" "); }

function drawProgress(page) {
  const table = page.data.progress, over = at("progress-x").value;
  const traces = [], said = [], all = { rows: [], x: [], y: [] };
  for (const n of shownRuns(page)) {
    const places = ofRun(page, table, n), style = look(n);
    const rows = pick(table.row, places), x = pick(table[over], places), best = pick(table.best, places);
    const y = accuracies(page, rows);
    const steps = x.flatMap((_, i) => (i === 0 || i === x.length - 1 || best[i] > best[i - 1] ? [i] : []));
    const every = Math.ceil(x.length / VERTICES), some = x.flatMap((_, i) => (i % every === 0 ? [i] : []));
    traces.push(points(rows, x, y, style), line(pick(x, some), pick(pick(table.median, places), some), style.colour,
      { dash: "dot", width: 1.8 }), line(pick(x, steps), pick(best, steps), style.colour, { shape: "hv" }));
    all.rows.push(...rows); all.x.push(...x); all.y.push(...y);
    const name = page.data.runs[n].name;
    said.push(rows.length === 0 ? `${name}: no network is trained to its end yet.`
      : `${name}: the best has ${written("val_accuracy", best.at(-1))}, of ${written("", table.networks[places.at(-1)])} `
        + `results in ${written("", Math.round(table.slot_seconds[places.at(-1)]))} core-seconds.`);
  }
  traces.push(ring(page, all.rows, all.x, all.y));
  const title = over === "networks" ? "results so far" : "core-seconds of training so far";
  plot(page, "progress", traces, { xaxis: axis(title), yaxis: axis("validation accuracy") }, over);
  say("progress", ["Points are networks, the solid line the best so far, the dotted one the median of the last 50.", ...said],
    page.data.notes.progress);
}

function drawSizes(page) {
  const table = page.data.sizes, size = at("sizes-x").value, by = at("sizes-colour").value, networks = page.networks;
  const sets = networks.columns.function_set.words, runs = shownRuns(page);
  const traces = [], said = [], all = { rows: [], x: [], y: [] };
  for (const n of runs) {
    const groups = new Map();
    for (const place of ofRun(page, table, n)) {
      const group = by === "run" ? n : networks.columns.function_set.codes[table.row[place]];
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(place);
    }
    for (const [group, places] of groups) {
      const style = look(group), rows = pick(table.row, places);
      const x = rows.map((row) => networks.value(size, row)), y = accuracies(page, rows);
      const front = places.flatMap((place, i) => (table[`front_${size}`][place] ? [i] : []))
        .sort((a, b) => x[a] - x[b]);
      traces.push(points(rows, x, y, style), { ...line(pick(x, front), pick(y, front), style.colour, { shape: "hv" }),
        mode: "lines+markers", customdata: pick(rows, front), hoverinfo: "none",
        marker: { size: 9, symbol: style.symbol, color: style.colour, line: { width: 1.5, color: ink("paper") } } });
      all.rows.push(...rows); all.x.push(...x); all.y.push(...y);
      const name = by === "run" ? page.data.runs[n].name : `${sets[group]} (${page.data.runs[n].name})`;
      said.push(`${name}: ${front.length} on the front, up to ${written("val_accuracy", y[front.at(-1)])}.`);
    }
  }
  traces.push(ring(page, all.rows, all.x, all.y));
  const log = ["params", "flops"].includes(size) ? { type: "log" } : {};
  plot(page, "sizes", traces, { xaxis: axis(FRONTS[size], log), yaxis: axis("validation accuracy") }, size);
  say("sizes", ["The line is the front: no network of its run that is at most as large is as accurate.", ...said],
    page.data.notes.sizes);
}

const PATTERNS = ["", "/", "x", "."]; // of kinds that share a colour

function drawBlocks(page) {
  const table = page.data.blocks, run = at("blocks-run").value, narrow = NARROW.matches;
  const used = new Map(), traces = [], counted = {};
  table.run.forEach((name, place) => { if (name === run) counted[table.group[place]] = table.networks[place]; });
  const stood = new Set(table.kind.filter((_, place) => table.run[place] === run));
  for (const [kind, colour] of Object.entries(page.data.kinds).filter(([kind]) => stood.has(kind))) {
    const pattern = PATTERNS[(used.get(colour) ?? 0) % PATTERNS.length];
    used.set(colour, (used.get(colour) ?? 0) + 1);
    ["winners", "rest"].forEach((group, n) => {
      const shares = Array(10).fill(0);
      table.run.forEach((name, place) => {
        if (name === run && table.group[place] === group && table.kind[place] === kind) shares[table.tenth[place] - 1] = table.share[place];
      });
      traces.push({
        type: "bar", name: plain(kind), legendgroup: plain(kind), showlegend: n === 0, x: shares.map((_, i) => i + 1), y: shares,
        xaxis: n ? "x2" : "x", yaxis: n ? "y2" : "y", hovertemplate: `${plain(kind)}: %{y:.0%}<extra></extra>`,
        marker: { color: colour, line: { color: ink("paper"), width: 1 }, pattern: { shape: pattern, bgcolor: colour, fgcolor: "#1a1a1a", size: 6 } },
      });
    });
  }
  const grid = narrow ? { rows: 2, columns: 1, pattern: "independent", ygap: 0.35 } : { rows: 1, columns: 2, pattern: "independent" };
  const named = (group) => `tenth of the depth, ${group} (${written("", counted[group] ?? 0)})`;
  const share = axis("share of networks", { tickformat: ".0%", range: [0, 1] });
  plot(page, "blocks", traces, {
    barmode: "stack", bargap: 0.06, grid, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: axis(named("winners"), { dtick: 1 }), xaxis2: axis(named("rest"), { dtick: 1 }), yaxis: share, yaxis2: share,
    margin: { l: 56, r: 12, t: 48, b: 48 },
  }, run);
  say("blocks", ["Which kind of block stands in each tenth of the depth, the image at the left: in the most accurate "
    + "tenth of the networks and in the rest, of each at most 500."]);
}

function drawLineage(page) {
  const table = page.data.lineage, networks = page.networks, traces = [], all = { rows: [], x: [], y: [] };
  const rowsOfTable = new Map(table.row.map((row, place) => [row, place])), paid = [];
  const edge = (row) => [[networks.value("generation", networks.columns.parent[row]), networks.value("generation", row), null],
    [networks.value("val_accuracy", networks.columns.parent[row]), networks.value("val_accuracy", row), null]];
  const ended = (row) => networks.value("status", row) === "ok";
  for (const n of shownRuns(page)) {
    const style = look(n), places = ofRun(page, table, n), rows = pick(table.row, places);
    const edges = { other: [[], []], better: [[], []], line: [[], []] };
    for (const place of places) {
      const row = table.row[place], parent = networks.columns.parent?.[row] ?? null;
      if (parent === null || !rowsOfTable.has(parent)) continue;
      const [x, y] = edge(row), kind = table.line[place] ? "line" : table.gain[place] > 0 ? "better" : "other";
      edges[kind][0].push(...x); edges[kind][1].push(...y);
      if (table.gain[place] > 0) paid.push(place);
    }
    const x = rows.map((row) => networks.value("generation", row)), y = accuracies(page, rows);
    traces.push({ ...line(...edges.other, ink("quiet"), { width: 0.7 }), opacity: 0.5 },
      line(...edges.better, style.colour, { width: 1.2, dash: "dot" }), line(...edges.line, style.colour, { width: 3.5 }),
      points(rows, x, y, { ...style, symbol: rows.map((row) => style.symbol + (ended(row) ? "" : "-open")) }));
    all.rows.push(...rows); all.x.push(...x); all.y.push(...y);
  }
  traces.push(ring(page, all.rows, all.x, all.y));
  plot(page, "lineage", traces, { xaxis: counting("generation", all.x), yaxis: axis("validation accuracy") }, "lineage");
  say("lineage", ["Each line leads from a network to one bred from it: the thick one to the best network, dotted ones to "
    + "children that were better than their parents. Open points are no final scores: those were pruned."], page.data.notes.lineage);
  paid.sort((a, b) => table.line[b] - table.line[a] || table.gain[b] - table.gain[a]);
  at("paid-said").textContent = paid.length ? "" : "No child was more accurate than its parent yet.";
  fillTable(at("lineage-table"), "Changes after which a child was more accurate than its parent",
    [{ name: "network" }, { name: "leads to the best" }, { name: "gain", number: true }, { name: "accuracy", number: true },
      { name: "change", words: true }],
    paid.slice(0, 12).map((place) => [opener(page, table.row[place]), table.line[place] ? "yes" : "no",
      `+${written("gain", table.gain[place])}`, networks.text("val_accuracy", table.row[place]), table.change[place]]));
}

function drawCurves(page) {
  const table = page.data.curves, traces = [], all = { rows: [], x: [], y: [] };
  for (const n of shownRuns(page)) {
    const style = look(n), places = ofRun(page, table, n), rows = [], x = [], y = [];
    places.forEach((place, i) => {
      if (i > 0 && table.row[place] !== table.row[places[i - 1]]) { rows.push(null); x.push(null); y.push(null); }
      rows.push(table.row[place]); x.push(table.epoch[place]); y.push(table.val_accuracy[place]);
    });
    const best = page.networks.byKey.get(JSON.stringify([page.data.runs[n].name, page.data.runs[n].best]));
    const own = places.filter((place) => table.row[place] === best);
    traces.push({ ...points(rows, x, y, style), type: "scatter", mode: "lines+markers", opacity: 0.5,
      line: { color: style.colour, width: 1 }, marker: { color: style.colour, symbol: style.symbol, size: 4 } },
    line(pick(table.epoch, own), pick(table.val_accuracy ?? [], own), style.colour, { width: 4 }));
    all.rows.push(...rows.filter((row) => row !== null));
  }
  plot(page, "curves", traces, { xaxis: counting("epoch", table.epoch), yaxis: axis("validation accuracy") }, "curves");
  say("curves", ["A thin line is a network, the thick one the best of a run; one that ends early was pruned or stopped."],
    page.data.notes.curves);
}

function drawStudies(page) {
  const shown = new Set(shownRuns(page).map((n) => page.data.runs[n].name));
  const own = (page.data.studies ?? []).filter(({ run }) => shown.has(run));
  at("studies").hidden = at("studies-link").hidden = !own.length;
  at("studies-pictures").replaceChildren(...own.map(({ run, study, picture, svg }) => {
    const told = `${study}: ${picture} (${run})`;
    return element("figure", {}, element("figcaption", {}, told),
      element("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, alt: told }));
  }));
}

function drawJobs(page) {
  const table = page.data.statuses, totals = new Map();
  table.run.forEach((run, place) => totals.set(run, (totals.get(run) ?? 0) + table.jobs[place]));
  const shown = table.run.flatMap((run, place) => (page.hidden.has(run) ? [] : [place]));
  fillTable(at("jobs-table"), "Jobs by run, stage and status",
    [{ name: "run" }, { name: "stage" }, { name: "status" }, { name: "jobs", number: true }, { name: "percent", number: true }],
    shown.map((place) => [table.run[place], table.stage[place], table.status[place], written("", table.jobs[place]),
      (100 * table.jobs[place] / totals.get(table.run[place])).toFixed(1)]));
}

function drawFailures(page) {
  const table = page.data.failures, shown = shownRuns(page).flatMap((n) => ofRun(page, table, n));
  say("failures", [shown.length ? "The last of each run, at most 200; the whole of an error is in log.txt of its model's folder."
    : "No job has failed."]);
  fillTable(at("failures-table"), "Jobs that failed", [{ name: "network" }, { name: "status" }, { name: "error", words: true }],
    shown.map((place) => [opener(page, table.row[place]), page.networks.text("status", table.row[place]), table.error[place]]));
}

function drawTimes(page) {
  const table = page.data.times, shown = table.run.flatMap((run, place) => (page.hidden.has(run) ? [] : [place]));
  const hours = (value) => (value === null ? "" : value.toFixed(value < 1 ? 4 : 1));
  fillTable(at("time-table"), "The time of the slots by run and part",
    [{ name: "run" }, { name: "part" }, { name: "slot-seconds", number: true }, { name: "slot-hours", number: true },
      { name: "percent", number: true }],
    shown.map((place) => [table.run[place], table.part[place], (table.slot_seconds[place] ?? 0).toFixed(1),
      hours(table.slot_hours[place]), (table.percent[place] ?? NaN).toFixed(1).replace("NaN", "")]));
}
