// A clip's video and its score timeline, in step. Loaded by app/widgets/video.py, which documents `data`.
// Nothing here parses text as HTML: names reach the page through textContent and canvas text only.

const PAD = { left: 40, right: 14, top: 8, bottom: 18 };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const clock = (t) => `${Math.floor(t / 60)}:${(t % 60).toFixed(2).padStart(5, "0")}`;

// Streamlit leaves and enters again with every rerun: only who does not come back is closed, so a video plays on.
export default function (component) {
  const root = component.parentElement;
  clearTimeout(root.leaving);
  root.player ??= new Player(root);
  root.player.update(component);
  return () => {
    clearTimeout(root.leaving);
    root.leaving = setTimeout(() => {
      root.player?.close();
      root.player = undefined;
    }, 300);
  };
}

class Player {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    [this.frame, this.video, this.bar, this.seek, this.canvas, this.level, this.readout, this.rate, this.toggle] = [
      "player", "video", "bar", "seek", "canvas", "level", "readout", "rate", "toggle",
    ].map(find);
    this.pen = this.canvas.getContext("2d");
    this.time = 0;
    this.hover = null;
    this.drag = null;
    this.stop = new AbortController();
    const on = (target, events, act) =>
      events.split(" ").forEach((event) => target.addEventListener(event, act, { signal: this.stop.signal }));

