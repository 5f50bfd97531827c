// Invalidate on write: once the write is announced nobody reads the old value, whatever was being loaded.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Item, Millpond } from "./millpond.js";

const database = new Map([["42", "Grace"]]);
const pond = new Millpond();
const users = pond.cache(`everyday-${randomBytes(4).toString("hex")}`, "users", { fresh: 30_000 });
const loadUser = async (key) => new Item(database.get(key), ["team:7"]);
const read = async () => String(await users.getOrLoad("42", loadUser));

try {
  assert.equal(await read(), "Grace");
} catch (error) {
  if (error.reason !== "UNAVAILABLE") throw error;
  console.log(`no sidecar (${error.message}): a write that cannot be announced must not look announced`);
  process.exit(3);
}

database.set("42", "Ada");
assert.equal(await read(), "Grace"); // as long as nothing is said, the cache knows no better
await users.invalidate("42");
assert.equal(await read(), "Ada");
console.log("by key: Grace, then Ada");

database.set("42", "Edith");
await users.invalidateTags("team:7");
assert.equal(await read(), "Edith");
console.log("by tag: Edith");

// The hard case: the write comes while a load is under way that has read the old row already.
await users.invalidate("42");
let begun, finish;
const hasRead = new Promise((resolve) => { begun = resolve; });
const written = new Promise((resolve) => { finish = resolve; });
const reader = users.getOrLoad("42", async (key) => {
  const row = database.get(key);
  begun();
  await written;
  return row;
});
await hasRead;
database.set("42", "Barbara");
await users.invalidate("42");
finish();
await reader;
assert.equal(await read(), "Barbara");
console.log("during a load: Barbara; what the load brought was not kept");
pond.close();
