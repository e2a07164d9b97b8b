"use strict";
// The page of the sandbox: asks /_sandbox/page once a second and shows what is new.
//
// Owns: the list of events, the figures, the filters.
// Refuses: to put anything that came with an event into the page other than as text
// (textContent): an event is written by strangers.

const ROW_LIMIT = 200; // rows in the list; more would slow the browser, not inform
const ASK_LIMIT = 60; // events in one answer; at 100,000 a second nobody reads more
const ASK_EVERY = 1000; // milliseconds between answers, not between questions
const ASK_AGAIN = 4000; // milliseconds after a failure
const FLASH_LIMIT = 10; // more new rows at once than this would only flicker
const CHART_SECONDS = 90;
const BAR_LIMIT = 12;

const page = {
  newest: -1, // number of the newest event in the list
  generation: null, // of the sandbox: grows when it is reset
  held: false,
  timer: 0,
  question: 0, // only the answer to the last question counts
  reasons: {},
};

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const count = (number) => number.toLocaleString("en-US");

function brief(number) {
  if (number < 1e7) return count(number);
  return `${(number / 1e6).toFixed(1)}M`;
}

function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (number >= 1000 && place < units.length - 1) { number /= 1000; place += 1; }
  return `${place && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[place]}`;
}

// JSON as text, indented and coloured. Works on the text so that digits stay as sent.
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)|([{}[\],])/g;

function paintJson(text, target) {
  let depth = 0;
  const newline = () => target.append(`\n${"  ".repeat(depth)}`);
  let before = "";
  for (const [, string, colon, number, word, mark] of text.matchAll(TOKEN)) {
    const opens = before === "{" || before === "[";
    const closes = mark === "}" || mark === "]";
    if (closes) depth -= 1;
    if (opens !== closes && (opens || closes)) newline();
    if (string !== undefined) {
      target.append(make("span", colon ? "j-name" : "j-string", string));
      if (colon) target.append(": ");
    } else if (number !== undefined) target.append(make("span", "j-number", number));
    else if (word !== undefined) target.append(make("span", "j-word", word));
    else target.append(mark);
    if (mark === "{" || mark === "[") depth += 1;
    if (mark === ",") newline();
    before = mark || "";
  }
}

// Events

function titleOf(row, event) {
  if (event === null || typeof event !== "object") return "not an object";
  if (row.type === "track") return String(event.event ?? "track without a name");
  return String(event.name ?? { identify: "Identify", group: `Group ${event.groupId ?? ""}`,
    alias: `Alias of ${event.previousId ?? ""}` }[row.type] ?? event.type ?? "no type");
}

function hintOf(event) {
  const hint = make("span", "hint");
  const values = event && (event.properties ?? event.traits);
  if (!values || typeof values !== "object") return hint;
  Object.entries(values).slice(0, 5).forEach(([name, value], place) => {
    const shown = typeof value === "object" ? "…" : String(value).slice(0, 40);
    hint.append(`${place ? " " : ""}${name} `, make("b", "", shown));
  });
  return hint;
}

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

function makeRow(record, flashes) {
  const event = parse(record.json);
  const isObject = event !== null && typeof event === "object";
  const kinds = ["track", "identify", "page", "screen", "group", "alias"];
  const type = isObject && kinds.includes(event.type) ? event.type : "";
  const item = make("li", `${record.outcome} ${flashes ? "fresh" : ""}`);
  const head = make("button", "head");
  head.type = "button";
  head.setAttribute("aria-expanded", "false");
  const name = make("span", "name", titleOf({ type }, event));
  if (record.outcome !== "accepted") {
    const bad = record.outcome === "dropped";
    const why = make("span", `why ${bad ? "bad" : "warn"}`, (record.reason ?? "repeated").replaceAll("_", " "));
    why.title = page.reasons[record.reason] ?? "this messageId was accepted before";
    name.append(why);
  }
  const user = isObject ? event.userId || event.anonymousId || "" : "";
  const time = new Date(record.received_at).toLocaleTimeString("en-GB");
  head.append(make("span", "dot"), make("span", `badge ${type}`, type || "?"), name, hintOf(event),
    make("span", "user", String(user)), make("span", "time", time));
  head.addEventListener("click", () => toggleRow(item, head, record));
  item.append(head);
  return item;
}

