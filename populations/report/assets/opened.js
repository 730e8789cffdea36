// The dialog of one network: facts, drawing, learning curve, genome, kin, commands.

const KIN = 40; // children that are named

class Opened {
  constructor(page) {
    this.page = page;
    this.dialog = at("opened");
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  // Show what fresher data say of the network, if its dialog is still open by then.
  async refresh(row) {
    if (this.dialog.open) await this.show(row, () => this.dialog.open);
  }

  async show(row, wanted = () => true) {
    const { networks, data } = this.page, run = networks.run(row), key = networks.key(row);
    const detail = await render.detail(run.name, networks.id(row));
    if (this.page.selected !== key || !wanted()) return; // another was opened meanwhile, or this one closed
    // Fresher data that say nothing new of it leave the reader where they are.
    const told = JSON.stringify([key, networks.children(row).length, detail?.curve.epoch?.length ?? null,
      ...networks.names.map((name) => networks.value(name, row))]);
    if (this.dialog.open && told === this.told) return;
    this.told = told;
    const title = element("h2", { id: "opened-title", tabindex: "-1" },
      `${networks.id(row)}${networks.runs.length > 1 ? ` of ${run.name}` : ""}`);
    const named = ["status", ...networks.names.filter((name) => !["id", "status", "parent", "same_as"].includes(name))];
    this.dialog.replaceChildren(
      element("header", {}, title, element("button", { type: "button", click: () => this.dialog.close() }, "Close")),
      element("div", { class: "halves" },
        element("div", {}, facts(networks, row, named), ...this.kin(row, detail), ...this.commands(data.command, run, row)),
        element("div", {}, ...this.parts(detail, data.command, run, row))));
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    title.focus();
    this.drawCurve(detail);
  }

  kin(row, detail) {
    const { networks } = this.page, parent = networks.columns.parent?.[row] ?? null;
    const same = networks.columns.same_as?.[row] ?? null, children = networks.children(row);
    const made = [element("h3", {}, "Parent"), element("p", { class: "kin" },
      parent === null ? "none: it was drawn at random, or made by hand" : opener(this.page, parent))];
    if (detail?.change) made.push(element("p", { class: "said" }, `Changed from it: ${detail.change}`));
    if (same !== null) made.push(element("h3", {}, "Took over the result of"), element("p", { class: "kin" }, opener(this.page, same)));
    const more = children.length > KIN ? ` and ${written("", children.length - KIN)} more` : null;
    made.push(element("h3", {}, `Children (${written("", children.length)})`), element("p", { class: "kin" },
      ...(children.length ? children.slice(0, KIN).map((child) => opener(this.page, child)) : ["none"]), more));
    return made;
  }

  commands(command, run, row) {
    const id = this.page.networks.id(row);
    const lines = [`replay ${run.typed} ${id}`, `export ${run.typed} ${id} --out ${id}`, `draw ${run.typed} ${id} --out ${id}.svg`];
    return [element("h3", {}, "Commands"), ...lines.map((line) => element("pre", {}, `${command} ${line}`))];
  }

  parts(detail, command, run, row) {
    if (detail === undefined) {
      return [element("p", {}, "Its drawing, learning curve and genome are not in this page, "
        + `${render.lacking} The last command at the side draws it; its curve and genome are in its folder:`),
      element("pre", {}, `${run.facts.folder}/models/${this.page.networks.id(row)}`)];
    }
    const made = [element("h3", {}, "Architecture")];
    if (detail.drawing) {
      const source = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(detail.drawing)}`;
      const told = new DOMParser().parseFromString(detail.drawing, "image/svg+xml").querySelector("desc")?.textContent ?? "";
      made.push(element("div", { class: "drawing", tabindex: "0", role: "region", "aria-label": "Architecture" },
        element("img", { src: source, alt: told })),
      element("p", {}, element("a", { href: source, download: `${this.page.networks.id(row)}.svg` }, "Save the drawing")));
    } else made.push(element("p", {}, "This kind of model has no drawing."));
    made.push(element("h3", {}, "Learning curve"), detail.curve.epoch
      ? element("div", { class: "plot", id: "opened-plot", role: "img", "aria-label": this.curveInWords(detail.curve) })
      : element("p", {}, "none: it was not trained, or not to the end of an epoch"));
    made.push(element("h3", {}, "Genome"), detail.genome
      ? element("pre", { class: "genome", tabindex: "0" }, JSON.stringify(detail.genome))
      : element("p", {}, "none: it was made by hand"));
    return made;
  }

  curveInWords(curve) {
    const steps = curve.epoch.map((epoch, n) => `${epoch}: ${written("val_accuracy", curve.val_accuracy[n])}`);
    return `Validation accuracy by epoch: ${steps.slice(-20).join(", ")}`;
  }

  drawCurve(detail) {
    if (!detail?.curve.epoch) return;
    const { colour } = look(0), { epoch, train_accuracy: train, val_accuracy: val } = detail.curve;
    const drawn = (y, name, more) => ({ ...line(epoch, y, colour, more), name, mode: "lines+markers", hoverinfo: "x+y+name" });
    plot(this.page, "opened", [drawn(val, "validation", {}), drawn(train, "training", { dash: "dot" })],
      { xaxis: counting("epoch", epoch), yaxis: axis("accuracy"), showlegend: true, legend: { orientation: "h", y: 1.05, yanchor: "bottom" },
        margin: { l: 56, r: 12, t: 36, b: 48 } }, "opened");
  }
}
