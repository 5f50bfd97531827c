// What the helpers must hold when things go wrong, against a sidecar of its own: MILLPOND_BIN says which binary, and
// MILLPOND_CONFIG that its limits are those of examples/millpond.yaml.
// MILLPOND_ADDR only chooses the transport, TCP or Unix socket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Item, Millpond } from "./millpond.js";
import { charge, Decision, Limit } from "./millpond_limits.js";

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
  return { tcp, address, probe: /probe +(http:\S+)/.exec(said)[1], kill: () => (child.kill("SIGKILL"), ended),
    pid: child.pid };
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

const limit = (name, { away = "raise", from = pond } = {}) => new Limit(from, "everyday", name, { away });
const left = async (key) => (await limit("tokens").peek({ key })).remaining;

test("of fifty callers exactly as many pass as the bucket holds", timeout, async () => {
  const asked = Array.from({ length: 50 }, () => limit("tokens").acquire({ key: "burst", cost: 100 }));
  const denied = (await Promise.all(asked)).filter((decision) => !decision.allowed);
  assert.equal(denied.length, 40);
  for (const { reason, retryAfter } of denied) assert.ok(reason === "OVER_LIMIT" && retryAfter > 0);
});

test("a patient caller may wait longer than a call takes", timeout, async () => {
  const from = new Millpond({ address: sidecar.address, timeout: 300 });
  const asked = { key: "patient", cost: 5, wait: BOUND };
  const turns = await Promise.all(Array.from({ length: 4 }, () => limit("api", { from }).acquire(asked)));
  assert.ok(turns.every((turn) => turn.allowed));
  from.close();
});

test("charges are spent all or none", timeout, async () => {
  const both = () => limit("tokens").acquire({ key: "both", cost: 400, also: [charge("logins", "both", 3)] });
  assert.ok((await both()).allowed);
  const { allowed, decidedBy } = await both();
  assert.deepEqual([allowed, decidedBy.limit, decidedBy.keyed], [false, "logins", true]);
  assert.equal(await left("both"), 600);
});

test("a reservation is released unless it is committed, and committed once", timeout, async () => {
  const asked = { key: "held", cost: 600, hold: 60_000 };
  const failing = async () => {
    const held = await limit("tokens").reserve(asked);
    try {
      assert.equal(await left("held"), 400);
      throw new Error("the work failed");
    } finally {
      await held.release();
    }
  };
  await assert.rejects(failing(), /the work failed/);
  assert.equal(await left("held"), 1000);
  const held = await limit("tokens").reserve(asked), settled = [await held.commit(100), await held.commit(100)];
  assert.deepEqual([...settled, await held.release()], ["DONE", "REPEATED", "VOID"]);
  assert.equal(await left("held"), 900);
  const refused = await limit("tokens").reserve(asked);
  await assert.rejects(refused.commit(1, 2), { reason: "INVALID_ARGUMENT" });
  assert.equal(await refused.release(), "DONE");
  assert.equal(await left("held"), 900);
  const denied = await limit("tokens").reserve({ ...asked, cost: 901 });
  assert.ok(!denied.allowed);
  await assert.rejects(denied.commit(1), /nothing is held/);
});

test("what is no decision is thrown however absence is met", timeout, async () => {
  for (const away of ["open", "closed", "raise"]) {
    await assert.rejects(limit("nobodys", { away }).acquire(), { reason: "NOT_FOUND" });
  }
  assert.throws(() => limit("api", { away: "load" }), /expected open, closed or raise/);
});

test("HTTP is told of the bucket that decided", timeout, () => {
  const reply = { allowed: false, reason: "LIMIT_REASON_OVER_LIMIT", decidedBy: { limit: "api", keyed: true },
    capacity: "10", remaining: "2", resetAfterMs: "8001", rate: "3", periodMs: "1000", retryAfterMs: "1001" };
  assert.deepEqual(new Decision(reply).headers(),
    { "RateLimit-Policy": '"api";q=10;w=4', RateLimit: '"api";r=2;t=2', "Retry-After": "2" });
  assert.deepEqual(new Decision({ ...reply, allowed: true, decidedBy: { limit: "" } }).headers(),
    { "RateLimit-Policy": '"requests";q=10;w=4', RateLimit: '"requests";r=2;t=9' });
  assert.deepEqual(new Decision({ allowed: true, reason: "OK" }).headers(), {});
});

