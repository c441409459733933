"use strict";
/* Panels of a case in up to three planes, scrolled together. */
const acnn = (function () {
  const GAP = 6, CAPTION = 20;
  const { voxelsOf, sliceAt, axesOf, paintImage, fillLabels, strokeLabels } = acnnSlices;

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /* Return the volumes that the panels of a case show. */
  function volumesOf(shown) {
    const places = shown.panels.flatMap((panel) => [panel.image, ...panel.overlays.map((each) => each.volume)]);
    return new Set(places.filter((place) => place !== null).map((place) => shown.volumes[place]));
  }

  /* Return the ways to lay out planes and panels, with the size in mm that each takes. */
  function layoutsOf(extents, panels) {
    const most = (values) => Math.max(...values), sum = (values) => values.reduce((a, b) => a + b, 0);
    const widths = extents.map((each) => each.width), heights = extents.map((each) => each.height);
    const layouts = [
      { byPlane: true, columns: panels, rows: extents.length, width: panels * most(widths), height: sum(heights) },
      { byPlane: false, columns: extents.length, rows: panels, width: sum(widths), height: panels * most(heights) },
    ];
    if (panels === 1 && extents.length === 3) { // the first plane next to the two others
      const [first, ...others] = extents;
      const width = first.width + most(others.map((each) => each.width));
      const height = Math.max(first.height, sum(others.map((each) => each.height)));
      layouts.push({ byPlane: true, columns: 2, rows: 2, spans: true, width, height });
    }
    return layouts;
  }

  class Viewer {
    /* root: element to fill; options.height: a function that returns the height it may take, in pixels. */
    constructor(root, options) {
      this.root = root;
      this.height = (options && options.height) || (() => window.innerHeight - 160);
      this.settings = { overlay: true, opacity: 0.45, level: 128, width: 256, cross: true };
      this.ticket = 0;
      this._build();
      new ResizeObserver(() => this._arrange()).observe(root);
      window.addEventListener("resize", () => this._arrange());
    }

    _build() {
      const range = (name, title, least, most, step) => {
        const input = element("input", { type: "range", min: least, max: most, step, value: this.settings[name], "aria-label": title });
        input.addEventListener("input", () => { this.settings[name] = Number(input.value); this.draw(); });
        this.inputs[name] = input;
        return element("label", {}, title + " ", input);
      };
      const box = (name, title) => {
        const input = element("input", { type: "checkbox" });
        input.checked = this.settings[name];
        input.addEventListener("change", () => { this.settings[name] = input.checked; this.draw(); });
        this.inputs[name] = input;
        return element("label", {}, input, " " + title);
      };
      this.inputs = {};
      const reset = element("button", { type: "button", title: "key R" }, "reset");
      reset.addEventListener("click", () => this.reset());
      this.overlayTools = element("span", { class: "tools" }, box("overlay", "labels (O)"));
      this.fillTools = element("span", { class: "tools" }, range("opacity", "opacity (+ −)", 0, 1, 0.05));
      this.imageTools = element("span", { class: "tools" },
        range("level", "level (, .)", 0, 255, 1), range("width", "window ([ ])", 2, 512, 1));
      this.tools = element("div", { class: "tools" }, this.overlayTools, this.fillTools, this.imageTools, box("cross", "cross (X)"), reset);
      this.legend = element("div", { class: "legend" });
      this.stage = element("div", { class: "stage" });
      this.note = element("div", { class: "note" });
      this.root.classList.add("viewer");
      this.root.append(this.tools, this.stage, this.legend, this.note);
    }

    /* Show a case; resolves when it is drawn. A later call overtakes an earlier one. */
    async show(shown) {
      const ticket = ++this.ticket;
      let voxels;
      try {
        const used = volumesOf(shown);
        voxels = await Promise.all(shown.volumes.map((volume) => (used.has(volume) ? voxelsOf(volume) : null)));
      } catch (error) {
        if (ticket === this.ticket) this.note.textContent = error.message;
        return;
      }
      if (ticket !== this.ticket) return;
      this.case = shown;
      this.voxels = voxels;
      this.at = shown.frame.shape.map((size, axis) => Math.max(0, Math.min(size - 1, shown.at[axis])));
      this.planes = [0, 1, 2].filter((axis) => [0, 1, 2].every((other) => other === axis || shown.frame.shape[other] > 1));
      if (!this.planes.length) this.planes = [0];
      this.active = this.planes[0];
      const overlays = shown.panels.flatMap((panel) => panel.overlays);
      this.overlayTools.hidden = !overlays.length;
      this.fillTools.hidden = !overlays.some((each) => each.style === "fill");
      this.imageTools.hidden = shown.panels.every((panel) => panel.image === null);
      this.note.textContent = shown.note || "";
      this._fillLegend();
      this._arrange();
    }

    _fillLegend() {
      const names = new Map();
      for (const panel of this.case.panels) for (const each of panel.overlays) names.set(each.style + each.name, each);
      const several = names.size > 1 ? [...names.values()] : [];
      const styles = several.map((each) => element("span", {}, element("i", { class: each.style }), each.name));
      const labels = this.case.labels.slice(0, 16).map((label) => {
        const swatch = element("i", {});
        swatch.style.background = label.colour;
        return element("span", {}, swatch, label.name);
      });
      this.legend.replaceChildren(...labels, ...styles);
    }

    /* Make the canvases in the layout that shows them largest. */
    _arrange() {
      if (!this.case || !this.root.clientWidth) return;
      const { shape, spacing } = this.case.frame;
      const size = (axis) => shape[axis] * spacing[axis];
      const extents = this.planes.map((axis) => {
        const [row, column] = axesOf(axis);
        return { axis, width: size(column), height: size(row) };
      });
      const { panels } = this.case;
      const layouts = layoutsOf(extents, panels.length).map((layout) => ({ ...layout, scale: Math.min(
        (this.root.clientWidth - (layout.columns + 1) * GAP) / layout.width,
        (Math.max(200, this.height()) - layout.rows * (CAPTION + GAP) - 1) / layout.height) }));
      const best = layouts.reduce((a, b) => (b.scale > a.scale ? b : a));
      this.scale = Math.max(0.05, best.scale);
      this.cells = best.byPlane
        ? extents.flatMap((extent) => panels.map((panel) => this._cell(panel, extent)))
        : panels.flatMap((panel) => extents.map((extent) => this._cell(panel, extent)));
      this.stage.style.gridTemplateColumns = `repeat(${best.columns}, max-content)`;
      this.stage.replaceChildren(...this.cells.map((each) => each.figure));
      if (best.spans) this.cells[0].figure.style.gridRow = "span 2";
      this.draw();
    }

    _cell(panel, extent) {
      const canvas = element("canvas", {}), caption = element("div", { class: "caption" });
      const ratio = window.devicePixelRatio || 1;
      const width = extent.width * this.scale, height = extent.height * this.scale;
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      caption.style.width = `${width}px`;
      const made = { panel, axis: extent.axis, canvas, caption, ratio, figure: element("div", { class: "cell" }, caption, canvas) };
      this._listen(made);
      return made;
    }

    _listen(cell) {
      const { canvas, axis } = cell;
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.active = axis;
        this.scroll(event.deltaY > 0 ? 1 : -1);
      }, { passive: false });
      canvas.addEventListener("contextmenu", (event) => event.preventDefault());
      canvas.addEventListener("pointerdown", (event) => {
        this.active = axis;
        if (event.button === 0) this._point(cell, event);
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (event.buttons & 2) this.setWindow(this.settings.level + event.movementY, this.settings.width + event.movementX);
        else if (event.buttons & 1) this._point(cell, event);
      });
    }

    /* Set the other planes to where a canvas was clicked. */
    _point(cell, event) {
      const { shape, spacing } = this.case.frame;
      const [row, column] = axesOf(cell.axis);
      const rect = cell.canvas.getBoundingClientRect();
      const share = [(event.clientY - rect.top) / rect.height, (event.clientX - rect.left) / rect.width];
      if (row === 0) share[0] = 1 - share[0];
      [row, column].forEach((axis, place) => {
        this.at[axis] = Math.min(shape[axis] - 1, Math.max(0, Math.floor(share[place] * shape[axis])));
      });
      this.draw();
    }

    scroll(step) {
      const size = this.case.frame.shape[this.active];
      this.at[this.active] = Math.min(size - 1, Math.max(0, this.at[this.active] + step));
      this.draw();
    }

    setWindow(level, width) {
      Object.assign(this.settings, { level: Math.min(255, Math.max(0, level)), width: Math.min(512, Math.max(2, width)) });
      this.draw();
    }

    reset() {
      Object.assign(this.settings, { overlay: true, opacity: 0.45 });
      this.setWindow(128, 256);
    }

    /* Do what a key stands for and return whether it stands for something. */
    key(event) {
      if (!this.case || event.ctrlKey || event.metaKey || event.altKey) return false;
      const { settings } = this, planes = this.planes;
      const actions = {
        ArrowUp: () => this.scroll(-1), ArrowDown: () => this.scroll(1),
        PageUp: () => this.scroll(-5), PageDown: () => this.scroll(5),
        p: () => { this.active = planes[(planes.indexOf(this.active) + 1) % planes.length]; this.draw(); },
        o: () => { settings.overlay = !settings.overlay; this.draw(); },
        x: () => { settings.cross = !settings.cross; this.draw(); },
        "+": () => { settings.opacity = Math.min(1, settings.opacity + 0.1); this.draw(); },
        "-": () => { settings.opacity = Math.max(0, settings.opacity - 0.1); this.draw(); },
        ",": () => this.setWindow(settings.level - 8, settings.width), ".": () => this.setWindow(settings.level + 8, settings.width),
        "[": () => this.setWindow(settings.level, settings.width - 16), "]": () => this.setWindow(settings.level, settings.width + 16),
        r: () => this.reset(),
      };
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (action) action();
      return Boolean(action);
    }

    draw() {
      if (!this.case || this.drawing) return;
      this.drawing = true;
      requestAnimationFrame(() => {
        this.drawing = false;
        this.inputs.overlay.checked = this.settings.overlay;
        this.inputs.cross.checked = this.settings.cross;
        for (const name of ["opacity", "level", "width"]) this.inputs[name].value = this.settings[name];
        for (const cell of this.cells) this._paint(cell);
      });
    }

    _paint(cell) {
      const { panel, axis, canvas, caption } = cell;
      const size = this.case.frame.shape[axis];
      const number = this.planes.length > 1 || size > 1 ? `${"zyx"[axis]} ${this.at[axis] + 1}/${size}` : "";
      caption.textContent = [panel.title, number].filter(Boolean).join(" · ");
      canvas.classList.toggle("active", axis === this.active && this.planes.length > 1);
      const context = canvas.getContext("2d");
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.fillStyle = "#000";
      context.fillRect(0, 0, canvas.width, canvas.height);
      // The z axis points up, as it does in a patient who stands.
      if (axis !== 0) context.setTransform(1, 0, 0, -1, 0, canvas.height);
      const place = (this.at[axis] + 0.5) * this.case.frame.spacing[axis], pixel = this.scale * cell.ratio;
      const slice = (index) => sliceAt(this.case.volumes[index], this.voxels[index], axis, place, pixel);
      const { overlay, opacity, level, width } = this.settings, { labels } = this.case;
      const image = panel.image === null ? null : slice(panel.image);
      if (image) paintImage(context, image, level, width);
      for (const each of overlay ? panel.overlays : []) {
        const found = slice(each.volume);
        if (found && each.style === "fill") fillLabels(context, found, labels, opacity);
        else if (found) strokeLabels(context, found, labels, 1.6 * cell.ratio);
      }
      if (this.settings.cross && this.planes.length > 1) this._paintCross(cell, context);
    }

    _paintCross(cell, context) {
      const { shape, spacing } = this.case.frame, pixel = this.scale * cell.ratio;
      const [row, column] = axesOf(cell.axis);
      const [y, x] = [row, column].map((axis) => (this.at[axis] + 0.5) * spacing[axis] * pixel);
      context.strokeStyle = "rgba(255, 255, 255, .35)";
      context.lineWidth = cell.ratio;
      context.setLineDash([4 * cell.ratio, 4 * cell.ratio]);
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(shape[column] * spacing[column] * pixel, y);
      context.moveTo(x, 0);
      context.lineTo(x, shape[row] * spacing[row] * pixel);
      context.stroke();
      context.setLineDash([]);
    }
  }

  /* Let buttons with `data-case` open that case of the page's in a dialog. */
  function openFromButtons(dialog, cases) {
    const viewer = new Viewer(dialog.querySelector(".here"), { height: () => dialog.clientHeight - 190 });
    const title = dialog.querySelector("h2");
    let index = 0;
    const show = (number) => {
      index = (number + cases.length) % cases.length;
      title.textContent = cases[index].name;
      return viewer.show(cases[index]);
    };
    const open = (name) => {
      const found = cases.findIndex((each) => each.name === name);
      if (found < 0) return;
      dialog.showModal();
      show(found);
    };
    document.addEventListener("click", (event) => { // buttons may stand before or after this program
      const button = event.target.closest("[data-case]");
      if (button) open(button.dataset.case);
    });
    dialog.querySelector(".before").addEventListener("click", () => show(index - 1));
    dialog.querySelector(".after").addEventListener("click", () => show(index + 1));
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const slides = event.target.type === "range";
      if (event.key === "ArrowLeft" && !slides) show(index - 1);
      else if (event.key === "ArrowRight" && !slides) show(index + 1);
      else if (!viewer.key(event)) return;
      event.preventDefault();
    });
    return viewer;
  }

  return { Viewer, element, openFromButtons, voxelsOf, volumesOf };
})();
