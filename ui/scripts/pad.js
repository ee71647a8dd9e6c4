/* Marking on a still frame by mouse, pen, finger or keyboard. What is drawn becomes text in the form's fields, and
   what stands in the fields is what is shown: there is no other state, so hints may be typed, too.
   One mark is one word that ends with its frame, all in pixels of the video:
   box `x,y,width,height@frame`, point `x,y@frame`, `!x,y@frame` (not it), stroke `width:x,y,x,y@frame`, `!...` (wiped). */
(() => {
  "use strict";
  const FIELDS = { box: "inpaint-setting-box", point: "inpaint-setting-point", stroke: "inpaint-strokes" };
  const KINDS = Object.keys(FIELDS);
  const LEAST_BOX = 4, REACH = 0.01, DOT = 6;
  const COLOURS = { ink: "#ff2d2d", on: "#14b8a6", off: "#dc2626", line: "#ffffff" };
  let past = [], marking = "", gesture = null, cursor = null;

  const input = (id) => document.querySelector(`#${id} textarea, #${id} input`);
  const text = (kind) => input(FIELDS[kind])?.value ?? "";
  const words = (kind) => text(kind).split(/\s+/).filter(Boolean);
  const frameOf = (word) => Number(word.split("@")[1]);
  const pad = () => document.querySelector(".lt-pad");
  const about = (pad) => ["width", "height", "frame"].map((name) => Number(pad.dataset[name]));
  const tool = () => document.querySelector(".lt-tools input[type=radio]:checked")?.value;
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);

  function write(kind, value) {
    const field = input(FIELDS[kind]);
    if (!field || field.value === value) return;
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function change(changed) {
    past.push(KINDS.map(text));
    KINDS.forEach((kind) => write(kind, changed(kind, words(kind)).join(" ")));
    show();
  }

  function undo() {
    const before = past.pop();
    if (before) KINDS.forEach((kind, at) => write(kind, before[at]));
    show();
  }

  function clear(frame) {
    change((kind, all) => (frame === undefined ? [] : all.filter((word) => frameOf(word) !== frame)));
  }

  function turn(frame, video) {
    const asked = input("inpaint-turn");
    if (!asked) return;
    asked.value = `${frame}@${video}#${Date.now()}`;
    asked.dispatchEvent(new Event("input", { bubbles: true }));
    if (pad()?.dataset.video !== video) return;
    if (pad().dataset.frame !== frame) pad().setAttribute("aria-busy", "true");
    pad().scrollIntoView({ block: "center" });
  }

  /* -- gestures: from down to up, places in pixels of the video ------------------------------------------------ */

  function placeOf(event) {
    const box = event.target.getBoundingClientRect(), [width, height] = about(pad());
    const share = (at, start, length) => clamp((at - start) / length, 1);
    return [width * share(event.clientX, box.left, box.width), height * share(event.clientY, box.top, box.height)];
  }

  function begin(place, pointer) {
    const brush = Number(document.querySelector(".lt-tools input[type=range]")?.value);
    const width = Math.max(1, Math.round((brush * about(pad())[0]) / 1000));
    gesture = { tool: tool(), places: [place], frame: about(pad())[2], width, pointer };
    show();
  }

  function move(place) {
    const [x, y] = gesture.places.at(-1);
    if (Math.hypot(place[0] - x, place[1] - y) < 1) return;
    if (gesture.tool === "box" || gesture.tool === "on" || gesture.tool === "off") gesture.places.length = 1;
    gesture.places.push(place);
    show();
  }

  function end() {
    const [kind, word] = wordOf(gesture), frame = gesture.frame;
    gesture = null;
    // Two boxes on a frame would be followed as one thing: the newer one takes the place of the older.
    const kept = (one) => one !== "box" || kind !== "box";
    if (word) change((one, all) => [...all.filter((w) => kept(one) || frameOf(w) !== frame), ...(one === kind ? [word] : [])]);
    else show();
  }

  function wordOf({ tool, places, frame, width }) {
    const [wide, high] = about(pad()), [first, last] = [places[0], places.at(-1)];
    if (tool === "box") {
      const [left, top] = [0, 1].map((k) => Math.round(Math.min(first[k], last[k])));
      const [w, h] = [0, 1].map((k) => Math.round(Math.max(first[k], last[k])) - [left, top][k]);
      return ["box", Math.min(w, h) < LEAST_BOX ? "" : `${left},${top},${w},${h}@${frame}`];
    }
    if (tool === "on" || tool === "off") {
      const [x, y] = [clamp(Math.floor(last[0]), wide - 1), clamp(Math.floor(last[1]), high - 1)];
      return ["point", `${tool === "off" ? "!" : ""}${x},${y}@${frame}`];
    }
    const line = places.map((place) => place.map(Math.round).join(",")).join(",");
    return ["stroke", `${tool === "wipe" ? "!" : ""}${width}:${line}@${frame}`];
  }

  /* -- what is seen ------------------------------------------------------------------------------------------- */

  function show() {
    listFrames();
    const here = pad(), canvas = here?.querySelector("canvas");
    if (!canvas || !here.clientWidth) return;
    const [width, , frame] = about(here), sharp = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * sharp);
    canvas.height = Math.round(canvas.clientHeight * sharp);
    const pen = canvas.getContext("2d"), scale = canvas.width / width;
    const seen = Object.fromEntries(KINDS.map((kind) => [kind, words(kind).filter((word) => frameOf(word) === frame)]));
    if (gesture && gesture.frame === frame) {
      const [kind, word] = wordOf(gesture);
      if (kind === "box" && word) seen.box = [];
      if (word) seen[kind].push(word);
    }
    drawStrokes(pen, seen.stroke, scale);
    seen.box.forEach((word) => drawBox(pen, numbers(word), scale, sharp));
    seen.point.forEach((word) => drawPoint(pen, word, scale, sharp));
    if (cursor) drawCursor(pen, cursor, scale, sharp);
  }

  const numbers = (word) => word.replace(/^!?(\d+:)?/, "").split("@")[0].split(",").map(Number);

  function drawStrokes(pen, strokes, scale) {
    const layer = document.createElement("canvas");
    [layer.width, layer.height] = [pen.canvas.width, pen.canvas.height];
    if (!strokes.length || !layer.width) return;
    const ink = layer.getContext("2d");
    [ink.lineCap, ink.lineJoin, ink.strokeStyle] = ["round", "round", COLOURS.ink];
    for (const word of strokes) {
      const at = numbers(word).map((value) => value * scale);
      ink.globalCompositeOperation = word.startsWith("!") ? "destination-out" : "source-over";
      ink.lineWidth = Number(word.match(/^!?(\d+):/)?.[1]) * scale;
      ink.beginPath();
      ink.moveTo(at[0], at[1]);
      for (let k = 0; k < at.length; k += 2) ink.lineTo(at[k], at[k + 1]);
      ink.stroke();
    }
    pen.globalAlpha = 0.6;
    pen.drawImage(layer, 0, 0);
    pen.globalAlpha = 1;
  }

  function outlined(pen, path, colour, sharp) {
    for (const [style, width] of [["rgb(0 0 0 / 70%)", 4], [COLOURS.line, 2.5], [colour, 1.5]]) {
      [pen.strokeStyle, pen.lineWidth] = [style, width * sharp];
      pen.stroke(path);
    }
  }

  function drawBox(pen, [x, y, width, height], scale, sharp) {
    const path = new Path2D();
    path.rect(x * scale, y * scale, width * scale, height * scale);
    outlined(pen, path, COLOURS.on, sharp);
  }

  function drawPoint(pen, word, scale, sharp) {
    const [x, y] = numbers(word).map((value) => (value + 0.5) * scale), off = word.startsWith("!");
    const dot = new Path2D(), sign = new Path2D(), arm = (DOT - 2) * sharp;
    dot.arc(x, y, DOT * sharp, 0, 2 * Math.PI);
    pen.fillStyle = off ? COLOURS.off : COLOURS.on;
    pen.fill(dot);
    sign.moveTo(x - arm, y);
    sign.lineTo(x + arm, y);
    if (!off) { sign.moveTo(x, y - arm); sign.lineTo(x, y + arm); }
    [pen.strokeStyle, pen.lineWidth] = [COLOURS.line, 2 * sharp];
    pen.stroke(sign);
    pen.stroke(dot);
  }

  function drawCursor(pen, place, scale, sharp) {
    const [x, y] = place.map((value) => value * scale), path = new Path2D(), arm = 12 * sharp;
    path.moveTo(x - arm, y);
    path.lineTo(x + arm, y);
    path.moveTo(x, y - arm);
    path.lineTo(x, y + arm);
    outlined(pen, path, COLOURS.line, sharp);
  }

  function listFrames() {
    const list = document.querySelector("#inpaint-marked [data-frames]"), here = pad();
    if (!list) return;
    const marked = [...new Set(KINDS.flatMap(words).map(frameOf))].filter((frame) => frame >= 0).sort((a, b) => a - b);
    list.dataset.frames = marked.join(", ");
    list.querySelector(".lt-frames").replaceChildren(...marked.map((frame) => {
      const button = document.createElement("button");
      [button.type, button.className, button.textContent] = ["button", "lt-turn", String(frame)];
      [button.dataset.turn, button.dataset.video] = [frame, here?.dataset.video ?? ""];
      return button;
    }));
  }

  /* -- who listens: the elements come and go with the tab, so the document does ---------------------------------- */

  const onPad = (event) => event.target.matches?.(".lt-pad canvas");
  const mine = (event) => gesture && gesture.pointer === event.pointerId && onPad(event);

  document.addEventListener("pointerdown", (event) => {
    if (!onPad(event) || !event.isPrimary || event.button) return;
    event.target.setPointerCapture(event.pointerId);
    cursor = null;
    begin(placeOf(event), event.pointerId);
  });
  document.addEventListener("pointermove", (event) => { if (mine(event)) move(placeOf(event)); });
  document.addEventListener("pointerup", (event) => { if (mine(event)) { move(placeOf(event)); end(); } });
  document.addEventListener("pointercancel", (event) => { if (mine(event)) { gesture = null; show(); } });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    if (!onPad(event)) return;
    const [width, height] = about(pad()), step = STEPS[event.key];
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else if (event.key === "Escape") gesture = null;
    else if (step) {
      const reach = event.shiftKey ? 1 : Math.max(1, REACH * width), [x, y] = cursor ?? [width / 2, height / 2];
      cursor = [clamp(x + reach * step[0], width), clamp(y + reach * step[1], height)];
      if (gesture) move(cursor);
    } else if ((event.key === "Enter" || event.key === " ") && !event.repeat) {
      cursor ??= [width / 2, height / 2];
      if (gesture) end();
      else begin(cursor);
      if (gesture?.tool === "on" || gesture?.tool === "off") end();
    } else return;
    event.preventDefault();
    show();
  });
  document.addEventListener("focusout", (event) => { if (onPad(event)) { cursor = null; gesture = null; show(); } });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-mark], [data-turn]");
    if (!button) return;
    if (button.dataset.turn) turn(button.dataset.turn, button.dataset.video);
    else if (button.dataset.mark === "undo") undo();
    else if (button.dataset.mark === "clear" && pad()) clear(about(pad())[2]);
    else if (button.dataset.mark === "clear-all") clear();
  });
  document.addEventListener("input", (event) => {
    if (KINDS.some((kind) => event.target === input(FIELDS[kind]))) show();
  });
  document.addEventListener("load", (event) => {
    if (!event.target.matches?.(".lt-pad img")) return;
    const { video } = pad().dataset;
    if (video !== marking) [past, marking] = [[], video];
    show();
  }, true);
  window.addEventListener("resize", show);
})();
