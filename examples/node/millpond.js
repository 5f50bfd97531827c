// Millpond from Node: copy this file and cache.proto, side by side, into your project. ES modules, Node 18 or newer.
//
//   const pond = new Millpond();                            // where MILLPOND_ADDR says, or http://127.0.0.1:7470
//   const users = pond.cache("acme", "users", { fresh: 30_000, stale: 60_000 });
//   const row = await users.getOrLoad("42", loadUser);      // loadUser(key) resolves to a Buffer, a string, an Item,
//   await users.invalidate("42");                           // or null: there is no such thing. Reads give Buffers.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
const KEYS_A_CALL = 512, FILL_BYTES = 2 << 20, REFRESHES_AT_ONCE = 32;
const FORM = { longs: String, enums: String, oneofs: true, defaults: true }; // a lease is wider than a number
const OPTIONS = { "grpc.enable_http_proxy": 0, "grpc.max_receive_message_length": -1,
  "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000 };
const bytes = (text) => Buffer.from(text); // refuses what is neither bytes nor a string
const values = (ends) => new Map([...ends].map(([key, end]) => [key, end.value ?? null]));
const warn = (what) => (error) => process.emitWarning(`${what}: ${error}`, "Millpond");
const giveUp = () => ({ givenUp: true }), held = (entry) => (entry.found === "value" ? entry.value : null);
export class Item { constructor(value, tags = []) { Object.assign(this, { value, tags }); } } // tags what was loaded
/** No value, and no leave to load one. `reason` is a Reason of the contract or a gRPC status, as UNAVAILABLE. */
export class MillpondError extends Error {
  constructor(reason, text, retryAfter) { super(`${reason}: ${text}`); Object.assign(this, { reason, retryAfter }); }
}
/** The sidecar. Times are milliseconds. A call takes at most `timeout`, and what it may wait for another's load. */
export class Millpond {
  bypass = process.env.MILLPOND_BYPASS === "1"; // reads load for themselves; writes still go through
  refreshes = 0;
  constructor({ address = process.env.MILLPOND_ADDR || "http://127.0.0.1:7470", timeout = 1000,
    proto = fileURLToPath(new URL("cache.proto", import.meta.url)) } = {}) {
    const target = /^http:\/\/([^/@]+)\/?$/.exec(address)?.[1] ?? /^unix:(?:\/\/)?\/.*/.exec(address)?.[0];
    if (!target) throw new Error(`MILLPOND_ADDR: ${address}, expected http://host:port or unix:/path/to.sock`);
    const { CacheService } = grpc.loadPackageDefinition(loadSync(proto, FORM)).millpond.v1;
    this.client = new CacheService(target, grpc.credentials.createInsecure(), OPTIONS);
    this.timeout = timeout;
  }
  cache(tenant, name, options) { return new Cache(this, tenant, name, options); }
  close() { this.client.close(); }
  call(method, request, wait = 0, client = this.client) {
    return new Promise((resolve, reject) => client[method](request, { deadline: Date.now() + this.timeout + wait },
      (error, reply) => (error ? reject(new MillpondError(grpc.status[error.code], error.details)) : resolve(reply))));
  }
}
/** One tenant's cache. `away`: what reads do without a sidecar, "raise", or "load" for themselves. Writes raise. */
class Cache {
  constructor(pond, tenant, cache, { fresh, stale, staleIfError, freshOnly, wait = 5000, lease, away = "raise" } = {}) {
    const place = { tenant, cache }, times = { freshMs: fresh, staleMs: stale, staleIfErrorMs: staleIfError };
    Object.assign(this, { pond, wait, away, place, times, how: { ...place, waitMs: wait, leaseMs: lease, freshOnly } });
  }
  async getOrLoad(key, load) {
    const ask = async (_, load) => [await this.pond.call("Get", { ...this.how, key: bytes(key), load }, this.wait)];
    return (await this.#read([key], async () => new Map([[key, await load(key)]]), ask)).get(key);
  }
  getManyOrLoad(keys, load) { // a Map; `load(keys)` resolves to one too, and what that leaves out is absent
    const ask = async (keys, load) => (await this.pond.call("GetMany",
      { ...this.how, keys: keys.map((key) => ({ key: bytes(key) })), load }, this.wait)).entries;
    return this.#read([...new Set(keys)], load, ask);
  }
  async set(key, value, tags = []) {
    await this.pond.call("Set", { ...this.place, key: bytes(key), value: bytes(value), tags, times: this.times });
  }
  async invalidate(...keys) { await this.pond.call("Invalidate", { ...this.place, keys: { keys: keys.map(bytes) } }); }
  async invalidateTags(...tags) { await this.pond.call("Invalidate", { ...this.place, tags: { tags } }); }
  async invalidateAll() { await this.pond.call("Invalidate", { ...this.place, wholeCache: true }); }
  async #read(keys, load, ask) {
    const found = new Map(), take = (more) => more.forEach((value, key) => found.set(key, value));
    let refused = null;
    while (keys.length) {
      const asked = keys.splice(0, KEYS_A_CALL), led = new Map(), stale = new Map(), alone = [];
      const entries = this.pond.bypass ? [] : await ask(asked, "LOAD_CALLER").catch((error) => {
        if (this.away === "load" && ["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(error.reason)) return [];
        throw error;
      });
      if (!entries.length) alone.push(...asked);
      entries.forEach((entry, at) => {
        if (entry.found) found.set(asked[at], held(entry));
        if (entry.lease) (entry.found ? stale : led).set(asked[at], entry.lease);
        else if (entry.found) return;
        else if (["REASON_NOT_HELD", "REASON_BYPASS"].includes(entry.reason)) alone.push(asked[at]);
        else if (entry.reason === "REASON_LOADING") keys.push(asked[at]); // to ask again, once `led` is settled
        else refused = new MillpondError(`${entry.reason}`.replace("REASON_", ""), entry.loadError, entry.retryAfterMs);
      });
      if (stale.size) this.#refresh(stale, load);
      if (led.size) take(await this.#lead(led, load, ask));
      if (alone.length) take(values(await this.#load(alone, load)));
    }
    return refused ? Promise.reject(refused) : found;
  }
  async #load(keys, load) { // what it brings, as a Fill says it
    const items = await load(keys), whole = (item) => (item instanceof Item ? item : new Item(item));
    const end = ({ value, tags }) => ({ value: bytes(value), tags, times: this.times });
    return new Map(keys.map((key) => [key, items.get(key) == null ? { absent: true } : end(whole(items.get(key)))]));
  }
  async #lead(leases, load, ask = async () => []) {
    const keys = [...leases.keys()];
    try {
      const ends = await this.#load(keys, load);
      await this.#settle(leases, (key) => ends.get(key));
      return values(ends);
    } catch (error) { // a loader that throws fails its followers; one that was aborted promotes one of them
      const aborted = error?.name === "AbortError";
      await this.#settle(leases, aborted ? giveUp : () => ({ failed: { error: `${error}`.slice(0, 256) } }));
      const entries = aborted ? [] : await ask(keys, "LOAD_NEVER").catch(() => []);
      if (!entries.length || !entries.every((entry) => entry.found)) throw error;
      return new Map(keys.map((key, at) => [key, held(entries[at])])); // something stale stands in for what failed
    }
  }
  #refresh(leases, load) {
    if (this.pond.refreshes >= REFRESHES_AT_ONCE) return this.#settle(leases, giveUp);
    this.pond.refreshes += 1;
    return this.#lead(leases, load).catch(warn("a refresh failed")).finally(() => { this.pond.refreshes -= 1; });
  }
  async #settle(leases, end) {
    const fills = [...leases].map(([key, lease]) => ({ key: bytes(key), lease, ...end(key) }));
    const small = fills.reduce((sum, fill) => sum + (fill.value?.length ?? 0), 0) < FILL_BYTES;
    for (const batch of small ? [fills] : fills.map((fill) => [fill])) {
      const sent = this.pond.call("Fill", { ...this.place, fills: batch }).catch(warn("loaded, but not cached"));
      const back = await sent ? [] : batch.filter((fill) => !fill.givenUp).map((fill) => [fill.key, fill.lease]);
      if (back.length) await this.#settle(new Map(back), giveUp);
    }
  }
}
