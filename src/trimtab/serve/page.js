"use strict";
// The page of a served bundle: its form is made of the schema in openapi.json, and it asks what any client can ask.

const WORDS = {
  en: {
    skip: "Skip to the content", kind: "Served by Trimtab", ready: "ready", away: "not reachable", draining: "ending",
    language: "中文", key: "Key of this server", use: "Use it", try: "Try it", send: "Answer", example: "An example",
    explain: "explain the answer", curl: "The same by curl", answer: "Answer", nothing: "Nothing was asked yet.",
    asking: "Asking …", traffic: "The last 15 minutes", recent: "Requests of late", metrics: "Metrics",
    none: "(no value)", drop: "Choose a file, or drop one here", large: "The file is larger than 10 MB.",
    why: "Why", for: "for", against: "against", part: "part", adds: "adds", unexplained: "unexplained",
    base: "without any part", score: "score of", column: "column", problems: "Not read as sent",
    requests: "requests", failed: "failed", refused: "refused", median: "median", p95: "95th percentile",
    perSecond: "Requests a second", latency: "Milliseconds until an answer", answers: "Answers", drift: "Drift",
    time: "time", address: "address", status: "status", rows: "rows", milliseconds: "ms", quiet: "No requests yet.",
    plot: "highest", evidence: "evidence that the rows have moved; 100% is an alarm",
    isRight: "Is it right?", yes: "Yes", no: "No", whatIs: "What is right?", save: "Keep it", kept: "Kept:",
  },
  zh: {
    skip: "跳到正文", kind: "由 Trimtab 提供服务", ready: "就绪", away: "无法连接", draining: "正在停止",
    language: "English", key: "本服务的密钥", use: "使用", try: "试一试", send: "回答", example: "填入示例",
    explain: "解释答案", curl: "用 curl 发送同样的请求", answer: "答案", nothing: "还没有提问。",
    asking: "正在回答……", traffic: "最近 15 分钟", recent: "最近的请求", metrics: "指标",
    none: "（无值）", drop: "选择文件，或拖到这里", large: "文件超过 10 MB。",
    why: "原因", for: "支持", against: "反对", part: "部分", adds: "贡献", unexplained: "未解释",
    base: "没有任何部分时", score: "得分：", column: "列", problems: "未按原样读取",
    requests: "请求数", failed: "失败", refused: "被拒绝", median: "中位数", p95: "第 95 百分位",
    perSecond: "每秒请求数", latency: "回答所需毫秒数", answers: "答案", drift: "漂移",
    time: "时间", address: "地址", status: "状态", rows: "行数", milliseconds: "毫秒", quiet: "还没有请求。",
    plot: "最高", evidence: "数据发生变化的证据；100% 即报警",
    isRight: "答案正确吗？", yes: "正确", no: "不正确", whatIs: "正确的答案是什么？", save: "保存", kept: "已保存：",
  },
};
const MOST = 1e7; // bytes of a file
const EVERY = 5000; // milliseconds between two looks at the traffic
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const state = {
  language: navigator.language.startsWith("zh") ? "zh" : "en",
  key: "", api: null, fields: [], shown: 0, last: null, traffic: null, status: null,
};
const word = (name) => WORDS[state.language][name];

// ------------------------------------------------------------------------------------------------------- elements

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function figure(number, digits = 3) {
  if (number === null || number === undefined) return "–";
  return new Intl.NumberFormat(state.language, { maximumSignificantDigits: digits }).format(number);
}

// --------------------------------------------------------------------------------------------------------- asking

async function ask(address, options = {}) {
  const headers = { ...options.headers, ...(state.key ? { Authorization: `Bearer ${state.key}` } : {}) };
  const response = await fetch(address, { ...options, headers, cache: "no-store" });
  const content = await response.json();
  if (response.ok) return content;
  const refused = new Error(content.error?.message ?? response.statusText);
  refused.status = response.status;
  throw refused;
}

const send = (address, row) =>
  ask(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(row) });

async function start() {
  try {
    state.api = await ask("openapi.json");
  } catch (refused) {
    at("access").hidden = refused.status !== 401;
    at("refused").textContent = state.key || refused.status !== 401 ? refused.message : "";
    if (refused.status === 401) at("key").focus();
    return;
  }
  at("access").hidden = true;
  at("name").textContent = document.title = state.api.info.title;
  at("bundle").textContent = state.api.info.version;
  build();
  look();
}

// ------------------------------------------------------------------------------------------------------- the form

