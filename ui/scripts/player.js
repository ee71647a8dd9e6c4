/* A finished video: step by frames, loop, 100 %, and a wipe between before and after over one stacked video.
   `.lt-film` holds a video (`video.lt-plain`), and, where there is a version with its source, `video.lt-stacked` under a
   canvas. The stacked picture has the source above and the result below, so both halves come from one decoded frame. */
(() => {
  "use strict";
  const TINY = 1e-4, PROBES = 40;
  const times = new WeakMap();

  const film = (element) => element?.closest?.(".lt-film");
  const wipes = (film) => film.dataset.mode === "wipe";
  const video = (film) => film.querySelector(wipes(film) ? "video.lt-stacked" : "video.lt-plain");
  const part = (film, name) => film.querySelector(`[data-film="${name}"]`);
  const ratio = (text) => { const [above, below] = (text || "").split("/").map(Number); return above / (below || 1) || 0; };
  const timeOf = (video) => times.get(video) ?? video.currentTime;

  /* -- what is drawn ------------------------------------------------------------------------------------------ */

  function draw(film) {
    const canvas = film.querySelector("canvas"), from = film.querySelector("video.lt-stacked");
    if (!canvas || !wipes(film) || from.readyState < 2) return;
    const [across, down] = [Number(film.dataset.across), Number(film.dataset.down)];
    const whole = [from.videoWidth, from.videoHeight / 2], shown = [whole[0] * across, whole[1] * down];
    const sharp = window.devicePixelRatio || 1, natural = film.classList.contains("lt-natural");
    film.style.setProperty("--film-width", `${shown[0] / sharp}px`);
    film.style.setProperty("--film-ratio", `${shown[0]} / ${shown[1]}`);
    film.style.setProperty("--film-wide", `${shown[0] / shown[1]}`);
    const width = Math.max(1, Math.round(natural ? shown[0] : Math.min(shown[0], canvas.clientWidth * sharp)));
    const height = Math.max(1, Math.round(width * shown[1] / shown[0]));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d", { alpha: false });
    const cut = Math.round(width * Number(part(film, "border").value) / 100), share = shown[0] / width;
    if (cut > 0) pen.drawImage(from, 0, 0, cut * share, shown[1], 0, 0, cut, height);
    if (cut < width) {
      pen.drawImage(from, cut * share, whole[1], (width - cut) * share, shown[1], cut, 0, width - cut, height);
    }
  }

  function tell(film) {
    const playing = video(film), at = part(film, "at"), rate = ratio(film.dataset.rate);
    if (!playing || !at) return;
    const seconds = timeOf(playing), rest = (seconds % 60).toFixed(3).padStart(6, "0");
    const frame = rate ? Number(film.dataset.first) + Math.floor(seconds * rate + 0.01) : "";
    at.textContent = `${Math.floor(seconds / 60)}:${rest}` + (frame === "" ? "" : ` · ${frame.toLocaleString()}`);
    at.dataset.frame = frame;
    const seek = part(film, "seek");
    if (seek && playing.duration && document.activeElement !== seek) seek.value = 1000 * seconds / playing.duration;
  }

  function show(playing) {
    const around = film(playing);
    if (!around) return;
    if (playing.classList.contains("lt-stacked")) draw(around);
    if (playing === video(around)) tell(around);
  }

  function follow(playing) {
    if (!playing.requestVideoFrameCallback || times.has(playing)) return;
    times.set(playing, playing.currentTime);
    const next = (_, about) => {
      times.set(playing, about.mediaTime);
      show(playing);
      if (playing.isConnected) playing.requestVideoFrameCallback(next);
    };
    playing.requestVideoFrameCallback(next);
  }

  /* -- what is done ------------------------------------------------------------------------------------------- */

  const settled = (playing) => new Promise((done) => {
    const shown = () => requestAnimationFrame(() => requestAnimationFrame(done));
    playing.addEventListener("seeked", shown, { once: true });
  });

  async function seek(playing, seconds) {
    const there = settled(playing);
    playing.currentTime = Math.min(Math.max(seconds, 0), playing.duration || seconds);
    await there;
  }

  // Of the steps that are asked for while one is made, the last is made after it.
  async function step(film, way) {
    const playing = video(film), rate = ratio(film.dataset.rate);
    if (!playing) return;
    if (film.dataset.busy) {
      film.dataset.next = way;
      return;
    }
    film.dataset.busy = "yes";
    playing.pause();
    const now = timeOf(playing);
    if (way < 0) await seek(playing, now - TINY * 5);
    else if (!film.dataset.variable && rate) {
      const frame = Math.floor(now * rate + 0.01);
      await seek(playing, Math.min((frame + 1.5) / rate, playing.duration - TINY));
    } else for (let probe = 1; probe <= PROBES && timeOf(playing) === now && !playing.ended; probe++) {
      await seek(playing, now + probe / (2 * (rate || 50)));
    }
    delete film.dataset.busy;
    show(playing);
    const next = Number(film.dataset.next ?? 0);
    delete film.dataset.next;
    if (next) await step(film, next);
  }

  function play(film) {
    const playing = video(film);
    if (playing?.paused) playing.play().catch(() => {});
    else playing?.pause();
  }

  function press(film, name, on) {
    film.classList.toggle(`lt-${name}`, on);
    part(film, name)?.setAttribute("aria-pressed", on);
  }

  function change(film, mode) {
    const before = video(film), paused = before?.paused ?? true, at = before ? timeOf(before) : 0;
    before?.pause();
    film.dataset.mode = mode;
    part(film, "wipe")?.setAttribute("aria-pressed", mode === "wipe");
    const after = video(film);
    if (!after) return;
    after.currentTime = at + TINY;
    if (!paused) after.play().catch(() => {});
    show(after);
  }

  const ACTIONS = {
    play,
    back: (film) => step(film, -1),
    on: (film) => step(film, 1),
    loop: (film) => {
      const loops = !film.classList.contains("lt-loop");
      film.querySelectorAll("video").forEach((each) => { each.loop = loops; });
      press(film, "loop", loops);
    },
    natural: (film) => {
      press(film, "natural", !film.classList.contains("lt-natural"));
      const plain = film.querySelector("video.lt-plain"), sharp = window.devicePixelRatio || 1;
      if (plain && !wipes(film)) film.style.setProperty("--film-width", `${plain.videoWidth / sharp}px`);
      draw(film);
    },
    wipe: (film) => change(film, wipes(film) ? "plain" : "wipe"),
  };
  const KEYS = { ",": "back", ".": "on", l: "loop", z: "natural", " ": "play", k: "play" };

  /* -- who listens: the elements come and go, so the document does ---------------------------------------------- */

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".lt-film button[data-film]");
    if (button) ACTIONS[button.dataset.film]?.(film(button));
  });
  document.addEventListener("input", (event) => {
    const around = film(event.target), name = event.target.dataset?.film;
    if (!around || !name) return;
    if (name === "border") {
      around.style.setProperty("--cut", `${event.target.value}%`);
      draw(around);
    } else if (name === "seek") {
      const playing = video(around);
      if (playing?.duration) playing.currentTime = event.target.value / 1000 * playing.duration;
    }
  });
  document.addEventListener("keydown", (event) => {
    const around = film(event.target), name = KEYS[event.key];
    if (!around || !name || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.matches("button, video, a")) return;
    event.preventDefault();
    ACTIONS[name](around);
  });
  // What has no picture that can be decoded plays as sound alone: for us it cannot be played.
  document.addEventListener("loadedmetadata", (event) => {
    if (event.target.matches?.(".lt-card video") && !event.target.videoWidth) event.target.hidden = true;
  }, true);
  for (const kind of ["loadeddata", "seeked", "timeupdate", "play", "pause", "error"]) {
    document.addEventListener(kind, (event) => {
      const around = film(event.target);
      if (!around || event.target.tagName !== "VIDEO") return;
      if (kind === "loadeddata") follow(event.target);
      if (kind === "play" || kind === "pause") around.classList.toggle("lt-playing", kind === "play");
      if (kind === "error") event.target.hidden = true;
      else if (kind === "loadeddata" || !times.has(event.target)) show(event.target);
    }, true);
  }
  window.addEventListener("resize", () => document.querySelectorAll(".lt-film").forEach(draw));

  /* A job that begins, or is opened, is shown: its form may have been far below. */
  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".lt-refine")) scrollSoon(".lt-marking");
    else if (event.target.closest?.(".lt-again")) scrollSoon(".lt-question");
    else if (event.target.closest?.(".lt-ask button")) scrollSoon(".lt-run");
  });
  function scrollSoon(selector, tries = 40) {
    const found = [...document.querySelectorAll(selector)].find((each) => each.offsetParent);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (found) found.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
    else if (tries) setTimeout(() => scrollSoon(selector, tries - 1), 250);
  }
})();
