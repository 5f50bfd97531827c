// Read-through: many callers read a cold key, and the database is asked once.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Millpond } from "./millpond.js";

const CALLERS = 20;
let loads = 0;

/** Stands for a query: slow, and counted. */
async function loadUser(key) {
  loads += 1;
  await sleep(100);
  return `user ${key}: Ada`;
}

const pond = new Millpond();
const users = pond.cache(`everyday-${randomBytes(4).toString("hex")}`, "users", { fresh: 30_000, away: "load" });
const answers = await users.invalidate("42").then(() => true, (error) => {
  console.log(`no sidecar (${error.message}): away: "load" sends every caller to the database`);
  return false;
});

const read = await Promise.all(Array.from({ length: CALLERS }, () => users.getOrLoad("42", loadUser)));
assert.deepEqual(new Set(read.map(String)), new Set(["user 42: Ada"]));
assert.equal(loads, answers ? 1 : CALLERS);
console.log(`${CALLERS} callers read "${read[0]}", loads: ${loads}`);

if (answers) {
  assert.equal(String(await users.getOrLoad("42", loadUser)), "user 42: Ada");
  assert.equal(loads, 1);
  console.log("and one more, from memory: loads still 1");
}
pond.close();