function kindOf(schema) {
  const every = [schema, ...(schema.anyOf ?? [])];
  const file = every.find((one) => one.contentEncoding === "base64");
  if (file) return { kind: "file", media: file.contentMediaType };
  const types = every.flatMap((one) => one.type ?? []);
  if (types.includes("array") || types.includes("object")) return { kind: "text" };
  const names = schema.enum ?? schema.examples ?? [];
  return names.length ? { kind: "names", names: names.filter((name) => name !== null) } : { kind: "line" };
}

function build() {
  const columns = Object.entries(state.api.components.schemas.Row.properties);
  state.fields = columns.map(([name, schema], place) => field(name, schema, `field-${place}`));
  at("fields").replaceChildren(...state.fields.map((one) => one.block));
  at("example").hidden = !examples().length;
  at("why").closest("label").hidden = !("/explain" in state.api.paths);
  tellCurl();
}

function field(name, schema, id) {
  const { kind, media, names } = kindOf(schema);
  const hint = element("p", { className: "hint", id: `${id}-hint`, textContent: schema.description ?? "" });
  const shared = { id, "aria-describedby": hint.id };
  const label = element("label", { htmlFor: id, textContent: name });
  if (kind === "file") return fileField(name, media, shared, label, hint);
  let input;
  if (kind === "names") {
    const options = names.map((one) => element("option", { value: one, textContent: one }));
    input = element("select", shared, element("option", { value: "", textContent: word("none"), "data-word": "none" }), ...options);
  } else {
    input = kind === "text" ? element("textarea", shared) : element("input", { ...shared, type: "text" });
  }
  const fill = (value) => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    if (kind === "names" && ![...input.options].some((one) => one.value === text)) {
      input.append(element("option", { value: text, textContent: text }));
    }
    input.value = text;
  };
  return { name, fill, value: () => listed(input.value, kind), block: element("div", { className: "field" }, label, input, hint) };
}

function listed(text, kind) {
  if (text === "") return kind === "text" ? "" : null;
  if (kind === "text" && text.trim().startsWith("[")) {
    try {
      return JSON.parse(text);
    } catch {
      return text; // a text that begins like a list
    }
  }
  return text;
}

function fileField(name, media, shared, label, hint) {
  const input = element("input", { ...shared, type: "file", accept: media });
  const told = element("p", { className: "hint", textContent: word("drop"), "data-word": "drop" });
  const shown = element("div");
  const drop = element("div", { className: "drop" }, told, input, shown);
  let content = null;
  const fill = (value) => {
    content = value ?? null;
    const uri = content && !content.startsWith("data:") ? `data:${media.replace("*", "octet-stream")};base64,${content}` : content;
    const view = media.startsWith("image") ? element("img", { alt: name }) : element("audio", { controls: true });
    shown.replaceChildren(...(uri ? [Object.assign(view, { src: uri })] : []));
    tellCurl();
  };
  const take = async (file) => {
    if (!file) return;
    if (file.size > MOST) return shown.replaceChildren(element("p", { className: "problem", textContent: word("large") }));
    const uri = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(file);
    });
    fill(uri);
  };
  input.addEventListener("change", () => take(input.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  }
  return { name, fill, value: () => content, block: element("div", { className: "field" }, label, drop, hint) };
}

const row = () => Object.fromEntries(state.fields.map((one) => [one.name, one.value()]));

function examples() {
  const content = state.api.paths["/predict"].post.requestBody.content["application/json"];
  return Object.values(content.examples ?? {}).map((one) => one.value).filter((one) => !one.rows);
}

function tellCurl() {
  if (!state.fields.length) return;
  const short = JSON.stringify(row(), (key, value) => (typeof value === "string" && value.length > 300 ? `${value.slice(0, 40)}...` : value));
  const key = state.key ? " -H 'Authorization: Bearer KEY'" : "";
  at("curl").textContent = `curl ${new URL("predict", location)}${key} -H 'Content-Type: application/json' -d '${short.replaceAll("'", "'\\''")}'`;
}

// ----------------------------------------------------------------------------------------------------- the answer

async function answer(event) {
  event.preventDefault();
  const asked = row();
  const mine = ++state.shown;
  at("send").disabled = true;
  at("answered").setAttribute("aria-busy", "true");
  at("explanation").replaceChildren();
  at("feedback").replaceChildren();
  at("answer").replaceChildren(element("p", { className: "told", textContent: word("asking") }));
  try {
    state.last = { asked, found: await send("predict?top=5", asked), explained: null, right: null };
    tellAnswer();
    tellFeedback();
    if (at("why").checked && "/explain" in state.api.paths) {
      state.last.explained = await send("explain", asked).catch((refused) => ({ refused: refused.message }));
      if (mine === state.shown) tellExplanation();
    }
  } catch (refused) {
    state.last = null;
    at("answer").replaceChildren(element("p", { className: "problem", textContent: refused.message }));
  } finally {
    at("send").disabled = false;
    at("answered").setAttribute("aria-busy", "false");
    look();
  }
}

