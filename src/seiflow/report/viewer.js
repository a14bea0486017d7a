// Structures that can be turned: every element of class "viewer" holds a still picture and its data as JSON.
(() => {
  "use strict";

  const TURN = 0.01; // radians per pixel
  const STEP = Math.PI / 24; // radians per key
  const BOND = 0.13; // Å
  const HOP = 0.17; // Å
  const PARTS = 8; // of a hop, each sorted by its depth

  const times = (a, b) => {
    const c = new Array(9).fill(0);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return c;
  };
  const apply = (m, v) => [0, 3, 6].map((i) => m[i] * v[0] + m[i + 1] * v[1] + m[i + 2] * v[2]);
  const add = (a, b, share = 1) => a.map((x, i) => x + share * b[i]);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  // what is seen after the object was turned to the right by x and downwards by y
  const turned = (m, x, y) => {
    const [c, s, d, t] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
    return times([1, 0, 0, 0, d, -t, 0, t, d], times([c, 0, s, 0, 1, 0, -s, 0, c], m));
  };
  const mixed = (colour, other, share) => {
    const parts = [1, 3, 5].map((i) => {
      const [a, b] = [colour, other].map((text) => parseInt(text.slice(i, i + 2), 16));
      return Math.round(a + (b - a) * share);
    });
    return `rgb(${parts})`;
  };
  const make = (tag, parent, settings = {}) => Object.assign(parent.appendChild(document.createElement(tag)), settings);

  // A sphere, drawn once for each kind and size.
  const sprite = (colour, radius) => {
    const canvas = document.createElement("canvas");
    const size = Math.ceil(2 * radius) + 4;
    canvas.width = canvas.height = size;
    const pen = canvas.getContext("2d");
    const light = pen.createRadialGradient(size / 2 - radius * 0.35, size / 2 - radius * 0.4, radius * 0.05, size / 2, size / 2, radius);
    light.addColorStop(0, mixed(colour, "#ffffff", 0.8));
    light.addColorStop(0.35, mixed(colour, "#ffffff", 0.15));
    light.addColorStop(0.75, mixed(colour, "#000000", 0.08));
    light.addColorStop(1, mixed(colour, "#000000", 0.4));
    pen.fillStyle = light;
    pen.strokeStyle = mixed(colour, "#000000", 0.5);
    pen.lineWidth = Math.max(1, radius * 0.05);
    pen.beginPath();
    pen.arc(size / 2, size / 2, radius, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
    return canvas;
  };

  // The scene in Å about the middle of the cell, cut into short pieces that can be sorted by depth.
  const prepare = (data) => {
    const [a, b, c] = data.cell;
    const normal = cross(a, b);
    const height = dot(c, normal);
    const middle = add(add(add([0, 0, 0], a, 0.5), b, 0.5), c, 0.5);
    const at = (i, j, k) => add(add(add(add([0, 0, 0], a, i), b, j), c, k), middle, -1);
    const layer = (point) => data.planes.filter((plane) => dot(add(point, middle), normal) > plane * height).length;
    const atoms = [];
    for (let i = 0; i < data.atoms.length; i += 4) {
      const [kind, ...place] = data.atoms.slice(i, i + 4);
      const point = place.map((x, axis) => x / 100 - middle[axis]);
      atoms.push({ what: "atom", kind: data.kinds[kind], point, layer: layer(point) });
    }
    const bonds = [];
    for (let i = 0; i < data.bonds.length; i += 2) {
      for (const [one, other] of [[0, 1], [1, 0]].map((pair) => pair.map((end) => atoms[data.bonds[i + end]]))) {
        const vector = add(other.point, one.point, -1);
        const length = Math.sqrt(dot(vector, vector));
        const [start, end] = [one.kind[2] * 0.9 / length, (1 + (one.kind[2] - other.kind[2]) / length) / 2];
        const ends = [add(one.point, vector, start), add(one.point, vector, end)];
        const point = add(one.point, vector, (start + end) / 2);
        bonds.push({ what: "bond", kind: one.kind, ends, point, layer: layer(point) });
      }
    }
    const hops = [];
    for (const [colour, places] of data.hops) {
      for (let i = 0; i < places.length; i += 6) {
        const [from, to] = [0, 3].map((end) => places.slice(i + end, i + end + 3).map((x, axis) => x / 100 - middle[axis]));
        const vector = add(to, from, -1);
        for (let j = 0; j < PARTS; j++) {
          const point = add(from, vector, (j + 0.5) / PARTS);
          if (atoms.some((atom) => Math.hypot(...add(point, atom.point, -1)) < atom.kind[2])) continue; // within a sphere
          hops.push({ what: "hop", colour, ends: [add(from, vector, j / PARTS), add(from, vector, (j + 1) / PARTS)], point, layer: layer(point) });
        }
      }
    }
    const edges = [];
    const starts = [[0, 0], [0, 1], [1, 0], [1, 1]];
    for (const [vector, start] of [a, b, c].flatMap((vector, axis) => starts.map((rest) => [vector, at(...[...rest.slice(0, axis), 0, ...rest.slice(axis)])]))) {
      const pieces = Math.max(1, Math.ceil(Math.sqrt(dot(vector, vector))));
      for (let i = 0; i < pieces; i++) {
        const point = add(start, vector, (i + 0.5) / pieces);
        edges.push({ what: "edge", ends: [add(start, vector, i / pieces), add(start, vector, (i + 1) / pieces)], point, layer: layer(point) });
      }
    }
    const quads = data.planes.map((plane) => [[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => at(i, j, plane)));
    const far = [...atoms.map((atom) => Math.sqrt(dot(atom.point, atom.point)) + atom.kind[2])];
    for (const corner of [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) far.push(Math.sqrt(dot(at(...corner), at(...corner))));
    return { pieces: [...atoms, ...bonds, ...hops, ...edges], quads, normal, at, radius: Math.max(...far), vectors: { a, b, c } };
  };

  class Viewer {
    constructor(host, data) {
      this.data = data;
      this.scene = prepare(data);
      this.sprites = new Map();
      this.pointers = new Map();
      this.canvas = document.createElement("canvas");
      this.pen = this.canvas.getContext("2d");
      if (!this.pen) return;
      this.furnish(host);
      this.reset();
      this.listen();
      host.classList.add("alive");
      new ResizeObserver(() => this.redraw()).observe(this.canvas);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    }

    furnish(host) {
      host.append(this.canvas);
      Object.assign(this.canvas, { tabIndex: 0 });
      this.canvas.setAttribute("role", "img");
      const help = "arrow keys turn it, plus and minus zoom, 0 resets";
      this.canvas.setAttribute("aria-label", `${this.data.title}: structure that can be turned; ${help}`);
      const bar = make("div", host, { className: "viewer-bar" });
      for (const axis of "abc") {
        make("button", bar, { type: "button", textContent: `along ${axis}` }).addEventListener("click", () => this.look(axis));
      }
      make("button", bar, { type: "button", textContent: "reset" }).addEventListener("click", () => this.reset());
      const legend = make("span", bar, { className: "viewer-legend" });
      for (const [symbol, colour] of new Map(this.data.kinds)) {
        const item = make("span", legend);
        make("i", item).style.background = colour;
        item.append(symbol);
      }
      if (this.data.hops.length) this.legendOfHops(bar, legend);
      make("small", bar, { textContent: "Drag to turn; click, then wheel to zoom; double click to reset." });
    }

    // Hops can be taken away, for they lie over the structure.
    legendOfHops(bar, legend) {
      for (const [text, colour] of this.data.levels) {
        const item = make("span", legend);
        Object.assign(make("i", item).style, { background: colour, borderRadius: "0" });
        item.append(text);
      }
      const button = make("button", bar, { type: "button", textContent: "hops", ariaPressed: "true" });
      legend.before(button);
      button.addEventListener("click", () => {
        this.bare = !this.bare;
        button.ariaPressed = String(!this.bare);
        this.redraw();
      });
    }

    look(axis) {
      this.turn = this.data.views[axis];
      this.redraw();
    }

    reset() {
      this.turn = turned(this.data.views.a, 0.42, 0.2);
      this.zoom = 1;
      this.redraw();
    }

    rotate(x, y) {
      this.turn = turned(this.turn, x, y);
      this.redraw();
    }

    magnify(factor) {
      this.zoom = Math.min(12, Math.max(0.4, this.zoom * factor));
      this.redraw();
    }

    listen() {
      const canvas = this.canvas;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      canvas.addEventListener("pointermove", (event) => this.drag(event));
      for (const name of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
      }
      canvas.addEventListener("dblclick", () => this.reset());
      canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== canvas && !event.ctrlKey) return; // the page goes on scrolling
        event.preventDefault();
        this.magnify(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)));
      }, { passive: false });
      const keys = {
        ArrowLeft: () => this.rotate(-STEP, 0), ArrowRight: () => this.rotate(STEP, 0),
        ArrowUp: () => this.rotate(0, -STEP), ArrowDown: () => this.rotate(0, STEP),
        "+": () => this.magnify(1.2), "=": () => this.magnify(1.2), "-": () => this.magnify(1 / 1.2), 0: () => this.reset(),
      };
      canvas.addEventListener("keydown", (event) => {
        if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        keys[event.key]();
      });
    }

    drag(event) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      if (this.pointers.size === 1) {
        this.rotate((now[0] - before[0]) * TURN, (now[1] - before[1]) * TURN);
      } else {
        const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
        const [old, fresh] = [before, now].map((place) => Math.hypot(place[0] - other[0], place[1] - other[1]));
        if (old > 0 && fresh > 0) this.magnify(fresh / old);
      }
      this.pointers.set(event.pointerId, now);
    }

    redraw() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.draw();
      });
    }

    draw() {
      const { canvas, pen, scene } = this;
      const ratio = devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (!width || !height) return;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const style = getComputedStyle(canvas);
      this.ink = style.getPropertyValue("--ink").trim() || "#222";
      this.soft = style.getPropertyValue("--soft").trim() || "#666";
      this.font = style.fontFamily;
      const scale = (Math.min(width, height) / 2 - 8) / scene.radius * this.zoom;
      const show = (point) => {
        const [x, y, z] = apply(this.turn, point);
        return [width / 2 + x * scale, height / 2 - y * scale, z];
      };
      this.pieces(show, scale, ratio);
      this.labels(show, width);
      this.triad(height);
      this.bar(width, height, scale);
    }

    // Parallel planes part the scene into layers: the farthest is drawn first, then the plane before it, and so on.
    pieces(show, scale, ratio) {
      const { scene } = this;
      const upwards = apply(this.turn, scene.normal)[2] >= 0;
      const seen = scene.pieces.filter((piece) => piece.what !== "hop" || !this.bare).map((piece) => ({ piece, place: show(piece.point) }));
      const order = this.data.planes.map((plane, index) => [plane, index]).sort((one, other) => one[0] - other[0]);
      for (let step = 0; step <= order.length; step++) {
        const layer = upwards ? step : order.length - step;
        const here = seen.filter((item) => item.piece.layer === layer).sort((one, other) => one.place[2] - other.place[2]);
        for (const item of here) this[item.piece.what](item.piece, item.place, show, scale, ratio);
        if (step < order.length) this.quad(scene.quads[order[upwards ? step : order.length - 1 - step][1]], show);
      }
    }

    atom({ kind: [, colour, radius] }, [x, y], show, scale, ratio) {
      const size = radius * scale;
      const key = `${colour} ${size * ratio}`;
      if (this.sprites.size > 40) this.sprites.clear();
      if (!this.sprites.has(key)) this.sprites.set(key, sprite(colour, size * ratio));
      const image = this.sprites.get(key);
      const side = image.width / ratio;
      this.pen.drawImage(image, x - side / 2, y - side / 2, side, side);
    }

    bond({ kind: [, colour], ends }, place, show, scale) {
      for (const [share, size] of [[0.5, 2.4], [0, 2]]) this.stroke(ends, show, mixed(colour, "#000000", share), BOND * size * scale, "butt");
    }

    hop({ colour, ends }, place, show, scale) {
      this.stroke(ends, show, colour, Math.max(2, 2 * HOP * scale), "round");
    }

    edge({ ends }, place, show) {
      this.stroke(ends, show, this.soft, 1.2, "round");
    }

    stroke(ends, show, colour, width, cap) {
      const { pen } = this;
      const [from, to] = ends.map(show);
      Object.assign(pen, { strokeStyle: colour, lineWidth: width, lineCap: cap });
      pen.beginPath();
      pen.moveTo(from[0], from[1]);
      pen.lineTo(to[0], to[1]);
      pen.stroke();
    }

    quad(corners, show) {
      const { pen } = this;
      pen.save();
      pen.beginPath();
      for (const corner of corners) pen.lineTo(...show(corner).slice(0, 2));
      pen.closePath();
      Object.assign(pen, { fillStyle: "#56B4E9", globalAlpha: 0.28 });
      pen.fill();
      Object.assign(pen, { strokeStyle: this.ink, globalAlpha: 1, lineWidth: 1.2 });
      pen.setLineDash([5, 4]);
      pen.stroke();
      pen.restore();
    }

    write(text, x, y, colour, align) {
      Object.assign(this.pen, { font: `13px ${this.font}`, fillStyle: colour, textAlign: align, textBaseline: "middle" });
      this.pen.fillText(text, x, y);
    }

    // Names stand to the right of the structure as long as its layers lie above each other on the screen.
    labels(show, width) {
      const { scene, data } = this;
      const normal = apply(this.turn, scene.normal);
      if (Math.abs(normal[1]) < 0.5 * Math.hypot(...normal)) return;
      const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => show(scene.at(i & 1, (i >> 1) & 1, i >> 2)));
      const right = Math.max(...corners.map((corner) => corner[0])) + 26;
      const marks = data.sections.map(([low, high, name]) => [show(scene.at(0.5, 0.5, (low + high) / 2))[1], name, this.ink]);
      data.planes.forEach((plane, index) => {
        const name = data.planes.length > 1 ? `boundary ${index + 1}` : "boundary";
        marks.push([show(scene.at(0.5, 0.5, plane))[1], name, this.soft]);
      });
      this.pen.font = `13px ${this.font}`;
      const widest = Math.max(0, ...marks.map((mark) => this.pen.measureText(mark[1]).width));
      for (const [y, name, colour] of marks) this.write(name, Math.min(right, width - widest - 6), y, colour, "left");
    }

    triad(height) {
      const { scene } = this;
      const middle = [38, height - 38];
      const arms = Object.entries(scene.vectors).map(([name, vector]) => {
        const [x, y, z] = apply(this.turn, vector).map((value) => value / Math.sqrt(dot(vector, vector)));
        return { name, x, y, z };
      });
      for (const { name, x, y } of arms.sort((one, other) => one.z - other.z)) {
        const size = Math.hypot(x, y);
        Object.assign(this.pen, { strokeStyle: this.ink, lineWidth: 1.6, lineCap: "round" });
        this.pen.beginPath();
        this.pen.moveTo(...middle);
        this.pen.lineTo(middle[0] + 22 * x, middle[1] - 22 * y);
        this.pen.stroke();
        if (size > 0.25) this.write(name, middle[0] + x * (22 + 9 / size), middle[1] - y * (22 + 9 / size), this.ink, "center");
      }
    }

    bar(width, height, scale) {
      const length = [0.5, 1, 2, 5, 10, 20, 50, 100].find((value) => value * scale > 40) || 200;
      const right = width - 12;
      Object.assign(this.pen, { strokeStyle: this.ink, lineWidth: 2.5, lineCap: "butt" });
      this.pen.beginPath();
      this.pen.moveTo(right - length * scale, height - 14);
      this.pen.lineTo(right, height - 14);
      this.pen.stroke();
      this.write(`${length} Å`, right - (length * scale) / 2, height - 26, this.ink, "center");
    }
  }

  for (const host of document.querySelectorAll(".viewer")) {
    new Viewer(host, JSON.parse(host.querySelector("script").textContent));
  }
})();
