"""Millpond's rate limits from Python. Copy this file beside millpond_cache.py; README.md says how to make the stubs.

    api = Limit(pond, "acme", "api")               # `pond` as in millpond_cache; a Limit costs nothing to make
    decision = api.acquire("user 7")               # spends a token, or says when to come back: `if decision:`
    with Limit(pond, "acme", "tokens").reserve(500, hold=30) as held:
        if held: held.commit(work())               # the real cost. Left without it, as by an exception: released """
import collections, logging, os, time
from millpond.v1 import limit_pb2 as pb, limit_pb2_grpc as rpc
from millpond_cache import MillpondError

AWAY, CLOSED_FOR = ("UNAVAILABLE", "DEADLINE_EXCEEDED"), 1.0
SETTLES = 0.01  # gRPC may hand out a connection that has just broken for a moment longer
log = logging.getLogger("millpond")
_ms = lambda seconds: max(0, round(seconds * 1000))
_up = lambda ms: -(-ms // 1000)  # whole seconds: who comes back then is not too early

def charge(limit="", key="", cost=1):
    """Tokens of a limit ("": the tenant's own). `key` says whose, if the limit has buckets by key; without it none of
    them is charged. 0 only asks."""
    return pb.Charge(limit=limit, key=key.encode() if isinstance(key, str) else key, cost=cost)

class Decision(collections.namedtuple("Decision", "allowed reason would_deny decided_by capacity remaining reset_after "
                                      "rate period retry_after waited without_sidecar")):
    """What was decided; true if the call may go on. Times are seconds. `decided_by` has `limit` and `keyed`; nothing
    limits the call if it is None. `reason` is the contract's, as OVER_LIMIT. `without_sidecar`: `away` decided."""
    def __bool__(self): return self.allowed
    def headers(self):
        """For an HTTP response, as draft-ietf-httpapi-ratelimit-headers has them from -08 on."""
        fields, after = {}, 0 if self.allowed else _up(_ms(self.retry_after))
        if self.decided_by:
            name = f'"{self.decided_by.limit or "requests"}"'
            window = _up(-(-self.capacity * _ms(self.period) // max(self.rate, 1)))
            fields["RateLimit-Policy"] = f"{name};q={self.capacity};w={window}"
            fields["RateLimit"] = f"{name};r={self.remaining};t={after or _up(_ms(self.reset_after))}"
        return {**fields, "Retry-After": str(after)} if after else fields

def _decision(reply):
    known = reply.reason in pb.LimitReason.values()
    return Decision(reply.allowed, pb.LimitReason.Name(reply.reason)[13:] if known else str(reply.reason),
                    reply.would_deny, reply.decided_by if reply.HasField("decided_by") else None, reply.capacity,
                    reply.remaining, reply.reset_after_ms / 1000, reply.rate, reply.period_ms / 1000,
                    reply.retry_after_ms / 1000, reply.waited_ms / 1000, False)

OPEN = Decision(True, "OK", False, None, 0, 0, 0.0, 0, 0.0, 0.0, 0.0, True)
CLOSED = OPEN._replace(allowed=False, reason="UNAVAILABLE", retry_after=CLOSED_FOR)

class Limit:
    """One limit of a tenant; without a name, the tenant's own. `away`, when the sidecar cannot be reached: "open" lets
    every call go on, "closed" none, "raise" raises MillpondError, as all else that is no decision does: a limit that
    nobody declared is NOT_FOUND. MILLPOND_BYPASS is of the cache: limits hold all the same."""
    def __init__(self, pond, tenant, name="", *, away="open"):
        if away not in ("open", "closed", "raise"): raise ValueError(f"away: {away!r}, expected open, closed or raise")
        if not hasattr(pond, "limits"): pond.limits = rpc.LimitServiceStub(pond.channel)
        self.pond, self.tenant, self.name, self.away = pond, tenant, name, away
    def acquire(self, key="", cost=1, wait=0.0, also=(), request_id=None):
        """Spends, with what `also` charges or not at all. `wait`: for its turn, at most 60. `request_id`: the same one
        spends once in a minute, so that what is delivered twice, as from a queue, is charged once."""
        return self._acquire(self._charges(key, cost, also), wait, request_id)[0]
    def peek(self, key="", cost=1, also=()):
        """What `acquire` would answer. Spends nothing."""
        reply = self._call("Peek", pb.PeekRequest(tenant=self.tenant, charges=self._charges(key, cost, also)))
        return _decision(reply) if reply else self._without()
    def reserve(self, cost=1, hold=30.0, key="", wait=0.0, also=(), request_id=None):
        """Holds the tokens for a context, at most `hold` seconds, 600 at most, until the real cost is known."""
        charges = self._charges(key, cost, also)
        return Reservation(self, *self._acquire(charges, wait, request_id, hold_ms=_ms(hold)))
    def _charges(self, key, cost, also): return [charge(self.name, key, cost), *also]
    def _without(self): return OPEN if self.away == "open" else CLOSED
    def _acquire(self, charges, wait, request_id, **hold):
        name = request_id or os.urandom(16)
        request = pb.AcquireRequest(tenant=self.tenant, charges=charges, request_id=name, max_wait_ms=_ms(wait), **hold)
        reply = self._call("Acquire", request, wait)
        return (_decision(reply), reply.reservation) if reply else (self._without(), None)
    def _call(self, method, request, wait=0.0):  # None: it is away, and `away` decides
        until = time.monotonic() + wait + self.pond.timeout
        for retry in (True, False):  # Acquire has an id, the others change nothing twice
            left = until - time.monotonic() - self.pond.timeout
            try: return self.pond.call(method, request, left, self.pond.limits)
            except MillpondError as error:
                if not retry or error.reason != "UNAVAILABLE" or time.monotonic() + SETTLES > until:
                    if self.away == "raise" or error.reason not in AWAY: raise
                    return None
            time.sleep(SETTLES)

class Reservation:
    """Tokens held for a context; true if they are. `decision` says why not. Nothing is held without a sidecar."""
    def __init__(self, limit, decision, reservation):
        self.limit, self.decision, self.settled = limit, decision, reservation is None or not decision.allowed
        self.place = {"tenant": limit.tenant, "reservation": reservation}
    def __bool__(self): return self.decision.allowed
    def __enter__(self): return self
    def __exit__(self, *_):
        try: self.release()
        except MillpondError as error: log.warning("not released, so it is held to its end: %s", error)
    def commit(self, *costs):
        """The real cost of each charge; more than was held leaves a debt. DONE, or LATE: the hold had ended, and all of
        it was charged; REPEATED; VOID: nothing changed; UNAVAILABLE: the sidecar is away, and it can be said again."""
        if not self: raise ValueError(f"nothing is held: {self.decision.reason}")
        return self._settle("Commit", pb.CommitRequest(costs=costs, **self.place))
    def release(self):
        """Gives the tokens back, unless they are committed."""
        return "VOID" if self.settled else self._settle("Release", pb.ReleaseRequest(**self.place))
    def _settle(self, method, request):
        if self.place["reservation"] is None: return "VOID"
        try: reply = self.limit._call(method, request)
        except MillpondError as error:
            self.settled = error.reason in AWAY  # it may have been heard: its hold ends it
            raise
        self.settled = True
        if not reply: log.warning("%s of %s/%s: the sidecar is away", method, self.limit.tenant, self.limit.name)
        return pb.Settlement.Name(reply.settlement)[11:] if reply else "UNAVAILABLE"