function said(value) {
  if (value === null) return "–";
  if (typeof value === "number") return figure(value, 6);
  return Array.isArray(value) ? value.map(said).join(", ") || "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function meter(name, share, first) {
  const filled = element("b");
  filled.style.width = `${Math.min(100, 100 * share)}%`;
  const track = element("span", { className: "track", role: "presentation" }, filled);
  return element("div", { className: first ? "meter first" : "meter" }, element("span", { textContent: name }), track, element("em", { textContent: `${(100 * share).toFixed(1)}%` }));
}

function tellAnswer() {
  const { answer: found, problems } = state.last.found;
  const names = Object.keys(found);
  const top = names.find((name) => name.endsWith("_top") && Array.isArray(found[name]));
  const share = names.find((name) => name === "confidence" || name === "score" || name === "probability");
  const parts = [element("p", { className: "given", textContent: said(found[names[0]]) })];
  if (top) {
    const [named, sure] = Object.keys(found[top][0] ?? {});
    parts.push(...found[top].map((one, place) => meter(said(one[named]), one[sure], place === 0)));
  } else if (typeof found[share] === "number") {
    parts.push(meter(share, found[share], true));
  }
  const others = names.slice(1).filter((name) => name !== top && !(name === share && typeof found[share] === "number"));
  parts.push(...others.map((name) => element("p", { className: "told", textContent: `${name}: ${said(found[name])}` })));
  if (problems.length) {
    parts.push(element("p", { className: "problem", textContent: `${word("problems")}: ${problems.map((one) => `${one.column}: ${one.reason}`).join("; ")}` }));
  }
  at("answer").replaceChildren(...parts);
}

// --------------------------------------------------------------------------------------------------- the feedback

function tellFeedback() {
  const { right, found } = state.last;
  const [name, given] = Object.entries(found.answer)[0];
  const single = given !== null && typeof given !== "object"; // several answers are told by POST /feedback
  if (!single || !("/feedback" in state.api.paths)) return at("feedback").replaceChildren();
  if (right !== null) return at("feedback").replaceChildren(element("p", { className: "told", textContent: `${word("kept")} ${said(right)}` }));
  const yes = element("button", { type: "button", className: "quiet", textContent: word("yes") });
  const no = element("button", { type: "button", className: "quiet", textContent: word("no") });
  yes.addEventListener("click", () => keep(given));
  no.addEventListener("click", () => at("feedback").append(correction(name, given)), { once: true });
  at("feedback").replaceChildren(element("div", { className: "actions" }, element("span", { textContent: word("isRight") }), yes, no));
}

function correction(name, given) {
  const names = state.api.components.schemas.Answered.properties.answer.properties[name].enum ?? [];
  const others = names.filter((one) => one !== null && one !== given).map((one) => element("option", { value: one, textContent: one }));
  const input = others.length ? element("select", { id: "right" }, ...others) : element("input", { id: "right", type: "text" });
  const label = element("label", { htmlFor: "right", textContent: word("whatIs") });
  const made = element("form", { className: "field" }, label, input, element("button", { type: "submit", textContent: word("save") }));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value);
  });
  return made;
}

async function keep(value) {
  const last = state.last;
  try {
    await send("feedback", { id: last.found.id, value });
    last.right = value;
    if (last === state.last) tellFeedback();
  } catch (refused) {
    at("feedback").append(element("p", { className: "problem", role: "alert", textContent: refused.message }));
  }
}

// ------------------------------------------------------------------------------------------------ the explanation

