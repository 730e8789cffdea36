// The page: `render(data)` draws it, and may be called again with fresher data; selection, filter and zoom stay.

const page = { data: null, networks: null, hidden: new Set(), selected: null, open: openNetwork };
const models = new ModelsTable(page);
const opened = new Opened(page);

function render(data) {
  const focused = document.activeElement, table = focused?.closest("table"), network = focused?.dataset?.network;
  page.data = data;
  page.networks = new Networks(data);
  hideTip();
  const names = data.runs.map((run) => run.name);
  document.title = `${names.join(", ")} – report`;
  at("title").textContent = names.join(", ");
  at("made").textContent = `${written("", page.networks.count)} networks; as of ${data.made.slice(0, 16).replace("T", " ")} UTC. `
    + "Point at a network for its facts, click it to open it; the table of models opens them by keyboard.";
  drawRuns(data);
  chooseBlocks(names);
  models.draw();
  drawFigures(page);
  if (table && network) table.querySelector(`[data-network="${CSS.escape(network)}"]`)?.focus({ preventScroll: true });
  const row = page.networks.byKey.get(page.selected);
  if (row !== undefined) opened.refresh(row);
}

// How the page asks for the details of a network: whoever embeds it says where they are. Undefined: not known there.
render.detail = async () => undefined;
render.lacking = "which holds those of the best networks."; // why they may not be known

async function openNetwork(row) {
  hideTip();
  page.selected = page.networks.key(row);
  await opened.show(row);
  drawFigures(page); // with the ring around it
}

function drawRuns(data) {
  const focused = document.activeElement?.dataset?.run;
  at("runs").querySelectorAll("label").forEach((label) => label.remove());
  data.runs.forEach((run, n) => {
    const toggle = (event) => {
      if (event.target.checked) page.hidden.delete(run.name); else page.hidden.add(run.name);
      models.draw();
      drawFigures(page);
    };
    const told = Object.entries(run.facts).map(([fact, value]) => `${fact} ${value}`).join(" · ");
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = look(n).colour;
    at("runs").append(element("label", {},
      element("input", { type: "checkbox", "data-run": run.name, checked: !page.hidden.has(run.name), change: toggle }), swatch,
      element("span", {}, element("b", {}, run.name), " ", element("span", { class: "facts" }, told))));
  });
  if (focused !== undefined) at("runs").querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
}

function chooseBlocks(names) {
  const select = at("blocks-run"), chosen = select.value;
  if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : names[0];
}

for (const id of ["progress-x", "sizes-x", "sizes-colour", "blocks-run"]) at(id).addEventListener("change", () => drawFigures(page));
for (const screen of [DARK, NARROW]) screen.addEventListener("change", () => { drawRuns(page.data); drawFigures(page); });