function toggleRow(item, head, record) {
  const open = item.classList.toggle("open");
  head.setAttribute("aria-expanded", String(open));
  item.querySelector(".body")?.remove();
  if (!open) return;
  const body = make("div", "body");
  const where = `event ${count(record.number)} · request ${count(record.request)} · lane ${record.connection} · ${count(record.bytes)} bytes`;
  body.append(make("div", "meta", where));
  const pre = make("pre");
  paintJson(record.json, pre);
  body.append(pre);
  item.append(body);
}

function addEvents(records) {
  if (!records.length) return;
  const list = $("list");
  const filtered = $("filter").value || $("type").value || $("outcome").value;
  const missed = records.at(-1).number - page.newest - 1;
  const pieces = records.map((record) => makeRow(record, records.length <= FLASH_LIMIT));
  if (missed > 0 && page.newest >= 0 && !filtered) {
    pieces.push(make("li", "gap", `${count(missed)} more came too fast to be listed here`));
  }
  list.prepend(...pieces);
  page.newest = records[0].number;
  while (list.children.length > ROW_LIMIT) list.lastElementChild.remove();
}

function clearList() {
  $("list").replaceChildren();
  page.newest = -1;
}

// Figures

function showChart(timeline, now) {
  const chart = $("chart");
  const width = chart.clientWidth || 300;
  const height = chart.clientHeight || 52;
  const rows = new Map(timeline);
  const columns = [];
  for (let second = now - CHART_SECONDS; second < now; second += 1) {
    const row = rows.get(second) ?? {};
    columns.push([row.accepted ?? 0, row.repeated ?? 0, (row.dropped ?? 0) + (row.refused ?? 0)]);
  }
  const sum = (parts) => parts.reduce((a, b) => a + b, 0);
  const top = Math.max(1, ...columns.map(sum));
  const step = width / CHART_SECONDS;
  const shapes = [rectangle("floor", 0, height - 1, width, 1)];
  columns.forEach((parts, place) => {
    let floor = height;
    parts.forEach((part, which) => {
      if (!part) return;
      const tall = Math.max(1.5, (part / top) * (height - 2));
      floor -= tall;
      shapes.push(rectangle(["accepted", "repeated", "lost"][which], place * step, floor, Math.max(step - 1, 1), tall));
    });
  });
  chart.replaceChildren(...shapes);
  $("rate").textContent = brief(sum(columns.at(-1)));
}

function rectangle(className, x, y, width, height) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  Object.entries({ class: className, x, y: Math.max(y, 0), width, height, rx: 1 })
    .forEach(([name, value]) => shape.setAttribute(name, value));
  return shape;
}

function showBars(target, entries, nothing) {
  const most = Math.max(1, ...entries.map((entry) => entry.count));
  const lines = entries.slice(0, BAR_LIMIT).map((entry) => {
    const line = make("div", "line");
    const fill = make("div", "fill");
    fill.style.width = `${(100 * entry.count) / most}%`;
    if (entry.hue) line.style.setProperty("--hue", `var(--${entry.hue})`);
    if (entry.title) line.title = entry.title;
    line.append(fill, make("span", "", entry.name), make("span", "count", count(entry.count)));
    return line;
  });
  if (!lines.length) lines.push(make("div", "none", nothing));
  if (entries.length > BAR_LIMIT) lines.push(make("div", "none", `and ${count(entries.length - BAR_LIMIT)} more`));
  target.replaceChildren(...lines);
}

function showCounts(stats) {
  const events = Object.entries(stats.by_event).map(([name, number]) => ({ name, count: number, hue: "track" }));
  Object.entries(stats.by_type).filter(([name]) => name !== "track")
    .forEach(([name, number]) => events.push({ name: `${name} calls`, count: number, hue: name }));
  showBars($("by-event"), events.sort((a, b) => b.count - a.count), "nothing yet");
  const lost = [];
  if (stats.repeated) lost.push({ name: "repeated", count: stats.repeated, hue: "repeated", title: "this messageId was accepted before" });
  for (const [table, suffix] of [[stats.dropped, ""], [stats.refusals, " (requests refused)"]]) {
    for (const [name, number] of Object.entries(table)) {
      lost.push({ name: name.replaceAll("_", " ") + suffix, count: number, hue: "lost", title: page.reasons[name] });
    }
  }
  showBars($("reasons"), lost.sort((a, b) => b.count - a.count), "everything was accepted");
}