function tellExplanation() {
  const found = state.last.explained;
  if (!found) return at("explanation").replaceChildren();
  if (found.refused) return at("explanation").replaceChildren(element("p", { className: "told", textContent: found.refused }));
  const largest = Math.max(...found.units.map((unit) => Math.abs(unit.contribution ?? 0)), 1e-12);
  const side = (unit) => (unit.contribution >= 0 ? "for" : "against");
  const coloured = (made, unit) => {
    made.className = side(unit);
    made.style.setProperty("--s", Math.min(1, Math.abs(unit.contribution ?? 0) / largest).toFixed(3));
    made.title = `${word(side(unit))} ${figure(unit.contribution)}`;
    return made;
  };
  const views = Object.entries(state.last.asked).flatMap(([name, value]) => {
    const units = found.units.filter((unit) => unit.column === name && unit.place.length);
    if (!units.length) return [];
    if (units[0].place.length === 4) return [framed(value, units, coloured)];
    return typeof value === "string" && !value.startsWith("data:") ? [words(value, units, coloured)] : [];
  });
  const score = `${word("score")} ${found.explained}${found.scale ? ` (${found.scale})` : ""}: ${figure(found.score)} = ${figure(found.base)} ${word("base")} ${signed(found.score - found.base - found.delta)} ${signed(Math.abs(found.delta) < 5e-4 ? 0 : found.delta)} ${word("unexplained")}`;
  at("explanation").replaceChildren(element("h3", { textContent: word("why") }), ...views, strongest(found.units, largest, side), element("p", { className: "told", textContent: score }));
}

const signed = (number) => (number < 0 ? `− ${figure(-number)}` : `+ ${figure(number)}`);

function words(text, units, coloured) {
  const letters = Array.from(text); // places count characters, not halves of surrogate pairs
  const parts = [];
  let end = 0;
  for (const unit of units) {
    const [from, to] = unit.place;
    parts.push(letters.slice(end, from).join(""), coloured(element("span", { textContent: letters.slice(from, to).join("") }), unit));
    end = to;
  }
  return element("p", { className: "units" }, ...parts, letters.slice(end).join(""));
}

function framed(value, units, coloured) {
  const picture = element("img", { alt: "", src: value.startsWith("data:") ? value : `data:;base64,${value}` });
  const patches = units.map((unit) => {
    const [top, left, bottom, right] = unit.place;
    const patch = coloured(element("i"), unit);
    Object.assign(patch.style, { top: `${100 * top}%`, left: `${100 * left}%`, height: `${100 * (bottom - top)}%`, width: `${100 * (right - left)}%` });
    return patch;
  });
  return element("div", { className: "frame" }, picture, ...patches);
}

function strongest(units, largest, side) {
  const order = [...units].sort((one, other) => Math.abs(other.contribution) - Math.abs(one.contribution)).slice(0, 8);
  const lines = order.map((unit) => {
    const bar = element("b", { className: side(unit) });
    bar.style.width = `${(100 * Math.abs(unit.contribution)) / largest}%`;
    const length = element("td", { className: "length", "aria-hidden": "true" }, bar);
    const name = unit.place.length ? unit.label : unit.label.startsWith(`${unit.column} =`) ? unit.label : `${unit.column}: ${unit.label}`;
    return element("tr", {}, element("th", { scope: "row", textContent: name }), length, element("td", { className: "number", textContent: signed(unit.contribution) }));
  });
  const head = element("tr", {}, element("th", { scope: "col", textContent: word("part") }), element("td"), element("th", { scope: "col", className: "number", textContent: word("adds") }));
  return element("table", {}, element("caption", { textContent: `+ ${word("for")}, − ${word("against")}` }), element("thead", {}, head), element("tbody", {}, ...lines));
}

// ---------------------------------------------------------------------------------------------------- the traffic

async function look() {
  try {
    const ready = await fetch("readyz", { cache: "no-store" });
    tellState(ready.ok ? "ready" : "draining");
    state.traffic = await ask("traffic");
    tellTraffic();
  } catch {
    if (!at("access").hidden) return;
    tellState("away");
  }
}

function tellState(name) {
  state.status = name;
  if (!name || at("state").textContent === word(name)) return; // what is said again is read aloud again
  at("state").textContent = word(name);
  at("state").className = `state ${name === "ready" ? "good" : "bad"}`;
}

function tellTraffic() {
  const { steps, seconds, totals, answers, recent, drift } = state.traffic;
  const tiles = [
    ["requests", figure(totals.requests, 6)], ["failed", figure(totals.failed, 6)], ["refused", figure(totals.refused, 6)],
    ["median", totals.p50 === null ? "–" : `${figure(totals.p50)} ms`], ["p95", totals.p95 === null ? "–" : `${figure(totals.p95)} ms`],
  ];
  at("tiles").replaceChildren(...tiles.map(([name, value]) => element("div", {}, element("dt", { textContent: word(name) }), element("dd", { textContent: value }))));
  const rate = (name) => steps.map((step) => step[name] / seconds);
  const plots = [
    plot(word("perSecond"), [[word("requests"), rate("requests")], [word("refused"), rate("refused")], [word("failed"), rate("failed")]]),
    plot(word("latency"), [[word("median"), steps.map((step) => step.p50)], [word("p95"), steps.map((step) => step.p95)]]),
  ];
  const given = Object.values(answers).reduce((sum, count) => sum + count, 0);
  if (given) plots.push(bars(word("answers"), Object.entries(answers).slice(0, 8).map(([name, count]) => [name, count / given])));
  if (drift.length) plots.push(bars(`${word("drift")}: ${word("evidence")}`, drift.map((one) => [one.name, Math.max(0, one.value)])));
  at("plots").replaceChildren(...plots);
  tellRecent(recent);
}

