// Several graphs of one clip on one fixed layout (vis-network). The α slider filters here, in the browser, while it
// moves; what was chosen goes to Python when the hand lets go. Names are hostile text: only textContent, no tooltips.

const EXTENT = 1000; // node positions arrive in [-EXTENT, EXTENT]
const ROOM = 1.16; // a fitted graph leaves this much room around itself
const views = new Map(); // what each clip's user looked at: survives reruns and page changes
const mounted = new WeakMap();
let vis;

export function show(component) {
  const root = component.parentElement.querySelector(".graphs");
  root.gone = false;
  vis ??= script(component.data.vis);
  vis.then(
    () => {
      if (root.gone) return;
      if (!mounted.has(root)) mounted.set(root, new Graphs(root));
      const graphs = mounted.get(root);
      graphs.setStateValue = component.setStateValue;
      graphs.receive(component.data);
    },
    () => root.replaceChildren(element("p", "failed", "The drawing library could not be loaded; the tables below hold the same numbers.")),
  );
}

export function leave(parent) {
  const root = parent.querySelector(".graphs");
  if (!root) return;
  root.gone = true;
  mounted.get(root)?.destroy();
  mounted.delete(root);
}

function script(address) {
  if (window.vis?.Network) return Promise.resolve();
  return new Promise((done, failed) => {
    const tag = document.createElement("script");
    tag.src = new URL(address, document.baseURI).href;
    tag.onload = done;
    tag.onerror = failed;
    document.head.appendChild(tag);
  });
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(label, title, action) {
  const made = element("button", "", label);
  made.type = "button";
  made.setAttribute("aria-label", title);
  made.title = title;
  made.onclick = action;
  return made;
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const mix = (from, to, share) => {
  const [a, b] = [rgb(from), rgb(to)];
  return "#" + a.map((v, i) => Math.round(v + (b[i] - v) * share).toString(16).padStart(2, "0")).join("");
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const pair = (i, j) => (i < j ? `e${i}-${j}` : `e${j}-${i}`);

class Graphs {
  constructor(root) {
    this.root = root;
    this.panels = [];
    this.pick = "";
    this.hover = "";
    this.alpha = 0;
    this.base = {};
    this.sent = { alpha: [], pick: [] };
    this.frame();
    this.root.addEventListener("transitionrun", () => this.dress()); // the page's colours changed: another theme
    this.width = new ResizeObserver(() => this.arrange());
    this.width.observe(root);
  }

  frame() {
    const bar = element("div", "bar");
    const label = element("label", "alpha");
    const words = element("span", "words", "α");
    words.append(element("span", "long", "keep connections of at least"));
    label.append(words);
    this.slider = element("input");
    this.slider.type = "range";
    this.slider.setAttribute("aria-label", "alpha: keep connections of at least this strength");
    this.value = element("output");
    label.append(this.slider, this.value);
    this.slider.oninput = () => this.slide(Number(this.slider.value));
    this.slider.onpointerdown = () => (this.dragging = true);
    this.slider.onkeydown = () => (this.typed = true);
    this.slider.onchange = () => {
      this.dragging = false;
      clearTimeout(this.settle);
      const wait = this.typed ? 150 : 0; // a held arrow key is one change, not thirty
      this.typed = false;
      this.settle = setTimeout(() => this.tell("alpha", this.alpha), wait);
    };
    this.total = element("span", "total");
    const zoom = element("span", "group");
    zoom.append(
      button("−", "Zoom out", () => this.zoom(1 / 1.3)),
      button("+", "Zoom in", () => this.zoom(1.3)),
      button("Fit", "Show the whole graph", () => this.zoom(0)),
    );
    const save = element("span", "group");
    save.append(
      button("PNG", "Save the graphs as a PNG picture", () => this.savePicture()),
      button("SVG", "Save the graphs as an SVG picture", () => this.saveDrawing()),
    );
    bar.append(label, this.total, element("span", "grow"), zoom, save);
    this.grid = element("div", "panels");
    this.readout = element("div", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.legend = element("div", "legend");
    this.root.replaceChildren(bar, this.grid, this.readout, this.legend);
  }

  destroy() {
    this.width.disconnect();
    clearTimeout(this.settle);
    for (const panel of this.panels) panel.net.destroy();
  }

  // ---- what Python sends, and what it is told ----

  receive(data) {
    const shape = JSON.stringify([data.key, data.panels.map((panel) => panel.id), data.nodes.length]);
    this.data = data;
    this.look = views.get(data.key) ?? { scale: 1, x: 0, y: 0, solo: null };
    views.set(data.key, this.look);
    const { low, high, step } = data.alpha;
    Object.assign(this.slider, { min: low, max: high, step });
    this.adopt("alpha", data.alpha.value);
    this.adopt("pick", data.pick);
    if (shape !== this.shape) this.build();
    this.shape = shape;
    this.data.panels.forEach((spec, at) => this.fill(this.panels[at], spec));
    this.dress();
    this.arrange();
    this.slide(this.alpha);
  }

  adopt(name, incoming) {
    // Python's value wins unless it is an echo of ours, or an answer to an older run while ours is under way.
    const now = performance.now();
    this.sent[name] = this.sent[name].filter((entry) => now - entry.at < 5000);
    const echo = this.sent[name].findIndex((entry) => entry.value === incoming);
    const stale = echo < 0 && incoming === this.base[name];
    this.base[name] = incoming;
    if (echo >= 0) this.sent[name].splice(0, echo + 1);
    else if (!stale) this.sent[name] = [];
    const ours = this.sent[name].length || (name === "alpha" && this.dragging);
    if (!stale && !ours) this[name] = incoming;
  }

  tell(name, value) {
    const waiting = this.sent[name].at(-1);
    if (waiting ? waiting.value === value : this.base[name] === value) return;
    this.sent[name].push({ value, at: performance.now() });
    this.setStateValue(name, value);
  }

  choose(pick, wait = 0) {
    this.pick = pick === this.pick && !wait ? "" : pick;
    this.redraw();
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.tell("pick", this.pick), wait);
  }

  // ---- panels ----

  build() {
    for (const panel of this.panels) panel.net.destroy();
    this.grid.replaceChildren();
    this.panels = this.data.panels.map((spec) => {
      const box = element("figure", "panel");
      const caption = element("figcaption");
      const name = element("span", "name");
      const count = element("span", "count");
      const larger = button("⤢", "Show this graph alone", () => {
        this.look.solo = this.look.solo === spec.id ? null : spec.id;
        this.arrange();
      });
      const words = element("div", "words");
      words.append(name, count);
      caption.append(words, larger);
      const stage = element("div", "stage");
      stage.tabIndex = 0;
      stage.setAttribute("role", "application");
      const strip = element("canvas", "strip");
      strip.setAttribute("aria-hidden", "true");
      const under = element("div", "under");
      under.append(element("span"), element("span"));
      box.append(caption, stage, strip, under);
      this.grid.append(box);
      const nodes = new window.vis.DataSet();
      const edges = new window.vis.DataSet();
      const net = new window.vis.Network(stage, { nodes, edges }, this.data.options);
      stage.querySelector(".vis-network").tabIndex = -1; // the stage itself takes the keyboard
      const panel = { id: spec.id, spec, box, name, count, larger, stage, strip, under, nodes, edges, net, shown: [], links: [] };
      net.on("zoom", () => this.follow(panel));
      net.on("dragging", () => this.follow(panel));
      net.on("resize", () => this.place(panel));
      net.on("click", ({ pointer }) => {
        const node = net.getNodeAt(pointer.DOM);
        const edge = node === undefined ? net.getEdgeAt(pointer.DOM) : undefined;
        const link = edge === undefined ? null : panel.links[edge];
        this.choose(node !== undefined ? `n${node}` : link ? pair(link[0], link[1]) : "");
      });
      net.on("afterDrawing", (context) => this.mark(panel, context));
      stage.onpointermove = (event) => this.point(panel, event);
      stage.onpointerleave = () => this.setHover("");
      stage.onkeydown = (event) => this.key(panel, event);
      stage.onfocus = () => net.setOptions({ interaction: { zoomView: true } }); // else the wheel scrolls the page
      stage.onblur = () => net.setOptions({ interaction: { zoomView: false } });
      strip.onpointermove = (event) => this.setHover(`n${this.barAt(strip, event)}`);
      strip.onpointerleave = () => this.setHover("");
      strip.onclick = (event) => this.choose(`n${this.barAt(strip, event)}`);
      return panel;
    });
  }

  fill(panel, spec) {
    panel.spec = spec;
    panel.name.textContent = spec.title;
    panel.name.title = spec.title;
    panel.levels = spec.levels ? Uint8Array.from(atob(spec.levels), (char) => char.charCodeAt(0)) : null;
    panel.fresh = panel.digest !== spec.digest;
    panel.digest = spec.digest;
    panel.links = spec.edges; // [i, j, level, strength], weak first, so that strong ones lie on top
  }

  dress() {
    if (!this.data) return;
    const style = getComputedStyle(this.root);
    const page = style.getPropertyValue("--st-background-color").trim() || "#FFFFFF";
    const dark = /^#[0-9a-f]{6}$/i.test(page) && rgb(page).reduce((sum, part) => sum + part, 0) < 380;
    const colours = this.data.colours[dark ? "dark" : "light"];
    const looks = JSON.stringify([dark, this.data.nodes, this.data.anomalous]);
    const changed = looks !== this.looks;
    this.looks = looks;
    this.colours = colours;
    for (const panel of this.panels) {
      if (changed) {
        const nodes = this.data.nodes.map((node) => {
          const colour = this.data.anomalous[node.id] ? colours.anomaly : colours.normal;
          return { ...node, label: undefined, color: { background: colour, border: colours.page }, borderWidth: 2 };
        });
        panel.nodes.update(nodes);
      }
      if (changed || panel.fresh) {
        panel.edges.clear();
        panel.shown = new Uint8Array(panel.links.length);
        panel.edges.add(
          panel.links.map((link, id) => ({ id, from: link[0], to: link[1], hidden: true, ...this.stroke(panel, link) })),
        );
        panel.fresh = false;
      }
    }
    if (changed) this.drawLegend();
    this.slide(this.alpha);
  }

  stroke(panel, [i, j, , strength]) {
    const { low, high } = panel.spec;
    const { page } = this.colours;
    if (panel.spec.kind === "difference") {
      const share = clamp(Math.abs(strength) / (high || 1), 0, 1);
      const end = strength < 0 ? this.colours.weaker : this.colours.stronger;
      return { color: { color: mix(page, end, 0.18 + 0.82 * share), inherit: false }, width: this.thick(share) };
    }
    const share = clamp((strength - low) / (high - low || 1), 0, 1);
    const end = this.data.anomalous[i] || this.data.anomalous[j] ? this.colours.anomaly : this.colours.edge;
    return { color: { color: mix(page, end, 0.15 + 0.85 * share), inherit: false }, width: this.thick(share) };
  }

  thick(share) {
    return this.data.radius * (0.03 + 0.17 * share * share);
  }

  arrange() {
    if (!this.data || !this.panels.length) return;
    const width = this.root.clientWidth;
    if (!width) return;
    const solo = this.panels.some((panel) => panel.id === this.look.solo) ? this.look.solo : null;
    const many = this.panels.length;
    const columns = solo ? 1 : width >= 230 * many + 10 * (many - 1) ? many : width >= 480 ? 2 : 1;
    const each = (width - 10 * (columns - 1)) / columns;
    this.root.style.setProperty("--columns", columns);
    this.root.style.setProperty("--stage", `${Math.round(clamp(each * (solo ? 0.55 : 0.96), 220, solo ? 620 : 440))}px`);
    for (const panel of this.panels) {
      panel.box.hidden = solo !== null && panel.id !== solo;
      panel.larger.textContent = solo ? "⤡" : "⤢";
      panel.larger.setAttribute("aria-label", solo ? "Show all graphs" : `Show ${panel.spec.title} alone`);
      panel.larger.title = solo ? "Show all graphs" : "Show this graph alone";
    }
    requestAnimationFrame(() => {
      for (const panel of this.panels) this.place(panel);
      this.redraw();
    });
  }

  fitted(panel) {
    return Math.min(panel.stage.clientWidth, panel.stage.clientHeight) / (2 * EXTENT * ROOM);
  }

  place(panel) {
    if (!panel.stage.clientWidth) return;
    const { scale, x, y } = this.look;
    panel.net.moveTo({ position: { x, y }, scale: scale * this.fitted(panel), animation: false });
  }

  follow(panel) {
    const { x, y } = panel.net.getViewPosition();
    Object.assign(this.look, { x, y, scale: panel.net.getScale() / this.fitted(panel) });
    for (const other of this.panels) if (other !== panel) this.place(other);
  }

  zoom(factor) {
    if (factor) this.look.scale = clamp(this.look.scale * factor, 0.3, 20);
    else Object.assign(this.look, { scale: 1, x: 0, y: 0 });
    for (const panel of this.panels) this.place(panel);
  }

  // ---- α ----

  slide(alpha) {
    this.alpha = alpha;
    if (Number(this.slider.value) !== alpha) this.slider.value = alpha;
    this.value.textContent = alpha.toFixed(2);
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.filter();
    });
  }

  get step() {
    return Math.round((this.alpha - this.data.alpha.low) / this.data.alpha.step);
  }

  filter() {
    const step = this.step;
    let drawn = 0;
    let kept = 0;
    let known = true;
    for (const panel of this.panels) {
      const changes = [];
      let visible = 0;
      panel.links.forEach((link, id) => {
        const show = link[2] > step ? 1 : 0;
        visible += show;
        if (show !== panel.shown[id]) changes.push({ id, hidden: !show });
        panel.shown[id] = show;
      });
      if (changes.length) panel.edges.update(changes);
      panel.drawn = visible;
      drawn += visible;
      if (panel.spec.kind === "graph") {
        panel.kept = panel.spec.counts[step];
        kept += panel.kept;
        panel.degrees = this.degrees(panel, step);
        known &&= panel.degrees !== null;
      }
    }
    for (const panel of this.panels) {
      if (panel.spec.kind === "graph") panel.count.textContent = `${panel.kept} ≥ α · ${panel.drawn} drawn`;
      else {
        panel.count.textContent = `${panel.drawn} drawn`;
        panel.degrees = known ? this.change(panel.spec) : null;
      }
      panel.stage.setAttribute(
        "aria-label",
        `${panel.spec.title}: ${this.data.nodes.length} units, ${panel.drawn} connections drawn at alpha ${this.alpha.toFixed(2)}. ` +
          "Left and right walk through the units, up and down through a unit's connections, enter goes to the other end, " +
          "plus and minus zoom, escape lets go.",
      );
    }
    const pairs = (this.data.nodes.length * (this.data.nodes.length - 1)) / 2;
    const graphs = this.panels.filter((panel) => panel.spec.kind === "graph").length;
    this.total.textContent = `${drawn} drawn · ${kept} of ${pairs * graphs} connections ≥ α`;
    this.redraw();
  }

  degrees(panel, step) {
    const n = this.data.nodes.length;
    if (!panel.levels) return panel.spec.degrees;
    const degrees = new Int32Array(n);
    let at = 0;
    for (let i = 0; i < n; i++)
      for (let j = i + 1; j < n; j++)
        if (panel.levels[at++] > step) {
          degrees[i]++;
          degrees[j]++;
        }
    return degrees;
  }

  change(spec) {
    const of = (id) => this.panels.find((panel) => panel.id === id).degrees;
    const plus = of(spec.plus);
    const minus = spec.minus.map(of);
    return Array.from(plus, (value, i) => value - minus.reduce((sum, row) => sum + row[i], 0) / minus.length);
  }

  // ---- what is pointed at and what is picked, in every panel at once ----

  point(panel, event) {
    const box = panel.stage.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    const node = panel.net.getNodeAt(at);
    const edge = node === undefined && !event.buttons ? panel.net.getEdgeAt(at) : undefined;
    const link = edge === undefined ? null : panel.links[edge];
    panel.stage.classList.toggle("over", node !== undefined || Boolean(link));
    this.setHover(node !== undefined ? `n${node}` : link ? pair(link[0], link[1]) : "");
  }

  setHover(hover) {
    if (hover === this.hover) return;
    this.hover = hover;
    this.redraw();
  }

  barAt(strip, event) {
    const n = this.data.nodes.length;
    return clamp(Math.floor((event.offsetX / strip.clientWidth) * n), 0, n - 1);
  }

  ends(pick) {
    return pick ? pick.slice(1).split("-").map(Number) : [];
  }

  redraw() {
    for (const panel of this.panels) {
      if (panel.box.hidden) continue;
      panel.net.redraw();
      this.drawStrip(panel);
    }
    this.tellReadout();
  }

  mark(panel, context) {
    const { nodes, radius } = this.data;
    const scale = panel.net.getScale();
    const touches = (pick, link) =>
      pick[0] === "n" ? `n${link[0]}` === pick || `n${link[1]}` === pick : pick === pair(link[0], link[1]);
    const marks = [this.pick, this.hover === this.pick ? "" : this.hover].filter(Boolean);
    context.save();
    for (const pick of marks) {
      context.strokeStyle = this.colours.selected;
      context.globalAlpha = pick === this.pick ? 0.9 : 0.5;
      const line = (a, b, width) => {
        context.lineWidth = width;
        context.beginPath();
        context.moveTo(a.x, a.y);
        context.lineTo(b.x, b.y);
        context.stroke();
      };
      let found = pick[0] === "n";
      panel.links.forEach((link, id) => {
        if (!panel.shown[id] || !touches(pick, link)) return;
        found = true;
        line(nodes[link[0]], nodes[link[1]], Math.max(this.stroke(panel, link).width, 1.2 / scale) + 0.6 / scale);
      });
      const [a, b] = this.ends(pick).map((end) => nodes[end]);
      if (!found && a && b) {
        context.setLineDash([5 / scale, 4 / scale]); // picked, but below α or no candidate here
        line(a, b, 1.2 / scale);
        context.setLineDash([]);
      }
    }
    context.globalAlpha = 1;
    if (marks.length) for (const node of nodes) this.drawNode(context, node); // back on top of the marked lines
    for (const pick of marks)
      for (const at of this.ends(pick)) {
        const node = nodes[at];
        if (!node) continue;
        context.strokeStyle = this.colours.selected;
        context.lineWidth = (pick === this.pick ? 3 : 2) / scale;
        context.beginPath();
        context.arc(node.x, node.y, node.size * (node.shape === "diamond" ? 1.25 : 1.12) + 2 / scale, 0, 2 * Math.PI);
        context.stroke();
      }
    if (radius * scale >= 6) {
      context.fillStyle = this.colours.page;
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (const node of nodes) {
        context.font = `600 ${Math.min(node.size * 0.95, radius)}px sans-serif`;
        context.fillText(node.label, node.x, node.y + radius * 0.05);
      }
    }
    context.restore();
  }

  drawNode(context, node) {
    context.fillStyle = this.data.anomalous[node.id] ? this.colours.anomaly : this.colours.normal;
    context.beginPath();
    if (node.shape === "diamond") {
      const r = node.size;
      context.moveTo(node.x, node.y - r);
      context.lineTo(node.x + r, node.y);
      context.lineTo(node.x, node.y + r);
      context.lineTo(node.x - r, node.y);
      context.closePath();
    } else context.arc(node.x, node.y, node.size, 0, 2 * Math.PI);
    context.fill();
  }

  drawStrip(panel) {
    const { strip, degrees, under } = panel;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [strip.clientWidth, strip.clientHeight];
    if (!width) return;
    strip.width = Math.round(width * ratio);
    strip.height = Math.round(height * ratio);
    const context = strip.getContext("2d");
    context.scale(ratio, ratio);
    const signed = panel.spec.kind === "difference";
    const n = this.data.nodes.length;
    const top = Math.max(1, signed ? Math.max(...(degrees ?? [0]).map(Math.abs)) : n - 1);
    const zero = signed ? height / 2 : height - 1;
    const room = (signed ? height / 2 : height) - 8;
    const marked = new Set([...this.ends(this.pick), ...this.ends(this.hover)]);
    context.fillStyle = this.colours.grid;
    context.fillRect(6, zero, width - 12, 1);
    const each = (width - 12) / n;
    for (let i = 0; degrees && i < n; i++) {
      const value = degrees[i];
      const tall = (Math.abs(value) / top) * room;
      const colour = signed
        ? value < 0 ? this.colours.weaker : this.colours.stronger
        : this.data.anomalous[i] ? this.colours.anomaly : this.colours.normal;
      context.fillStyle = marked.has(i) ? this.colours.selected : colour;
      const y = value < 0 ? zero : zero - tall;
      const x = 6 + i * each;
      const wide = Math.max(each - (each > 4 ? 1.5 : 0), 0.8);
      context.fillRect(x, y, wide, Math.max(tall, 1));
      if (this.data.anomalous[i] && each > 3) {
        const [cx, cy, r] = [x + wide / 2, (value < 0 ? zero - 4 : y - 4), Math.min(3, each / 2)];
        context.fillStyle = this.colours.anomaly;
        context.beginPath();
        context.moveTo(cx, cy - r);
        context.lineTo(cx + r, cy);
        context.lineTo(cx, cy + r);
        context.lineTo(cx - r, cy);
        context.fill();
      }
    }
    const [left, right] = under.children;
    left.textContent = signed ? "change of degree, by unit in time" : "degree, by unit in time";
    right.textContent = degrees ? (signed ? `±${top.toFixed(top < 10 ? 1 : 0)}` : `0 to ${top}`) : "after release";
  }

  tellReadout() {
    const pick = this.hover || this.pick;
    this.readout.classList.toggle("empty", !pick);
    const ends = this.ends(pick);
    if (!pick || ends.some((end) => !this.data.names[end])) {
      this.readout.textContent = "Point at a unit or a connection; click to look into it. Click a graph, then wheel to zoom, arrow keys to walk.";
      return;
    }
    const graphs = this.panels.filter((panel) => panel.spec.kind === "graph");
    if (pick[0] === "n") {
      const parts = graphs.map((panel) => (panel.degrees ? `${panel.spec.title} ${panel.degrees[ends[0]]}` : "")).filter(Boolean);
      this.readout.textContent = `${this.data.names[ends[0]]} · connections ≥ α: ${parts.join(", ")}`;
      return;
    }
    const parts = this.panels.map((panel) => {
      const link = panel.links.find((one) => pair(one[0], one[1]) === pick);
      const strength = link ? link[3] : this.roughly(panel, ...ends);
      return strength === null ? "" : `${panel.spec.title} ${strength.toFixed(2).replace("-", "−")}`;
    });
    this.readout.textContent = `Connection ${ends.map((end) => this.data.nodes[end].label).join(" – ")} · ${this.data.word}${parts.filter(Boolean).join(", ")}`;
  }

  roughly(panel, i, j) {
    // a pair that is no candidate was sent as its α level alone: good to two digits, from 0 up
    if (!panel.levels) return null;
    const level = panel.levels[i * this.data.nodes.length - (i * (i + 1)) / 2 + (j - i - 1)];
    return level ? this.data.alpha.low + (level - 1) * this.data.alpha.step : null;
  }

  key(panel, event) {
    const n = this.data.nodes.length;
    const ends = this.ends(this.pick);
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const climb = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (turn) {
      this.anchor = ends.length ? (ends[0] + turn + n) % n : turn > 0 ? 0 : n - 1;
      this.choose(`n${this.anchor}`, 150);
    } else if (climb) {
      const from = this.pick[0] === "n" ? ends[0] : this.anchor;
      if (from === undefined) return;
      const links = panel.links.filter((link, id) => panel.shown[id] && (link[0] === from || link[1] === from)).reverse();
      if (links.length) {
        const at = links.findIndex((link) => pair(link[0], link[1]) === this.pick);
        const next = links[(at + climb + links.length + (at < 0 && climb < 0 ? 1 : 0)) % links.length];
        this.anchor = from;
        this.choose(pair(next[0], next[1]), 150);
      }
    } else if (event.key === "Enter" && this.pick[0] === "e") {
      this.anchor = ends[0] === this.anchor ? ends[1] : ends[0];
      this.choose(`n${this.anchor}`, 150);
    } else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.zoom(0);
    else if (event.key === "Escape") this.choose("", 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- legend and pictures ----

  drawLegend() {
    const c = this.colours;
    const items = [
      [`<circle cx="8" cy="8" r="6" fill="${c.normal}"/>`, 16, "normal unit"],
      [`<path d="M8 1 L15 8 L8 15 L1 8Z" fill="${c.anomaly}"/>`, 16, "anomalous unit"],
      [
        `<path d="M1 8H14" stroke="${mix(c.page, c.edge, 0.25)}" stroke-width="1.5"/><path d="M16 8H29" stroke="${mix(c.page, c.edge, 0.6)}" stroke-width="2.5"/><path d="M31 8H44" stroke="${c.edge}" stroke-width="4"/>`,
        46,
        "connection, darker is stronger",
      ],
      [`<path d="M1 8H23" stroke="${c.anomaly}" stroke-width="3"/>`, 24, "connection of an anomalous unit"],
      [`<circle cx="8" cy="8" r="6" fill="none" stroke="${c.selected}" stroke-width="3"/>`, 16, "picked"],
    ];
    if (this.data.panels.some((panel) => panel.kind === "difference")) {
      items.push([`<path d="M1 8H19" stroke="${c.weaker}" stroke-width="3"/>`, 20, "weaker after fusion"]);
      items.push([`<path d="M1 8H19" stroke="${c.stronger}" stroke-width="3"/>`, 20, "stronger"]);
    }
    this.legend.replaceChildren(
      ...items.map(([shape, wide, text]) => {
        const item = element("span");
        item.innerHTML = `<svg width="${wide}" height="16" viewBox="0 0 ${wide} 16" aria-hidden="true">${shape}</svg>`; // our own text only
        item.append(text);
        return item;
      }),
    );
  }

  svg() {
    const space = "http://www.w3.org/2000/svg";
    const panels = this.panels.filter((panel) => !panel.box.hidden);
    const [side, head, gap] = [2 * EXTENT * ROOM, 260, 120];
    const width = panels.length * (side + gap) - gap;
    const make = (parent, tag, attributes, text) => {
      const made = document.createElementNS(space, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      if (text !== undefined) made.textContent = text;
      parent.append(made);
      return made;
    };
    const root = document.createElementNS(space, "svg");
    root.setAttribute("xmlns", space);
    root.setAttribute("viewBox", `0 0 ${width} ${side + head}`);
    root.setAttribute("width", Math.round(width / 6));
    root.setAttribute("height", Math.round((side + head) / 6));
    root.setAttribute("font-family", "sans-serif");
    make(root, "rect", { width, height: side + head, fill: this.colours.page });
    panels.forEach((panel, at) => {
      const left = at * (side + gap);
      make(root, "text", { x: left + 40, y: 110, "font-size": 84, "font-weight": 600, fill: this.colours.ink }, panel.spec.title);
      make(root, "text", { x: left + 40, y: 210, "font-size": 66, fill: this.colours.quiet }, `α ${this.alpha.toFixed(2)} · ${panel.count.textContent}`);
      const body = make(root, "g", { transform: `translate(${left + side / 2} ${head + side / 2})` });
      panel.links.forEach((link, id) => {
        if (!panel.shown[id]) return;
        const [a, b] = [this.data.nodes[link[0]], this.data.nodes[link[1]]];
        const { color, width: thick } = this.stroke(panel, link);
        make(body, "line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, stroke: color.color, "stroke-width": Math.max(thick, 3) });
      });
      for (const node of this.data.nodes) {
        const fill = this.data.anomalous[node.id] ? this.colours.anomaly : this.colours.normal;
        const r = node.size;
        if (node.shape === "diamond") make(body, "path", { d: `M${node.x} ${node.y - r}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`, fill });
        else make(body, "circle", { cx: node.x, cy: node.y, r, fill });
        if (this.pick && this.ends(this.pick).includes(node.id))
          make(body, "circle", { cx: node.x, cy: node.y, r: r * 1.3, fill: "none", stroke: this.colours.selected, "stroke-width": 14 });
        const size = Math.min(r * 0.95, this.data.radius);
        make(body, "text", { x: node.x, y: node.y + size * 0.36, "font-size": size, "font-weight": 600, "text-anchor": "middle", fill: this.colours.page }, node.label);
      }
    });
    return new XMLSerializer().serializeToString(root);
  }

  save(blob, ending) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${this.data.file}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  saveDrawing() {
    this.save(new Blob([this.svg()], { type: "image/svg+xml" }), "svg");
  }

  savePicture() {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width * 2, image.height * 2];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => this.save(blob, "png"), "image/png");
      URL.revokeObjectURL(image.src);
    };
    image.src = URL.createObjectURL(new Blob([this.svg()], { type: "image/svg+xml" }));
  }
}
