// Rate limits: bursts, turns, several limits at once, reservations and retries; see examples/millpond.yaml.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Millpond } from "./millpond.js";
import { charge, Limit } from "./millpond_limits.js";

const CALLERS = 20, BURST = 5;
const pond = new Millpond(), key = `user-${randomBytes(4).toString("hex")}`; // buckets that nobody has spent from
const limit = (name, away = "raise") => new Limit(pond, "everyday", name, { away });
const logins = limit("logins"), api = limit("api"), tokens = limit("tokens");
const left = async () => (await tokens.peek({ key })).remaining;

try {
  await logins.peek({ key });
} catch (error) {
  if (error.reason === "UNAVAILABLE") {
    assert.ok((await limit("logins", "open").acquire({ key })).allowed);
    assert.ok(!(await limit("logins", "closed").acquire({ key })).allowed);
    console.log(`no sidecar (${error.message}): a limit is open, closed or an error then, as it was chosen`);
    process.exit(3);
  }
  if (error.reason !== "NOT_FOUND") throw error;
  console.error(error.message);
  console.error("this program's limits are not declared: millpond serve --config examples/millpond.yaml");
  process.exit(1);
}

// Many callers at once: as many pass as the bucket holds, and the others learn when to come back.
const decisions = await Promise.all(Array.from({ length: CALLERS }, () => logins.acquire({ key })));
const denied = decisions.filter((decision) => !decision.allowed);
assert.equal(decisions.length - denied.length, BURST);
for (const { reason, retryAfter } of denied) {
  assert.equal(reason, "OVER_LIMIT");
  assert.ok(retryAfter > 0 && retryAfter <= 720_100);
}
assert.equal(denied[0].headers()["RateLimit-Policy"], '"logins";q=5;w=3600');
console.log(`${CALLERS} callers: ${BURST} pass, the others come back in ${denied[0].retryAfter} ms; as HTTP says it:`);
for (const [name, value] of Object.entries(denied[0].headers())) console.log(`  ${name}: ${value}`);

// Patient callers wait for their turn, and no longer than they said.
const began = performance.now();
const turns = await Promise.all(Array.from({ length: 3 }, () => api.acquire({ key, cost: BURST, wait: 30_000 })));
assert.ok(turns.every((turn) => turn.allowed));
assert.ok(performance.now() - began > 900); // two of them half a second each after the other
console.log("three callers that each need all there is waited", turns.map((turn) => turn.waited), "ms");
assert.equal((await api.acquire({ key, cost: BURST + 1, wait: 30_000 })).reason, "NEVER");

// Several limits at once: all or none.
assert.ok(!(await tokens.acquire({ key, cost: 300, also: [charge("logins", key)] })).allowed);
assert.equal(await left(), 1000);
console.log("over one limit of two: nothing is spent of either");

// A reservation: the cost is only known afterwards. What was held and not spent is back at once.
const held = await tokens.reserve({ key, cost: 500, hold: 30_000 });
try {
  assert.ok(held.allowed);
  assert.equal(await left(), 500);
  assert.equal(await held.commit(120), "DONE");
} finally {
  await held.release(); // does nothing now: it is committed
}
assert.equal(await left(), 880);
const failing = await tokens.reserve({ key, cost: 500, hold: 30_000 });
try {
  throw new Error("the work failed");
} catch {
  // it is another's business
} finally {
  await failing.release();
}
assert.equal(await left(), 880);
console.log("500 held, 120 committed: 880 of 1000 are left; 500 held and the work failed: 880 are left");

// What is said twice, such as a message that a queue delivers again, is charged once.
for (let time = 0; time < 2; time += 1) {
  assert.ok((await tokens.acquire({ key, cost: 80, requestId: `message of ${key}` })).allowed);
}
assert.equal(await left(), 800);
console.log("a message of 80 tokens, delivered twice: 800 are left");
pond.close();
