"use strict";
(() => {
  const packet = JSON.parse(document.getElementById("packet").textContent);
  const page = document.getElementById("page");
  const KEY = `llmrl-review:${packet.study}:${packet.reviewer}`;
  const DAY = 86400;
  let kept = true;
  let state = load();

  /* What is remembered on this device. */

  function fresh() {
    return { digest: packet.digest, background: null, committed: null, answers: [], draft: {}, seconds: 0 };
  }

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(KEY));
      if (found && found.digest === packet.digest && Array.isArray(found.answers) && found.draft) return found;
    } catch (error) {
      kept = false;
    }
    return fresh();
  }

  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(state));
      kept = true;
    } catch (error) {
      kept = false;
    }
    if (!kept) trouble("This browser keeps nothing on this device. Do not close this tab before you have saved your answers.");
  }

  window.addEventListener("storage", (event) => {
    if (event.key === KEY) { state = load(); show(false); }  // the same packet in another tab
  });
  let since = Date.now();
  function tick() {
    const now = Date.now();
    if (!document.hidden) state.seconds = Math.min(DAY, state.seconds + Math.max(0, now - since) / 1000);
    since = now;
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) tick(); since = Date.now(); });

  /* Elements are made of text alone: nothing is ever read as HTML. */

  function element(name, attributes, ...children) {
    const svg = ["svg", "polyline", "line", "text", "title"].includes(name);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (typeof value === "function") made.addEventListener(key, value);
      else if (value === true) made.setAttribute(key, "");
      else if (![false, null, undefined].includes(value)) made.setAttribute(key, String(value));
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  function trouble(words) {
    document.getElementById("trouble").textContent = words;
  }

  function radios(name, title, options, chosen, locked) {
    return element("fieldset", { disabled: locked }, element("legend", {}, title),
      element("div", { class: "choices" }, ...options.map(([value, words]) => element("label", {},
        element("input", { type: "radio", name, value, checked: String(chosen) === String(value), required: true }), words))));
  }

  function table(title, head, rows) {
    return element("table", {}, element("caption", {}, title),
      head ? element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, cell)))) : null,
      element("tbody", {}, ...rows));
  }

  function row(first, ...cells) {
    return element("tr", {}, element("th", { scope: "row" }, ...first), ...cells.map((cell, place) =>
      element("td", { class: place === cells.length - 1 ? "value" : null }, String(cell))));
  }

  /* The pages: who you are, one case at a time, the end. */

  function show(move = true) {
    trouble("");
    const done = state.answers.length, all = packet.cases.length;
    document.getElementById("bar").value = done / all;
    page.replaceChildren();
    if (!state.background) start();
    else if (done < all) ask(packet.cases[done], done + 1, all);
    else end();
    since = Date.now();
    if (!kept) keep();
    if (move) { window.scrollTo(0, 0); page.querySelector("h1").focus(); }
  }

  function heading(words, where) {
    document.title = `${words} - expert review`;
    document.getElementById("where").textContent = where;
    return element("h1", { tabindex: -1 }, words);
  }

  function start() {
    const draft = state.draft;
    const years = element("input", {
      type: "number", id: "years", name: "years", min: 0, max: packet.years, step: 1, inputmode: "numeric", required: true,
      value: draft.years === undefined ? null : draft.years,
    });
    const minutes = Math.max(5, 5 * Math.round(packet.cases.length / 4));  // a dozen cases take about a quarter of an hour
    page.append(heading("Expert review of trading strategies", `${packet.cases.length} cases, about ${minutes} minutes`),
      element("p", {}, "Each case shows what was known of an unnamed share at one close: prices in percent of that day's close, " +
        "figures, headlines without names. You first say LONG or SHORT for the 20 trading days that follow, and how sure you are. Then you " +
        "see a strategy that was advised, and rate its reasoning."),
      element("p", {}, "Of one share, earlier months come before later ones. What you answer stays on this device until you " +
        "save it as a file at the end; this page sends nothing anywhere. You can close it and come back in the same browser."),
      element("form", { submit: begin, input: note, novalidate: true },
        radios("group", "What describes you best?", packet.backgrounds, draft.group),
        element("label", { class: "above", for: "years" }, "Years of experience with markets"), years,
        element("p", {}, element("button", {}, "Begin"))));
  }

  function begin(event) {
    event.preventDefault();
    const found = new FormData(event.target), years = Number(found.get("years"));
    if (!found.get("group")) return miss("Please say what describes you best.", "input[name=group]");
    if (found.get("years") === "" || !Number.isInteger(years) || years < 0 || years > packet.years) {
      return miss(`Please give your years of experience as a whole number from 0 to ${packet.years}.`, "#years");
    }
    state.background = { group: found.get("group"), years };
    state.draft = {};
    state.seconds = 0;
    keep();
    show();
  }

  function miss(words, where) {
    trouble(words);
    const place = page.querySelector(where);
    if (place) place.focus();
  }

  function note(event) {
    tick();
    const { name, value } = event.target;
    state.draft[name] = value;
    trouble("");
    keep();
  }

  function ask(found, number, all) {
    const made = state.committed, draft = state.draft;
    page.append(heading(`Case ${number} of ${all}`, `Case ${number} of ${all}`), ...prices(found.prices),
      element("div", { class: "groups" }, ...found.groups.map(figures)), ...headlines(found.news),
      element("h2", {}, "Your own prediction"),
      element("form", { submit: commit, input: note, novalidate: true },
        radios("side", "The next 20 trading days", packet.sides.map((side) => [side, side]), made ? made.side : draft.side, !!made),
        radios("confidence", "How sure are you?", packet.confidences, made ? made.confidence : draft.confidence, !!made),
        made ? null : element("button", {}, "Commit, and see the strategy"),
        element("p", { class: "note" }, made ? "Committed; it can no longer be changed." : "It cannot be changed afterwards.")));
    if (made) reveal(found, number === all);
  }

  function commit(event) {
    event.preventDefault();
    tick();
    const found = new FormData(event.target);
    if (!found.get("side")) return miss("Please choose LONG or SHORT first.", "input[name=side]");
    if (!found.get("confidence")) return miss("Please say how sure you are.", "input[name=confidence]");
    state.committed = { side: found.get("side"), confidence: Number(found.get("confidence")) };
    state.draft = {};
    keep();
    show(false);
    page.querySelector("#said").focus({ preventScroll: true });
    page.querySelector("#said").scrollIntoView();
  }

  function reveal(found, last) {
    const { side, confidence } = state.committed, draft = state.draft;
    const said = JSON.parse(open(found.curtain, found.id, `${side} ${confidence}`));
    const words = Object.fromEntries(packet.confidences);
    page.append(element("h2", { id: "said", tabindex: -1 }, "The strategy that was advised"),
      element("div", { class: "said" },
        element("p", { class: "verdict" }, element("strong", {}, said.side), `, confidence ${words[said.confidence]}. You said ${side}.`),
        element("h3", {}, "Rationale"), element("p", { id: "rationale-text" }, plain(said.rationale)),
        ...(said.findings.length ? [element("h3", {}, "By group"), element("ul", {}, ...said.findings.map(([group, finding, reading]) =>
          element("li", {}, `${group}: ${plain(finding)} (${reading})`)))] : []),
        ...(said.factors.length ? [element("h3", {}, "What it took from the headlines"), element("ul", {}, ...said.factors.map(
          ([factor, sentiment, impact]) => element("li", {}, `${plain(factor)} (sentiment ${sentiment > 0 ? "+" : ""}${sentiment}, impact ${impact} of 3)`)))] : []),
        said.evidence.length ? table("What it read out", ["figure", "read as", "value"], said.evidence.map(([name, value, reading]) =>
          row([named(name, true)], reading, value))) : null,
        said.weights.length ? table("What decided, by weight", ["figure", "1 to 10"], said.weights.map(([name, weight]) =>
          row([named(name)], weight))) : null),
      element("h2", {}, "Your rating of the reasoning"),
      element("p", { class: "note" }, "Of the reasoning, not of whether you agree with its side. 1 is poor, 2 average, 3 good."),
      element("form", { submit: next, input: note, novalidate: true },
        ...packet.rubric.map(({ name, asked, words: scale }) => radios(name, asked,
          scale.map((word, place) => [place + 1, `${place + 1} ${word}`]), draft[name])),
        element("label", { class: "above", for: "comment" }, "Comment (if you like)"),
        element("textarea", { id: "comment", name: "comment", maxlength: packet.longest, "aria-describedby": "hint" }, draft.comment || ""),
        element("p", { class: "note", id: "hint" }, "What is wrong or well seen? Please name nobody."),
        element("button", {}, last ? "Finish" : "Next case")));
  }

  function next(event) {
    event.preventDefault();
    tick();
    const form = new FormData(event.target), scores = {};
    for (const { name, asked } of packet.rubric) {
      if (!form.get(name)) return miss(`Please rate: ${asked}.`, `input[name=${name}]`);
      scores[name] = Number(form.get(name));
    }
    const comment = whole(form.get("comment").trim()).slice(0, packet.longest);
    const seconds = Math.min(DAY, Math.round(state.seconds));
    state.answers.push({ case: packet.cases[state.answers.length].id, ...state.committed, ...scores, comment, seconds });
    Object.assign(state, { committed: null, draft: {}, seconds: 0 });
    keep();
    show();
  }

  function end() {
    const text = exported(), name = packet.file;
    const box = element("textarea", { id: "file", readonly: true }, text);
    page.append(heading("Thank you", "All cases are answered"),
      element("p", {}, "Save your answers as a file and send it to whoever gave you this questionnaire."),
      element("p", {}, element("a", { class: "button", id: "save", download: name,
        href: URL.createObjectURL(new Blob([text], { type: "application/json" })) }, "Save my answers")),
      element("p", { class: "note" }, `The file is called ${name}.`),
      element("details", {}, element("summary", {}, "If your device does not save files: copy the text"),
        element("label", { class: "above", for: "file" }, "Your answers"), box,
        element("button", { class: "quiet", type: "button", click: () => { box.focus(); box.select(); document.execCommand("copy"); } }, "Copy")),
      element("p", {}, element("button", { class: "quiet", type: "button", click: forget }, "Delete my answers from this device")));
  }

  function forget() {
    if (!window.confirm("Delete all answers from this device? A file that you saved stays.")) return;
    state = fresh();
    keep();
    show();
  }

  /* What a case shows. */

  function prices(levels) {
    const width = 680, height = 300, left = 48, right = 10, top = 12, bottom = 34;
    const low = Math.min(...levels), high = Math.max(...levels), span = high - low || 1;
    const x = (place) => left + (width - left - right) * place / Math.max(1, levels.length - 1);
    const y = (level) => top + (height - top - bottom) * (high - level) / span;
    const last = levels.length - 1, days = [0, Math.round(last / 2), last];
    const told = `Closes of the last ${last} trading days in percent of today's: lowest ${low}, highest ${high}, first ${levels[0]}, today 100.`;
    const marks = [...new Set([low, 100, high])].filter((level, place, every) => level === 100 || Math.abs(y(level) - y(100)) > 18 || every.length === 1);
    const rows = levels.map((level, place) => [last - place, level]).filter(([ago]) => ago % 20 === 0);
    return [element("h2", {}, "Price"),
      element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told },
        ...marks.flatMap((level) => [
          element("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), stroke: level === 100 ? "#767676" : "#d0d0d0", "stroke-dasharray": level === 100 ? "5 4" : "none" }),
          element("text", { x: left - 6, y: y(level) + 5, "text-anchor": "end" }, level.toFixed(0))]),
        ...days.map((place, number) => element("text", { x: x(place), y: height - 8, "text-anchor": ["start", "middle", "end"][number] },
          place === last ? "decision" : `${last - place} days before`)),
        element("polyline", { points: levels.map((level, place) => `${x(place).toFixed(1)},${y(level).toFixed(1)}`).join(" "), fill: "none", stroke: "#005a9c", "stroke-width": 2.2 })),
      element("p", { class: "note" }, "Closes in percent of the close of the decision, by trading days before it."),
      element("details", {}, element("summary", {}, "The same as a table"),
        table("Close, percent of today's", ["trading days before", "close"], rows.map(([ago, level]) => row([String(ago)], level.toFixed(1)))))];
  }

  function figures({ title, rows, missing }) {
    const made = table(title, null, rows.map(([, meaning, value]) => row([meaning], value)));
    if (missing.length) made.querySelector("tbody").append(element("tr", {}, element("td", { colspan: 2, class: "note" }, `Not available: ${missing.map((name) => named(name)).join("; ")}.`)));
    return made;
  }

  /* Figures are called by what they are, in the model's words too: a field's name (rsi_14) tells a reader nothing. */

  function named(name, unit = false) {
    const label = Object.prototype.hasOwnProperty.call(packet.labels, name) ? packet.labels[name] : null;
    return label ? `${label[0]}${unit === true && label[1] ? ` (${label[1]})` : ""}` : name;
  }

  function plain(text) {
    return text.replace(/[a-z0-9]+(_[a-z0-9]+)+/g, (name) => (named(name) === name ? name : `"${named(name)}"`));
  }

  function headlines({ lines, of }) {
    const ago = (days) => days === 1 ? "1 trading day ago" : `${days} trading days ago`;
    const more = of > lines.length ? element("p", { class: "note" }, `The newest ${lines.length} of ${of}.`) : null;
    return [element("h2", {}, "Headlines of the last 20 trading days"),
      lines.length ? element("ul", {}, ...lines.map(([days, text]) => element("li", {}, `${ago(days)}: ${text}`)))
        : element("p", {}, "None."), ...(more ? [more] : [])];
  }

  /* The curtain (curtain.py) and the file of answers (answers.py). */

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  function combined(one, other) {
    return one.map((value, place) => value ^ other[place]);
  }

  function open(curtain, name, prediction) {
    const key = combined(bytes(curtain.keys[prediction]), sha256(new TextEncoder().encode(`${name}\n${prediction}`)));
    const cipher = bytes(curtain.cipher), block = new Uint8Array(36), plain = new Uint8Array(cipher.length);
    block.set(key);
    for (let count = 0; count * 32 < cipher.length; count += 1) {
      new DataView(block.buffer).setUint32(32, count);
      plain.set(combined(cipher.subarray(count * 32, count * 32 + 32), sha256(block)), count * 32);
    }
    return new TextDecoder().decode(plain);
  }

  function exported() {
    const file = {
      format: packet.format, study: packet.study, packet: packet.digest, reviewer: packet.reviewer, simulated: false,
      background: state.background, order: packet.cases.map((found) => found.id), answers: state.answers,
    };
    return canonical({ ...file, checksum: hex(sha256(new TextEncoder().encode(canonical(file)))) });
  }

  function canonical(value) {
    if (typeof value === "string") {
      return JSON.stringify(value).replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
    }
    if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
    if (value !== null && typeof value === "object") {
      return `{${Object.keys(value).sort().map((key) => `${canonical(key)}:${canonical(value[key])}`).join(",")}}`;
    }
    return JSON.stringify(value);
  }

  function whole(text) {  // without halves of characters, which no file can hold
    return Array.from(text, (letter) => /^[\ud800-\udfff]$/.test(letter) ? "\ufffd" : letter).join("");
  }

  function hex(value) {
    return Array.from(value, (one) => one.toString(16).padStart(2, "0")).join("");
  }

  /* FIPS 180-4; a page opened from the disk may have no crypto of the browser's. */
  function sha256(message) {
    const turn = (value, by) => (value >>> by) | (value << (32 - by));
    const primes = [];
    for (let number = 2; primes.length < 64; number += 1) if (primes.every((prime) => number % prime)) primes.push(number);
    const part = (value) => ((value - Math.floor(value)) * 4294967296) >>> 0;
    const constants = primes.map((prime) => part(Math.cbrt(prime)));
    const hash = primes.slice(0, 8).map((prime) => part(Math.sqrt(prime)));
    const padded = new Uint8Array(((message.length + 72) >> 6) << 6);
    padded.set(message);
    padded[message.length] = 128;
    const view = new DataView(padded.buffer), words = new Uint32Array(64);
    view.setUint32(padded.length - 8, Math.floor(message.length / 536870912));
    view.setUint32(padded.length - 4, message.length << 3);
    for (let start = 0; start < padded.length; start += 64) {
      for (let place = 0; place < 16; place += 1) words[place] = view.getUint32(start + 4 * place);
      for (let place = 16; place < 64; place += 1) {
        const one = words[place - 15], two = words[place - 2];
        words[place] = words[place - 16] + (turn(one, 7) ^ turn(one, 18) ^ (one >>> 3)) + words[place - 7] + (turn(two, 17) ^ turn(two, 19) ^ (two >>> 10));
      }
      let [a, b, c, d, e, f, g, h] = hash;
      for (let place = 0; place < 64; place += 1) {
        const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[place] + words[place]) | 0;
        const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((value, place) => { hash[place] = (hash[place] + value) | 0; });
    }
    const result = new Uint8Array(32), out = new DataView(result.buffer);
    hash.forEach((value, place) => out.setUint32(4 * place, value));
    return result;
  }

  show(false);
})();
