// Millpond's rate limits from Node: copy this file and limit.proto beside millpond.js and cache.proto.
//
//   const api = new Limit(pond, "acme", "api");             // `pond` as in millpond.js; a Limit costs nothing to make
//   const decision = await api.acquire({ key: "user 7" });  // decision.allowed, or decision.retryAfter
//   const held = await new Limit(pond, "acme", "tokens").reserve({ cost: 500, hold: 30_000 });
//   try { if (held.allowed) await held.commit(await work()); } finally { await held.release(); } // unless committed
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { MillpondError } from "./millpond.js";
const AWAY = ["UNAVAILABLE", "DEADLINE_EXCEEDED"], CLOSED_FOR = 1000;
const FORM = { longs: String, enums: String, defaults: true }; // a reservation is wider than a number
const bytes = (text) => Buffer.from(text), bare = (name, prefix) => `${name}`.replace(prefix, "");
const seconds = (ms) => Math.ceil(ms / 1000); // who comes back then is not too early
let Service; // read when first needed
/** Tokens of a limit ("": the tenant's own); `key` says whose, if the limit has buckets by key. 0 only asks. */
export const charge = (limit = "", key = "", cost = 1) => ({ limit, key: bytes(key), cost });
/** What was decided: `allowed`, `reason` (the contract's, as OVER_LIMIT), `wouldDeny`; `decidedBy` has `limit` and
 *  `keyed`, and is null when nothing limits the call; `capacity`, `remaining`, `resetAfter`, `rate` a `period`,
 *  `retryAfter`, `waited`. Times are milliseconds. `withoutSidecar`: `away` decided. */
export class Decision {
  constructor(reply, withoutSidecar = false) {
    const { allowed, wouldDeny, decidedBy = null } = reply, number = (name) => Number(reply[name] ?? 0);
    Object.assign(this, { allowed, reason: bare(reply.reason, "LIMIT_REASON_"), wouldDeny: Boolean(wouldDeny),
      decidedBy, capacity: number("capacity"), remaining: number("remaining"), resetAfter: number("resetAfterMs"),
      rate: number("rate"), period: number("periodMs"), retryAfter: number("retryAfterMs"), waited: number("waitedMs"),
      withoutSidecar });
  }
  /** For an HTTP response, as draft-ietf-httpapi-ratelimit-headers has them from -08 on. */
  headers() {
    const after = this.allowed ? 0 : seconds(this.retryAfter), fields = after ? { "Retry-After": `${after}` } : {};
    if (!this.decidedBy) return fields;
    const name = `"${this.decidedBy.limit || "requests"}"`;
    const window = seconds((this.capacity * this.period) / Math.max(this.rate, 1));
    return { "RateLimit-Policy": `${name};q=${this.capacity};w=${window}`,
      RateLimit: `${name};r=${this.remaining};t=${after || seconds(this.resetAfter)}`, ...fields };
  }
}
const OPEN = Object.freeze(new Decision({ allowed: true, reason: "OK" }, true));
const CLOSED = Object.freeze(new Decision({ allowed: false, reason: "UNAVAILABLE", retryAfterMs: CLOSED_FOR }, true));
/** One limit of a tenant; without a name, the tenant's own. `away`, when the sidecar cannot be reached: "open" lets
 *  every call go on, "closed" none, "raise" rejects with a MillpondError, as all else that is no decision does: a limit
 *  that nobody declared is NOT_FOUND. MILLPOND_BYPASS is of the cache: limits hold all the same. */
export class Limit {
  constructor(pond, tenant, name = "", { away = "open" } = {}) {
    if (!["open", "closed", "raise"].includes(away)) throw new Error(`away: ${away}, expected open, closed or raise`);
    Service ??= grpc.loadPackageDefinition(loadSync(fileURLToPath(new URL("limit.proto", import.meta.url)), FORM))
      .millpond.v1.LimitService;
    pond.limits ??= new Service("", grpc.credentials.createInsecure(), { channelOverride: pond.client.getChannel() });
    Object.assign(this, { pond, tenant, name, away });
  }
  /** Spends, with what `also` charges or not at all. `wait`: for its turn, at most 60 000. `requestId`: the same one
   *  spends once in a minute, so that what is delivered twice, as from a queue, is charged once. */
  async acquire(asked = {}) { return (await this.#acquire(asked)).decision; }
  /** What `acquire` would answer. Spends nothing. */
  async peek(asked = {}) {
    const reply = await this.call("Peek", { tenant: this.tenant, charges: this.#charges(asked) });
    return reply ? new Decision(reply) : this.#without();
  }
  /** Holds the tokens, at most `hold` ms, 600 000 at most, until the real cost is known. */
  async reserve({ hold = 30_000, ...asked } = {}) {
    const { decision, reservation } = await this.#acquire(asked, { holdMs: hold });
    return new Reservation(this, decision, decision.allowed ? reservation : null);
  }
  async #acquire({ wait = 0, requestId = randomBytes(16), ...asked }, hold) {
    const charges = this.#charges(asked), id = { requestId: bytes(requestId) };
    const reply = await this.call("Acquire", { tenant: this.tenant, charges, maxWaitMs: wait, ...id, ...hold }, wait);
    return { decision: reply ? new Decision(reply) : this.#without(), reservation: reply?.reservation };
  }
  #charges({ key, cost, also = [] }) { return [charge(this.name, key, cost), ...also]; }
  #without() { return this.away === "open" ? OPEN : CLOSED; }
  async call(method, request, wait = 0) { // null: it is away, and `away` decides
    const until = performance.now() + wait + this.pond.timeout;
    for (let retry = true; ; retry = false) { // Acquire has an id, the others change nothing twice
      const left = until - performance.now() - this.pond.timeout;
      try {
        return await this.pond.call(method, request, left, this.pond.limits);
      } catch (error) {
        if (retry && error.reason === "UNAVAILABLE" && performance.now() < until) continue;
        if (this.away === "raise" || !AWAY.includes(error.reason)) throw error;
        return null;
      }
    }
  }
}
/** Tokens that are held, if `allowed`; `decision` says why not. Nothing is held without a sidecar. */
class Reservation {
  #limit; #held; #settled = false;
  constructor(limit, decision, held) {
    [this.#limit, this.#held] = [limit, held && { tenant: limit.tenant, reservation: held }];
    Object.assign(this, { decision, allowed: decision.allowed });
  }
  /** The real cost of each charge; more than was held leaves a debt. DONE, or LATE: the hold had ended, and all of it
   *  was charged; REPEATED; VOID: nothing changed; UNAVAILABLE: the sidecar is away, and it can be said again. */
  async commit(...costs) {
    if (!this.allowed) throw new Error(`nothing is held: ${this.decision.reason}`);
    return this.#settle("Commit", { costs });
  }
  /** Gives the tokens back, unless they are committed. For `finally`: it never rejects, and their hold ends them. */
  release() {
    const warn = (error) => { process.emitWarning(`not released: ${error}`, "Millpond"); return "UNAVAILABLE"; };
    return this.#settled ? Promise.resolve("VOID") : this.#settle("Release").catch(warn);
  }
  async #settle(method, costs) {
    if (!this.#held) return "VOID";
    const heard = await this.#limit.call(method, { ...this.#held, ...costs }).catch((error) => {
      this.#settled = AWAY.includes(error.reason); // it may have been heard: its hold ends it
      throw error;
    });
    this.#settled = true;
    return heard ? bare(heard.settlement, "SETTLEMENT_") : "UNAVAILABLE";
  }
}
