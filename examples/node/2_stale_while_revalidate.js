// Stale while revalidate: past its freshness a page is answered at once, and one caller refreshes it behind that.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Millpond } from "./millpond.js";

const pond = new Millpond();
const pages = pond.cache(`everyday-${randomBytes(4).toString("hex")}`, "pages", { fresh: 50, stale: 60_000 });

// The load of the next page ends when it is told to, not before.
let begun, finish;
const loading = new Promise((resolve) => { begun = resolve; });
const finished = new Promise((resolve) => { finish = resolve; });
async function loadPage() {
  begun();
  await finished;
  return "tuesday";
}

try {
  await pages.set("/", "monday");
} catch (error) {
  console.log(`no sidecar (${error.message}): away: "raise" is the default`);
  process.exit(3);
}
await sleep(100); // its freshness passes

assert.equal(String(await pages.getOrLoad("/", loadPage)), "monday");
await loading;
assert.equal(String(await pages.getOrLoad("/", loadPage)), "monday");
console.log("at once: monday, stale, while one caller loads the next");

finish();
const deadline = Date.now() + 10_000;
let page;
do {
  assert.ok(Date.now() < deadline, "the refresh never came");
  page = String(await pages.getOrLoad("/", () => "tuesday"));
} while (page === "monday");
assert.equal(page, "tuesday");
console.log("soon after: tuesday");
pond.close();
