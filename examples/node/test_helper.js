// What the helper must hold when things go wrong, against a sidecar of its own: MILLPOND_BIN says which binary.
// MILLPOND_ADDR only chooses the transport, TCP or Unix socket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Item, Millpond } from "./millpond.js";

const BOUND = 20_000;
const timeout = { timeout: BOUND };
const folder = mkdtempSync(join(tmpdir(), "millpond-"));
let sidecar, pond;
process.removeAllListeners("warning"); // the helper's, of what is provoked here

async function start(listen) {
  const socket = join(folder, "pond.sock");
  const child = spawn(process.env.MILLPOND_BIN, ["serve", "--listen", listen, "--probe", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--socket", socket],
    { stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let said = "";
  for await (const line of createInterface({ input: child.stdout })) {
    said += `${line}\n`;
    if (line.includes("/metrics)")) break;
  }
  const [, tcp] = /cache +http:\/\/(\S+)/.exec(said);
  const address = process.env.MILLPOND_ADDR?.startsWith("unix:") ? `unix:${socket}` : `http://${tcp}`;
  return { tcp, address, probe: /probe +(http:\S+)/.exec(said)[1], kill: () => (child.kill("SIGKILL"), ended) };
}

before(async () => {
  sidecar = await start("127.0.0.1:0");
  pond = new Millpond({ address: sidecar.address });
});
after(async () => {
  pond.close();
  await sidecar.kill();
  rmSync(folder, { recursive: true });
});

async function until(holds, what) {
  for (const end = Date.now() + BOUND; !(await holds()); await sleep(2)) assert.ok(Date.now() < end, what);
}

/** A loader that counts, and that can be held up. */
function origin(value, { held = false } = {}) {
  let begin, goOn;
  const begun = new Promise((resolve) => { begin = resolve; }), gate = new Promise((resolve) => { goOn = resolve; });
  const load = async () => {
    load.loads += 1;
    begin();
    if (held) await gate;
    if (value instanceof Error) throw value;
    return value;
  };
  return Object.assign(load, { loads: 0, begun, goOn });
}

/** Callers that wait for a load under way; resolves once the sidecar has them all. */
async function follow(cache, load, callers) {
  const waiting = async () =>
    Number(/^millpond_\w*coalesced\w*(?:\{.*\})? (\d+)/m.exec(await (await fetch(`${sidecar.probe}/metrics`)).text())[1]);
  const already = await waiting();
  const reads = Array.from({ length: callers }, () => cache.getOrLoad("k", load));
  for (const read of reads) read.catch(() => {}); // looked at later
  await until(async () => (await waiting()) >= already + callers, "nobody waits");
  return reads;
}
const texts = async (reads) => [...new Set((await Promise.all(reads)).map(String))];

test("two hundred callers of a cold key make one load", timeout, async () => {
  const cache = pond.cache("t", "herd"), load = origin("value", { held: true });
  const leader = cache.getOrLoad("k", load);
  await load.begun;
  const reads = await follow(cache, load, 199);
  load.goOn();
  assert.deepEqual(await texts([leader, ...reads]), ["value"]);
  assert.equal(load.loads, 1);
});

test("when the leading process is killed another leads", timeout, async () => {
  const code = `import { Millpond } from ${JSON.stringify(new URL("millpond.js", import.meta.url))};
    const cache = new Millpond({ address: ${JSON.stringify(sidecar.address)} }).cache("t", "killed", { lease: 500 });
    await cache.getOrLoad("k", () => { console.log("leads"); return new Promise(() => setInterval(() => {}, 1000)); });`;
  const leader = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => leader.stdout.once("data", resolve));
  const load = origin("value");
  const reads = await follow(pond.cache("t", "killed", { wait: BOUND }), load, 10);
  leader.kill("SIGKILL");
  assert.deepEqual(await texts(reads), ["value"]);
  assert.equal(load.loads, 1);
});

test("when the loader throws its followers get that error and nobody loads again", timeout, async () => {
  const cache = pond.cache("t", "throws"), torn = new Error("row is torn"), load = origin(torn, { held: true });
  const leader = cache.getOrLoad("k", load);
  leader.catch(() => {});
  await load.begun;
  const reads = await follow(cache, load, 10);
  load.goOn();
  await assert.rejects(leader, torn);
  for (const read of reads) await assert.rejects(read, { reason: "LOAD_FAILED", message: /row is torn/ });
  assert.equal(load.loads, 1);
});

test("when the loader is aborted a follower is promoted and nobody gets an error", timeout, async () => {
  const cache = pond.cache("t", "aborted"), load = origin("value");
  const aborted = origin(new DOMException("the request is gone", "AbortError"), { held: true });
  const leader = cache.getOrLoad("k", aborted);
  leader.catch(() => {});
  await aborted.begun;
  const reads = await follow(cache, load, 10);
  aborted.goOn();
  await assert.rejects(leader, { name: "AbortError" });
  assert.deepEqual(await texts(reads), ["value"]);
  assert.equal(load.loads, 1);
});

test("what was invalidated during its load is kept by nobody", timeout, async () => {
  const cache = pond.cache("t", "overtaken"), old = origin("old", { held: true }), load = origin("new");
  const leader = cache.getOrLoad("k", old);
  await old.begun;
  const reads = await follow(cache, load, 10);
  await cache.invalidate("k");
  old.goOn();
  assert.deepEqual(await texts([leader]), ["old"]); // its own load, begun before
  assert.deepEqual(await texts([...reads, cache.getOrLoad("k", load)]), ["new"]);
  assert.equal(load.loads, 1);
});

test("bulk reads that lead and follow each other crosswise end with one load a key", timeout, async () => {
  const cache = pond.cache("t", "crosswise");
  for (let turn = 0; turn < 50; turn += 1) {
    const loaded = [];
    const load = async (keys) => new Map(keys.map((key) => (loaded.push(key), [key, key])));
    const keys = Array.from({ length: 8 }, (_, number) => `${turn}-${number}`);
    for (const found of await Promise.all([keys, keys.toReversed?.() ?? [...keys].reverse()].map((way) =>
      cache.getManyOrLoad(way, load)))) {
      assert.deepEqual(keys.map((key) => String(found.get(key))), keys);
    }
    assert.deepEqual(loaded.sort(), keys);
  }
});

test("what cannot be kept is still returned and holds up nobody", timeout, async () => {
  const cache = pond.cache("t", "misfits", { wait: BOUND });
  const tagged = new Item("value", Array.from({ length: 9 }, (_, number) => `tag${number}`));
  for (const value of [Buffer.alloc(5 << 20), tagged]) {
    const load = origin(value, { held: true });
    const leader = cache.getOrLoad("k", load);
    await load.begun;
    const [follower] = await follow(cache, () => "small", 1);
    load.goOn();
    assert.deepEqual(await leader, Buffer.from(value.value ?? value));
    assert.deepEqual(await texts([follower]), ["small"]);
    await cache.invalidate("k");
  }
});

test("when loading fails a value past its time stands in", timeout, async () => {
  const cache = pond.cache("t", "stands-in", { fresh: 10, staleIfError: 60_000 }), failing = origin(new Error("down"));
  await cache.set("k", "yesterday's");
  await sleep(50); // its freshness passes
  assert.deepEqual(await texts([cache.getOrLoad("k", failing)]), ["yesterday's"]);
  assert.equal(failing.loads, 1);
});

test("a loader that brings neither bytes nor a string is told so and leaves no lease behind", timeout, async () => {
  const cache = pond.cache("t", "typed");
  await assert.rejects(cache.getOrLoad("k", async () => 42), TypeError);
  assert.deepEqual(await texts([cache.getOrLoad("k", async () => "value")]), ["value"]);
});

test("a sidecar killed under load costs only what was chosen, and is used again when it is back", timeout, async () => {
  const loading = pond.cache("t", "away", { fresh: 5, away: "load" }), raising = pond.cache("t", "away", { fresh: 5 });
  let read = 0, raised = 0, ended = false;
  const reads = async (cache) => {
    while (!ended) {
      try {
        assert.equal(String(await cache.getOrLoad("k", async () => "value")), "value");
        read += 1;
      } catch (error) {
        if (cache === loading || error.reason !== "UNAVAILABLE") throw error;
        raised += 1;
      }
    }
  };
  const readers = Promise.all([loading, raising, loading, raising].map(reads));
  readers.catch(() => {}); // looked at below
  try {
    for (let round = 0; round < 3; round += 1) {
      read = 0;
      await until(() => read > 200, "nobody reads");
      await sidecar.kill();
      raised = 0;
      await until(() => raised > 20, "nobody notices");
      sidecar = await start(sidecar.tcp);
      await until(() => raising.getOrLoad("k", async () => "value").then(() => true, () => false), "it is not used again");
    }
  } finally {
    ended = true;
  }
  await readers;
});