    on(this.video, "play", () => this.run());
    on(this.video, "pause ended", () => (this.label(), this.tell(0)));
    on(this.video, "seeked loadedmetadata timeupdate", () => this.follow());
    on(this.video, "error", () => this.fallback());
    on(this.video, "click", () => this.play());
    on(this.toggle, "click", () => this.play());
    on(find("back"), "click", () => this.step(-1));
    on(find("next"), "click", () => this.step(1));
    on(find("peak"), "click", () => this.go(this.data.peak * this.data.seconds));
    on(this.rate, "change", () => (this.video.playbackRate = Number(this.rate.value)));
    on(this.seek, "keydown", (event) => this.key(event));
    on(this.seek, "pointerdown", (event) => this.grab(event));
    on(this.seek, "pointermove", (event) => this.move(event));
    on(this.seek, "pointerup pointercancel", () => (this.drag = null));
    on(this.seek, "pointerleave", () => ((this.hover = null), this.draw()));
    on(this.level, "keydown", (event) => this.levelKey(event));
    on(this.level, "pointerdown", (event) => {
      event.preventDefault();
      this.level.focus();
      this.level.setPointerCapture(event.pointerId);
      this.dragging = true;
    });
    on(this.level, "pointermove", (event) => this.dragging && this.setLevel(this.scoreAt(event.clientY)));
    on(this.level, "pointerup pointercancel", () => this.dragging && ((this.dragging = false), this.tellLevel()));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
  }

  // A rerun of the page: the video keeps playing unless Python asks for another clip or another moment.
  update({ data, setStateValue }) {
    const first = !this.data || this.data.clip !== data.clip;
    this.setState = setStateValue;
    const asked = first || data.time !== this.data.time;
    if (!this.dragging) this.threshold = data.threshold;
    this.data = data;
    this.frame.style.setProperty("--anomaly", data.colours.anomaly);
    this.frame.style.setProperty("--selected", data.colours.selected);
    const source = data.source ? new URL("." + data.source, document.baseURI).href : "";
    this.bar.hidden = false;
    if (first || this.source !== source) {
      this.source = source;
      this.frame.classList.toggle("silent", !source);
      if (source) {
        this.video.src = source;
        this.video.playbackRate = Number(this.rate.value);
      } else {
        this.video.removeAttribute("src");
      }
      this.video.setAttribute("aria-label", data.label);
    }
    if (first) this.time = 0;
    if (asked && data.time !== null && data.time !== this.sent) this.place(data.time);
    this.seek.setAttribute("aria-label", `timeline of ${data.label}`);
    this.seek.setAttribute("aria-valuemax", data.duration.toFixed(2));
    this.label();
    this.draw();
  }

  close() {
    this.stop.abort();
    this.watch.disconnect();
    cancelAnimationFrame(this.loop);
    clearTimeout(this.later);
    clearTimeout(this.levelLater);
    this.video.pause();
  }

  fallback() {
    if (!this.source) return;
    this.frame.classList.add("silent");
    this.source = "";
  }

  get playable() {
    return Boolean(this.source);
  }

  play() {
    if (!this.playable) return;
    if (this.video.paused) this.video.play().catch(() => this.fallback());
    else this.video.pause();
  }

  run() {
    cancelAnimationFrame(this.loop);
    const tick = () => {
      if (this.video.paused) return;
      this.time = this.video.currentTime;
      this.draw();
      this.loop = requestAnimationFrame(tick);
    };
    tick();
    this.label();
  }

  follow() {
    if (!this.playable || this.pending) return;
    this.time = this.video.currentTime;
    this.draw();
  }

  place(time) {
    this.time = clamp(time, 0, this.data.duration);
    if (this.playable) this.video.currentTime = this.time;
    this.draw();
  }

  go(time) {
    this.place(time);
    this.tell(150);
  }

  // Buttons and PageUp/PageDown: to the start of the next or the previous unit.
  step(by) {
    const unit = Math.floor(this.time / this.data.seconds + 1e-3);
    this.go(clamp(unit + by, 0, this.data.scores.length - 1) * this.data.seconds);
  }

  // Python hears where the play head stands once it rests, not at each frame.
  tell(wait) {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.sent = Math.round(this.time * 1000) / 1000;
      if (this.sent !== this.data.time) this.setState("time", this.sent);
    }, wait);
  }

  key(event) {
    const frame = this.data.seconds / this.data.frames_per_unit;
    const acts = {
      " ": () => this.play(),
      ArrowRight: () => this.go(this.time + frame),
      ArrowUp: () => this.go(this.time + frame),
      ArrowLeft: () => this.go(this.time - frame),
      ArrowDown: () => this.go(this.time - frame),
      PageUp: () => this.step(1),
      PageDown: () => this.step(-1),
      Home: () => this.go(0),
      End: () => this.go(this.data.duration),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  grab(event) {
    event.preventDefault();
    this.seek.focus();
    this.seek.setPointerCapture(event.pointerId);
    this.drag = event.pointerId;
    this.go(this.timeAt(event.clientX));
  }

  move(event) {
    this.hover = this.timeAt(event.clientX);
    if (this.drag !== null) this.go(this.hover);
    else this.draw();
  }

  levelKey(event) {
    const by = { ArrowUp: 0.001, ArrowRight: 0.001, ArrowDown: -0.001, ArrowLeft: -0.001, PageUp: 0.05, PageDown: -0.05 };
    const to = { Home: 0, End: 1 };
    if (!(event.key in by) && !(event.key in to)) return;
    event.preventDefault();
    event.stopPropagation();
    this.setLevel(event.key in to ? to[event.key] : this.threshold + by[event.key]);
    clearTimeout(this.levelLater);
    this.levelLater = setTimeout(() => this.tellLevel(), 250);
  }

  setLevel(value) {
    this.threshold = Math.round(clamp(value, 0, 1) * 1000) / 1000;
    this.draw();
  }

  tellLevel() {
    if (this.threshold !== this.data.threshold) this.setState("threshold", this.threshold);
  }

  label() {
    const playing = this.playable && !this.video.paused && !this.video.ended;
    this.toggle.textContent = playing ? "Pause" : "Play";
  }

  // Geometry, in CSS pixels.
  get inner() {
    return { width: this.canvas.clientWidth - PAD.left - PAD.right, height: this.canvas.clientHeight - PAD.top - PAD.bottom };
  }
  x(time) {
    return PAD.left + (time / this.data.duration) * this.inner.width;
  }
  y(score) {
    const [low, high] = this.data.span;
    return PAD.top + (1 - (clamp(score, low, high) - low) / (high - low)) * this.inner.height;
  }
  timeAt(clientX) {
    const left = this.canvas.getBoundingClientRect().left + PAD.left;
    return clamp(((clientX - left) / this.inner.width) * this.data.duration, 0, this.data.duration);
  }
  scoreAt(clientY) {
    const [low, high] = this.data.span;
    const top = this.canvas.getBoundingClientRect().top + PAD.top;
    return low + (1 - (clientY - top) / this.inner.height) * (high - low);
  }

  draw() {
    const { data, pen, canvas } = this;
    if (!data || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const look = getComputedStyle(this.frame);
    const ink = look.getPropertyValue("--st-text-color").trim() || "#1F2430";
    const { colours, span, scores, seconds, duration } = data;
    const bottom = height - PAD.bottom;
    const end = (i) => Math.min((i + 1) * seconds, duration);
    pen.font = `11px ${look.fontFamily}`;
    pen.lineWidth = 1;

    // grid and axes
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const value of [span[0], (span[0] + span[1]) / 2, span[1]]) {
      pen.strokeStyle = colours.grid;
      this.line([[PAD.left, this.y(value)], [width - PAD.right, this.y(value)]]);
      pen.fillStyle = colours.quiet;
      pen.fillText(value.toFixed(2), PAD.left - 6, this.y(value));
    }
    pen.textBaseline = "top";
    pen.textAlign = "center";
    const every = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((s) => (s / duration) * width > 60) || 3600;
    for (let t = 0; t <= duration + 1e-6; t += every) {
      pen.fillStyle = colours.quiet;
      pen.fillText(every < 1 ? `${t.toFixed(1)} s` : `${t} s`, clamp(this.x(t), PAD.left + 6, width - 18), bottom + 5);
    }

    // truth: purple, hatched, with a solid bar on the axis
    for (const [start, stop] of data.truth) {
      const [from, to] = [this.x(start), this.x(Math.min(stop, duration))];
      pen.fillStyle = this.hatch(colours.anomaly, ratio);
      pen.fillRect(from, PAD.top, to - from, bottom - PAD.top);
      pen.fillStyle = colours.anomaly;
      pen.fillRect(from, bottom - 1, to - from, 4);
    }

    // the unit under the play head
    const now = this.unit(this.time);
    pen.fillStyle = colours.selected + "33";
    pen.fillRect(this.x(now * seconds), PAD.top, this.x(end(now)) - this.x(now * seconds), bottom - PAD.top);

    // alarms: purple from the threshold up to the score
    pen.fillStyle = colours.anomaly + "80";
    pen.beginPath();
    scores.forEach((score, i) => {
      if (score >= this.threshold)
        pen.rect(this.x(i * seconds), this.y(score), this.x(end(i)) - this.x(i * seconds), this.y(this.threshold) - this.y(score));
    });
    pen.fill(); // one path: neighbours leave no seam

    if (data.other) this.steps(data.other, colours.normal, 1.5, [5, 3]);
    this.steps(scores, ink, 1.75, []);

    // threshold and play head
    pen.strokeStyle = ink;
    pen.setLineDash([2, 3]);
    this.line([[PAD.left, this.y(this.threshold)], [width - PAD.right, this.y(this.threshold)]]);
    pen.setLineDash([]);
    const x = this.x(this.time);
    pen.strokeStyle = pen.fillStyle = colours.selected;
    pen.lineWidth = 2;
    this.line([[x, PAD.top], [x, bottom]]);
    pen.beginPath();
    pen.moveTo(x - 6, 0);
    pen.lineTo(x + 6, 0);
    pen.lineTo(x, PAD.top + 1);
    pen.fill();
    if (this.hover !== null) {
      pen.strokeStyle = colours.quiet;
      pen.lineWidth = 1;
      this.line([[this.x(this.hover), PAD.top], [this.x(this.hover), bottom]]);
    }
    this.say();
  }

  line(points) {
    this.pen.beginPath();
    points.forEach(([x, y], i) => (i ? this.pen.lineTo(x, y) : this.pen.moveTo(x, y)));
    this.pen.stroke();
  }

  // A score belongs to a whole unit, so the line is a staircase.
  steps(scores, colour, width, dash) {
    this.pen.strokeStyle = colour;
    this.pen.lineWidth = width;
    this.pen.setLineDash(dash);
    const { seconds, duration } = this.data;
    this.line(scores.flatMap((s, i) => [[this.x(i * seconds), this.y(s)], [this.x(Math.min((i + 1) * seconds, duration)), this.y(s)]]));
    this.pen.setLineDash([]);
  }

  hatch(colour, ratio) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(7 * ratio);
    const pen = tile.getContext("2d");
    pen.fillStyle = colour + "1F";
    pen.fillRect(0, 0, tile.width, tile.height);
    pen.strokeStyle = colour + "66";
    pen.lineWidth = ratio;
    pen.beginPath();
    for (const shift of [-tile.width, 0, tile.width]) {
      pen.moveTo(shift, tile.height);
      pen.lineTo(shift + tile.width, 0);
    }
    pen.stroke();
    const pattern = this.pen.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / ratio));
    return pattern;
  }

  unit(time) {
    return clamp(Math.floor(time / this.data.seconds + 1e-3), 0, this.data.scores.length - 1);
  }

  words(time) {
    const { data } = this;
    const unit = this.unit(time);
    const truth = data.labels === null ? "" : data.labels[unit] ? " · truth: anomaly" : " · truth: normal";
    const other = data.other ? ` (other run ${data.other[unit].toFixed(3)})` : "";
    const alarm = data.scores[unit] >= this.threshold ? " · alarm" : "";
    return `${clock(time)} · unit ${unit} · score ${data.scores[unit].toFixed(3)}${other}${truth}${alarm}`;
  }

  // The line above the timeline speaks of where the mouse is; the slider, for who does not see it, of the play head.
  say() {
    const words = this.words(this.hover ?? this.time);
    if (this.readout.textContent !== words) this.readout.textContent = words;
    this.seek.setAttribute("aria-valuenow", this.time.toFixed(3));
    this.seek.setAttribute("aria-valuetext", this.words(this.time));
    this.level.setAttribute("aria-valuenow", this.threshold.toFixed(3));
    this.level.setAttribute("aria-valuetext", `alarm from score ${this.threshold.toFixed(3)}`);
    this.level.style.top = `${this.y(this.threshold)}px`;
    this.level.title = `Alarm threshold ${this.threshold.toFixed(3)}: drag, or use the arrow keys`;
  }
}