test("a call is said again once with its own id, and only when its peer is away", timeout, async () => {
  const asked = [], contract = loadSync(new URL("limit.proto", import.meta.url).pathname);
  const { LimitService } = grpc.loadPackageDefinition(contract).millpond.v1;
  let code = grpc.status.UNAVAILABLE;
  const server = new grpc.Server();
  server.addService(LimitService.service, { Acquire: ({ request }, reply) => {
    asked.push(request.requestId.toString("hex"));
    reply({ code, details: "refused" });
  } });
  const port = await new Promise((resolve, reject) => server.bindAsync("127.0.0.1:0",
    grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port))));
  const from = new Millpond({ address: `http://127.0.0.1:${port}` }), open = limit("api", { from, away: "open" });
  for (const requestId of [undefined, "own", undefined]) {
    const { allowed, withoutSidecar } = await open.acquire({ requestId });
    assert.ok(allowed && withoutSidecar);
  }
  const [first, again, ...others] = asked, own = Buffer.from("own").toString("hex");
  assert.deepEqual([first.length, again, ...others.slice(0, 2)], [32, first, own, own]);
  assert.ok(others.length === 4 && others[2] === others[3] && others[2] !== first);
  code = grpc.status.RESOURCE_EXHAUSTED;
  await assert.rejects(open.acquire(), { reason: "RESOURCE_EXHAUSTED" });
  assert.equal(asked.length, 7);
  from.close();
  server.forceShutdown();
});

/** Passes bytes on to the sidecar; once told to, it forwards a request and cuts the connection under the reply. */
async function startRelay() {
  const relay = { cutting: false, cuts: 0 };
  const server = createServer((client) => {
    const { address, tcp } = sidecar, path = /^unix:(.*)/.exec(address)?.[1], [host, port] = tcp.split(":");
    const way = connect(path ? { path } : { host, port: Number(port) });
    let requested = false;
    client.on("data", (data) => { requested = relay.cutting; way.write(data); });
    way.on("data", (data) => {
      if (!requested) return client.write(data);
      Object.assign(relay, { cutting: false, cuts: relay.cuts + 1 });
      client.destroy();
      return way.destroy();
    });
    for (const end of [client, way]) end.on("error", () => {}).on("close", () => { client.destroy(); way.destroy(); });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(relay, { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() });
}

test("a call whose reply is lost is said again and spends once", timeout, async () => {
  const relay = await startRelay(), from = new Millpond({ address: relay.address }), tokens = limit("tokens", { from });
  for (let turn = 1; turn <= 5; turn += 1) {
    await tokens.peek({ key: "lost" }); // it is connected
    relay.cutting = true;
    assert.ok((await tokens.acquire({ key: "lost", cost: 100 })).allowed);
    assert.deepEqual([relay.cuts, await left("lost")], [turn, 1000 - 100 * turn]);
  }
  from.close();
  relay.close();
});

test("a sidecar killed under load is met as was chosen, and decides again when it is back", timeout, async () => {
  let decided = 0, without = 0, ended = false;
  const spend = async (away, caller) => {
    for (let turn = 0; !ended; turn += 1) {
      try {
        const decision = await limit("tokens", { away }).acquire({ key: `${caller}-${turn}` });
        const { allowed, reason, remaining, withoutSidecar } = decision;
        if (!withoutSidecar) {
          assert.ok(allowed && remaining === 999);
          decided += 1;
          continue;
        }
        assert.deepEqual([allowed, reason], { open: [true, "OK"], closed: [false, "UNAVAILABLE"] }[away]);
      } catch (error) {
        if (away !== "raise" || error.reason !== "UNAVAILABLE") throw error;
      }
      without += 1;
    }
  };
  const callers = Promise.all(["open", "closed", "raise", "open", "closed", "raise"].map(spend));
  callers.catch(() => { ended = true; }); // looked at below
  try {
    for (let round = 0; round < 3; round += 1) {
      decided = 0;
      await until(() => ended || decided > 200, "it is not used");
      await sidecar.kill();
      without = 0;
      await until(() => ended || without > 60, "nobody notices");
      sidecar = await start(sidecar.tcp);
    }
    decided = 0;
    await until(() => ended || decided > 200, "it is not used again");
  } finally {
    ended = true;
  }
  await callers;
});

test("a commit that a sidecar hangs on can be said again", timeout, async () => {
  const from = new Millpond({ address: sidecar.address, timeout: BOUND }), key = "hung";
  const tokens = limit("tokens", { from, away: "open" });
  const held = await tokens.reserve({ key, cost: 600, hold: 300_000 });
  from.timeout = 200;
  process.kill(sidecar.pid, "SIGSTOP");
  await until(() => readFileSync(`/proc/${sidecar.pid}/stat`, "latin1").includes(") T "), "it does not stop");
  try {
    assert.ok((await tokens.acquire({ key })).withoutSidecar);
    assert.equal((await limit("tokens", { from, away: "closed" }).peek({ key })).reason, "UNAVAILABLE");
    assert.equal(await held.commit(100), "UNAVAILABLE");
  } finally {
    process.kill(sidecar.pid, "SIGCONT");
  }
  await until(async () => ["DONE", "REPEATED"].includes(await held.commit(100)), "it is not committed");
  assert.ok([899, 900].includes(await left(key))); // with or without the call that was given up
  from.close();
});