function showTiles(stats) {
  $("accepted").textContent = brief(stats.accepted);
  $("accepted-note").textContent = `${count(stats.users)} users`;
  $("requests").textContent = brief(stats.requests);
  const wire = stats.bytes_on_wire ? `${bytes(stats.bytes_on_wire)}, ${(stats.bytes / stats.bytes_on_wire).toFixed(1)}x packed` : "";
  $("requests-note").textContent = wire;
  $("repeated").textContent = brief(stats.repeated);
  $("dropped").textContent = brief(stats.dropped_total);
  $("dropped").classList.toggle("bad", stats.dropped_total > 0);
  $("refused-note").textContent = stats.refused ? `${brief(stats.refused)} more refused` : "silently, as Segment does";
}

function showRequests(requests) {
  $("request-rows").replaceChildren(...requests.map((request) => {
    const row = make("tr");
    const status = request.status ?? "open";
    const good = typeof status === "number" && status < 300;
    const answer = make("td", `status ${good ? "" : request.status === null ? "open" : "bad"}`, String(status).replaceAll("_", " "));
    if (request.fault) answer.title = `fault: ${request.fault}`;
    const time = request.seconds === undefined ? "…" : `${(request.seconds * 1000).toFixed(1)} ms`;
    row.append(make("td", "", count(request.number)), answer, make("td", "", count(request.events ?? 0)),
      make("td", "", bytes(request.bytes_on_wire ?? 0)), make("td", "", String(request.connection)), make("td", "", time));
    return row;
  }));
}

function showFaults(rules) {
  $("faults-panel").hidden = !rules.length;
  $("faults").replaceChildren(...rules.map((rule) => {
    const text = `${rule.name}: ${JSON.stringify(rule.action)}\nfired ${rule.fired} of ${rule.seen}`;
    return make("code", "", text);
  }));
}

function show(answer) {
  const { stats } = answer;
  page.reasons = answer.reasons;
  if (page.generation !== null && page.generation !== stats.generation) clearList();
  page.generation = stats.generation;
  showTiles(stats);
  showChart(answer.timeline, answer.second);
  showCounts(stats);
  showRequests(answer.requests);
  showFaults(answer.faults);
  if (!page.held) addEvents(answer.events);
  const empty = $("list").children.length === 0;
  $("empty").hidden = !empty;
  if (empty && stats.received) $("empty").textContent = "No kept event matches.";
}

// Asking

function setState(className, text) {
  $("state").className = `state ${className}`;
  $("state").textContent = text;
}

async function ask() {
  clearTimeout(page.timer);
  if (document.hidden) return; // visibilitychange asks again
  page.question += 1;
  const question = page.question;
  const query = new URLSearchParams({ after: page.newest, limit: page.held ? 0 : ASK_LIMIT });
  for (const [name, id] of [["contains", "filter"], ["type", "type"], ["outcome", "outcome"]]) {
    if ($(id).value) query.set(name, $(id).value);
  }
  let wait = ASK_EVERY;
  try {
    const response = await fetch(`_sandbox/page?${query}`);
    if (!response.ok) throw new Error(`status ${response.status}`);
    const answer = await response.json();
    if (question !== page.question) return;
    show(answer);
    setState(page.held ? "held" : "live", page.held ? "held still; counting goes on" : "listening");
  } catch (error) {
    if (question !== page.question) return;
    setState("gone", "the sandbox does not answer");
    console.warn(error);
    wait = ASK_AGAIN;
  }
  page.timer = setTimeout(ask, wait);
}

function filterAgain() {
  clearList();
  clearTimeout(page.timer);
  page.timer = setTimeout(ask, 150); // while typing, not for each letter
}

function togglePause() {
  page.held = !page.held;
  $("pause").setAttribute("aria-pressed", String(page.held));
  $("pause").textContent = page.held ? "Go on" : "Pause";
  ask();
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

$("where").textContent = location.host;
$("endpoint").textContent = `${location.origin}/v1/batch`;
$("filter").addEventListener("input", filterAgain);
$("type").addEventListener("change", filterAgain);
$("outcome").addEventListener("change", filterAgain);
$("pause").addEventListener("click", togglePause);
$("theme").addEventListener("click", toggleTheme);
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
document.addEventListener("keydown", (key) => {
  if (key.key === " " && key.target === document.body) { key.preventDefault(); togglePause(); }
});
ask();
