// Bulk: fifty rows are read with one call, and what is missing is loaded with one query.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Millpond } from "./millpond.js";

const queries = [];

/** Stands for `SELECT … WHERE id IN (…)`. There is no row 13. */
async function loadRows(keys) {
  queries.push(keys);
  return new Map(keys.filter((key) => key !== "13").map((key) => [key, `row ${key}`]));
}

const pond = new Millpond();
const rows = pond.cache(`everyday-${randomBytes(4).toString("hex")}`, "rows", { fresh: 30_000, away: "load" });
const fifty = Array.from({ length: 50 }, (_, number) => String(number));
const expected = new Map(fifty.map((key) => [key, key === "13" ? null : Buffer.from(`row ${key}`)]));
const byKey = (read) => new Map([...read].sort(([a], [b]) => a - b));

// One is there already.
const answers = await rows.set("7", "row 7").then(() => true, (error) => {
  console.log(`no sidecar (${error.message}): away: "load" asks the database for all`);
  return false;
});

assert.deepEqual(byKey(await rows.getManyOrLoad(fifty, loadRows)), expected);
assert.deepEqual(queries.map((keys) => keys.length), [answers ? 49 : 50]);
console.log(`50 rows, 1 query for ${queries[0].length} of them; row 13 is absent: ${expected.get("13")}`);

if (answers) {
  assert.deepEqual(byKey(await rows.getManyOrLoad(fifty, loadRows)), expected);
  assert.ok(queries.slice(1).flat().every((key) => key === "13")); // only what is absent may be asked for again
  console.log("again: from memory");
}
pond.close();