function plot(title, lines) {
  const [width, height, left] = [420, 150, 44];
  const most = Math.max(...lines.flatMap(([, values]) => values.filter((value) => value !== null)), 0) || 1;
  const x = (place, count) => left + (place * (width - left - 6)) / Math.max(1, count - 1);
  const y = (value) => height - 20 - (value * (height - 34)) / most;
  const made = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${lines.map(([name, values]) => `${name}, ${word("plot")} ${figure(Math.max(...values, 0))}`).join("; ")}` });
  for (const share of [0, 0.5, 1]) {
    made.append(drawn("line", { class: "grid", x1: left, x2: width - 6, y1: y(share * most), y2: y(share * most) }));
    const text = drawn("text", { x: left - 6, y: y(share * most) + 4, "text-anchor": "end" });
    text.textContent = figure(share * most, 2);
    made.append(text);
  }
  const tones = ["one", "two", "three"];
  lines.forEach(([, values], tone) => {
    for (const run of runs(values)) {
      const points = run.map(([place, value]) => `${x(place, values.length).toFixed(1)},${y(value).toFixed(1)}`);
      if (run.length === 1) points.push(`${(x(run[0][0], values.length) + 2).toFixed(1)},${y(run[0][1]).toFixed(1)}`);
      made.append(drawn("polyline", { class: tones[tone], points: points.join(" ") }));
    }
  });
  const legend = lines.flatMap(([name], tone) => [" ", element("b", { className: tones[tone], textContent: `— ${name}` })]);
  return element("figure", {}, element("figcaption", {}, `${title} `, ...legend), made);
}

function runs(values) {
  const found = [];
  values.forEach((value, place) => {
    if (value === null) return;
    if (place && values[place - 1] !== null && found.length) found.at(-1).push([place, value]);
    else found.push([[place, value]]);
  });
  return found;
}

const bars = (title, shares) =>
  element("figure", {}, element("figcaption", { textContent: title }), ...shares.map(([name, share]) => meter(name, share, true)));

function tellRecent(recent) {
  const names = ["time", "address", "status", "rows", "milliseconds"];
  const numbers = new Set(["status", "rows", "milliseconds"]);
  const cell = (kind, name, textContent) => element(kind, { textContent, ...(numbers.has(name) ? { className: "number" } : {}), ...(kind === "th" ? { scope: "col" } : {}) });
  const lines = recent.slice(0, 12).map((one) => {
    const shown = { ...one, time: new Date(1000 * one.time).toLocaleTimeString(state.language), milliseconds: figure(one.milliseconds), rows: one.rows ?? "–" };
    return element("tr", {}, ...names.map((name) => cell("td", name, shown[name])));
  });
  const head = element("tr", {}, ...names.map((name) => cell("th", name, word(name))));
  const caption = element("caption", { textContent: lines.length ? "" : word("quiet") });
  at("recent").replaceChildren(caption, element("thead", {}, head), element("tbody", {}, ...lines));
}

// ------------------------------------------------------------------------------------------------------- language

function speak() {
  document.documentElement.lang = state.language;
  for (const one of document.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
  at("language").textContent = word("language");
  at("language").lang = state.language === "en" ? "zh" : "en";
  if (state.last) tellAnswer();
  if (state.last) tellFeedback();
  if (state.last) tellExplanation();
  if (state.traffic) tellTraffic();
  tellState(state.status);
}

at("language").addEventListener("click", () => {
  state.language = state.language === "en" ? "zh" : "en";
  speak();
});
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = at("key").value.trim();
  start();
});
at("row").addEventListener("submit", answer);
at("row").addEventListener("input", tellCurl);
let turn = 0;
at("example").addEventListener("click", () => {
  const found = examples();
  const one = found[turn++ % found.length];
  for (const part of state.fields) part.fill(one[part.name]);
  tellCurl();
});
speak();
start();
setInterval(() => document.hidden || !state.api || look(), EVERY);
