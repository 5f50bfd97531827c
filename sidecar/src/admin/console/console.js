// Asks for /stats.json each second and draws what changed. Whatever comes from the sidecar goes into
// text nodes and attributes, never into markup.
import { Chart } from "/chart.js";

const EVERY = 1000;
const PATIENCE = 3000;
const KEPT = 300;
const SHORT = 5;
const MINUTE = 60;
const MAX_ROWS = 200;
const TELL_RESTART = 15000;

const at = (id) => document.getElementById(id);
const set = (id, text) => write(at(id), text);

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const count = (value) => whole.format(Number(value));
const brief = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
// For tiles and scales, whose room is bounded.
const short = (value) => (Number(value) < 1e6 ? count(value) : brief.format(Number(value)));
const rate = (value) => (value === null ? "–" : value < 100 ? fine.format(value) : short(value));
const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(value < 0.9995 ? 1 : 0)} %`);

function bytes(value) {
  let size = Number(value);
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024 || unit === "GiB") return `${size < 100 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1024;
  }
}

function span(ms) {
  const seconds = Number(ms) / 1000;
  if (seconds === 0) return "0";
  if (seconds < 1) return `${Math.round(Number(ms))} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[first];
  const whole = Math.floor(seconds / size);
  const [nextName, nextSize] = units[first + 1];
  const rest = Math.floor((seconds - whole * size) / nextSize);
  return rest ? `${whole} ${name} ${rest} ${nextName}` : `${whole} ${name}`;
}

function micros(us) {
  if (us === null || us === undefined) return "–";
  const value = Number(us);
  return value < 1000 ? `${value} µs` : value < 1e6 ? `${fine.format(value / 1000)} ms` : `${fine.format(value / 1e6)} s`;
}

// Rows by key, each an array of cells: text, or {text, note}. Rows that are there stay there, so that
// nothing moves under a reader's eyes, finger or screen reader.
function rows(id, wanted, numbers) {
  const body = at(id);
  const held = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  wanted.forEach(([key, ...cells], place) => {
    let row = held.get(key);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.key = key;
      cells.forEach((_, column) => {
        const cell = document.createElement(column === 0 ? "th" : "td");
        if (column === 0) cell.scope = "row";
        if (numbers.includes(column)) cell.className = "number";
        row.append(cell);
      });
    }
    held.delete(key);
    cells.forEach((cell, column) => {
      const marked = cell !== null && typeof cell === "object";
      write(row.cells[column], marked ? cell.text : cell);
      row.cells[column].classList.toggle("marked", marked);
    });
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  for (const row of held.values()) row.remove();
}

function pairs(id, wanted) {
  const list = at(id);
  while (list.children.length < 2 * wanted.length) list.append(document.createElement("dt"), document.createElement("dd"));
  while (list.children.length > 2 * wanted.length) list.lastChild.remove();
  wanted.forEach(([name, value], place) => {
    write(list.children[2 * place], name);
    write(list.children[2 * place + 1], value);
  });
}

// A list that is there only while it has something to say.
function lines(id, wanted) {
  at(id).hidden = wanted.length === 0;
  const list = at(`${id}-list`);
  const all = wanted.join("\n");
  if (list.dataset.all === all) return;
  list.dataset.all = all;
  list.replaceChildren(...wanted.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

// What the sidecar said, newest last; emptied when another run of it answers.
const history = [];
const per = (name) => (stats) => Number(stats.cache[name]);
const reads = (stats) => ["hits", "stale", "misses"].reduce((sum, name) => sum + Number(stats.cache[name]), 0);
const loads = (stats) => ["leads", "refreshes", "promoted"].reduce((sum, name) => sum + Number(stats.cache[name]), 0);
const answered = (stats) => Number(stats.cache.hits) + Number(stats.cache.stale);
// Without a cache each of these reads would have been a load.
const saved = (stats) => Math.max(0, answered(stats) + Number(stats.cache.coalesced) - Number(stats.cache.refreshes) - Number(stats.cache.promoted)
  // Where a cache observes, everybody loads.
  - Number(stats.cache.matches) - Number(stats.cache.mismatches));

function since(seconds) {
  const last = history.at(-1);
  const first = history.find(({ time }) => last.time - time <= seconds + 0.5);
  return first === last ? null : { first, last, took: last.time - first.time };
}

function grown(of, seconds) {
  const window = since(seconds);
  return window && of(window.last.stats) - of(window.first.stats);
}

function perSecond(of, seconds) {
  const window = since(seconds);
  return window && (of(window.last.stats) - of(window.first.stats)) / window.took;
}

const charts = [
  [new Chart(at("c-ratio"), { title: "Hit ratio", series: ["hit ratio"], say: share, top: 1 }),
    (one, other) => {
      const all = reads(other) - reads(one);
      return [all > 0 ? (answered(other) - answered(one)) / all : null];
    }],
  [new Chart(at("c-reads"), { title: "Reads a second", series: ["fresh", "stale", "missed"], say: rate }),
    (one, other, took) => ["hits", "stale", "misses"].map((name) => (per(name)(other) - per(name)(one)) / took)],
  [new Chart(at("c-loads"), { title: "Loads a second", series: ["begun", "waited for another's"], say: rate }),
    (one, other, took) => [(loads(other) - loads(one)) / took, (per("coalesced")(other) - per("coalesced")(one)) / took]],
];

function drawCharts() {
  const now = history.at(-1).time;
  // A page that was just opened has little to show: the window grows to its full length.
  const held = now - history[0].time;
  const seconds = [MINUTE, 2 * MINUTE].find((length) => held <= length) ?? KEPT;
  for (const [chart, values] of charts) {
    const points = [];
    for (let later = 1; later < history.length; later += 1) {
      const [one, other] = [history[later - 1], history[later]];
      points.push([other.time, ...values(one.stats, other.stats, other.time - one.time)]);
    }
    chart.draw(points, now, seconds);
  }
}

function modeOf(cache) {
  const ends = cache.mode_ends_in_ms === null ? "" : `, for another ${span(cache.mode_ends_in_ms)}`;
  const whose = cache.switched ? " (switched by an operator)" : "";
  const text = `${cache.mode}${ends}${whose}`;
  return cache.mode === "on" && !cache.switched ? text : { text };
}

const countsNamed = (stats, name) => stats.caches.find((one) => one.name === name)?.counts ?? null;

// Reads a second, hit ratio and loads a second of what `pick` finds in both ends of the window.
function countsOf(pick) {
  const window = since(SHORT);
  const [first, last] = window ? [pick(window.first.stats), pick(window.last.stats)] : [null, null];
  if (!first || !last) return ["–", "–", "–"];
  const more = (name) => Number(last[name]) - Number(first[name]);
  const found = more("hits") + more("stale");
  const all = found + more("misses");
  return [rate(all / window.took), share(all > 0 ? found / all : null), rate(more("loads") / window.took)];
}

const LOADS = [
  ["leads", "begun for what was not held"], ["refreshes", "begun to refresh"], ["promoted", "handed to a waiter"],
  ["coalesced", "waited for another's"], ["stored", "stored"], ["superseded", "came too late"], ["failed", "failed"],
  ["given_up", "given up"], ["too_large", "too large to keep"], ["shed", "refused: too many at once"],
];
const REASONS = { revalidating: "one caller refreshes it", load_failed: "the load failed or took too long", shed: "too many loads at once", over_budget: "its tenant's loads were spent" };

function draw(stats) {
  const cache = stats.cache;
  set("program", stats.program);
  set("stage", stats.stage);
  set("uptime", span(stats.uptime_ms));
  set("boot", stats.boot);

  const window = grown(reads, SHORT);
  set("t-ratio", window ? share(grown(answered, SHORT) / window) : "–");
  set("t-reads", rate(perSecond(reads, SHORT)));
  set("t-loads", rate(perSecond(loads, SHORT)));
  set("t-saved", short(saved(stats)));
  const all = saved(stats) + loads(stats);
  set("t-saved-of", all ? `${share(saved(stats) / all)} of those without a cache` : "since the start");
  set("t-calls", short(stats.calls_in_flight));
  set("t-connections", `${count(stats.connections)} of ${count(stats.max_connections)} connections`);
  set("t-entries", short(stats.memory.entries));
  set("t-bytes", `${bytes(stats.memory.entry_bytes)} of ${bytes(stats.memory.budget_bytes)}`);
  drawCharts();

  const caches = stats.caches.slice(0, MAX_ROWS);
  const table = caches.map((one) => [one.name, one.name, modeOf(one), count(one.tenants), ...countsOf((of) => countsNamed(of, one.name)),
    span(one.fresh_ms), span(one.stale_ms), span(one.stale_if_error_ms), span(one.negative_ms), one.declared ? "declared" : "undeclared"]);
  // No cache has this name: its key has a space.
  if (stats.caches.some((one) => one.counts === null)) {
    table.push(["all others", "all others, together", "", "", ...countsOf((of) => of.other_counts), "", "", "", "", ""]);
  }
  rows("caches", table, [2, 3, 4, 5, 6, 7, 8, 9]);
  const more = stats.caches.length - caches.length;
  at("caches-none").hidden = stats.caches.length > 0 && more === 0;
  set("caches-none", more > 0 ? `and ${count(more)} more` : "No cache is declared or in use yet.");

  rows("methods", stats.methods.map((one) => {
    const ended = (of) => Number(of.methods.find((other) => other.method === one.method)?.calls ?? 0);
    const wrong = Object.entries(one.by_code).filter(([code]) => code !== "OK").map(([code, calls]) => `${code} ${count(calls)}`);
    const cell = wrong.length ? { text: wrong.join(", ") } : "none";
    return [one.method, one.method, rate(perSecond(ended, SHORT)), micros(one.p50_us), micros(one.p99_us), count(one.calls), cell];
  }), [1, 2, 3, 4]);

  const lately = (of) => {
    const value = grown(of, MINUTE);
    return value === null ? "–" : count(value);
  };
  rows("loads", LOADS.map(([name, words]) => [name, words, lately(per(name)), count(cache[name])]), [1, 2]);
  const reason = (name) => (of) => Number(of.cache.stale_by_reason[name] ?? 0);
  const reasons = new Set([...Object.keys(REASONS), ...Object.keys(cache.stale_by_reason)]);
  rows("stale", [...reasons].map((name) =>
    [name, REASONS[name] ?? name, lately(reason(name)), count(reason(name)(stats))]), [1, 2]);

  const memory = stats.memory;
  const part = Number(memory.budget_bytes) ? Number(memory.entry_bytes) / Number(memory.budget_bytes) : 0;
  at("budget").value = part;
  at("budget").textContent = share(part);
  pairs("memory", [
    ["Entries", `${count(memory.entries)}, ${bytes(memory.entry_bytes)}: ${share(part)} of ${bytes(memory.budget_bytes)}`],
    ["Process", Number(memory.resident_bytes) ? `${bytes(memory.resident_bytes)} resident` : "not told by the system"],
    ["Messages", memory.in_flight_bytes === null ? "not counted"
      : `${bytes(memory.in_flight_bytes)} under way, of ${bytes(memory.in_flight_budget_bytes ?? 0)}`],
    ["Evicted", `${count(cache.evictions)} for room, ${lately(per("evictions"))} in the last minute`],
    ["Expired", count(cache.expired)],
    ["Loads open", count(stats.loads_unsettled)],
    ["Caches in use", `${count(stats.tenant_caches)}, each of one tenant`],
  ]);

  const config = stats.config;
  pairs("config", config.file ? [
    ["File", config.file], ["Hash", config.hash], ["In force for", span(config.loaded_ms_ago)],
    ["Reloads", `${count(config.reloads)} obeyed, ${count(config.reloads_refused)} refused`],
  ] : [["File", "none: flags, environment and defaults"], ["In force for", span(config.loaded_ms_ago)]]);
  lines("refused", config.refused);
  lines("restart", config.after_restart);

  rows("changes", stats.changes.map((one, place) =>
    [`${stats.changes.length - place} ${one.kind} ${one.what}`, span(one.age_ms), one.kind, one.what]), [0]);
}

const STAGES = {
  draining: "The sidecar is draining: it takes no new connections, and calls under way finish.",
  leaving: "The sidecar is leaving: it has told its callers to go.",
  stopped: "The sidecar has stopped.",
};

let paused = false;
let answeredAt = null;
let restartedAt = null;
let away = false;

// A status region speaks when its text changes, so it changes with the state and not each second.
function banner(text) {
  write(at("banner"), text);
  at("banner").classList.toggle("shown", text !== "");
}

function showAge() {
  const old = (away || paused) && answeredAt !== null;
  at("age").hidden = !old;
  if (old) set("age", `These figures are ${span(Math.floor((performance.now() - answeredAt) / 1000) * 1000 || 1000)} old.`);
}

async function ask() {
  try {
    const reply = await fetch("/stats.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    const stats = await reply.json();
    const now = performance.now();
    const restarted = history.length > 0 && history.at(-1).stats.boot !== stats.boot;
    if (restarted) {
      history.length = 0;
      restartedAt = now;
    }
    history.push({ time: now / 1000, stats });
    while (history[0].time < now / 1000 - KEPT) history.shift();
    answeredAt = now;
    away = false;
    document.body.classList.remove("away");
    const anew = restartedAt !== null && now - restartedAt < TELL_RESTART;
    banner(STAGES[stats.stage] ?? (anew ? "The sidecar was restarted: counters begin anew." : ""));
    draw(stats);
  } catch {
    away = true;
    document.body.classList.add("away");
    set("stage", "away");
    banner("The sidecar does not answer. This page goes on asking.");
  }
  showAge();
}

// One round at a time: a later one, begun because the page is seen again, ends the earlier.
let round = 0;
async function tick() {
  const mine = (round += 1);
  if (!paused && !document.hidden) await ask();
  else showAge();
  if (mine === round) setTimeout(() => mine === round && tick(), EVERY);
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  showAge();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tick();
});
tick();
