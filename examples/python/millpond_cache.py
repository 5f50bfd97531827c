"""Millpond from Python. Copy this file into your project; README.md says how to make the stubs it imports.

    pond = Millpond()                          # where MILLPOND_ADDR says, or http://127.0.0.1:7470
    users = pond.cache("acme", "users", fresh=30, stale=60)
    row = users.get_or_load("42", load_user)   # load_user(key) returns bytes, Item, or None: there is no such thing
    users.invalidate("42")                     # from here on nobody reads the old value """
import collections, contextlib, grpc, logging, os, re, threading
from millpond.v1 import cache_pb2 as pb, cache_pb2_grpc as rpc

KEYS_A_CALL, FILL_BYTES, REFRESHES_AT_ONCE = 512, 3 << 20, 32
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1),
           ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
Item = collections.namedtuple("Item", "value tags", defaults=[()])  # for a loader that tags what it loaded
log = logging.getLogger("millpond")
_wire = lambda key: key.encode() if isinstance(key, str) else key
_reason = lambda entry: pb.Reason.Name(entry.reason)[7:] if entry.reason in pb.Reason.values() else str(entry.reason)
_values = lambda ends: {key: end.get("value") for key, end in ends.items()}
_found = lambda keys, entries: {key: entry.value if entry.HasField("value") else None
                                for key, entry in zip(keys, entries) if entry.WhichOneof("found")}

class MillpondError(Exception):
    """No value, and no leave to load one. `reason` is a Reason of the contract or a gRPC status, as UNAVAILABLE."""
    def __init__(self, reason, message="", retry_after=0.0):
        super().__init__(f"{reason}: {message}")
        self.reason, self.retry_after = reason, retry_after

class Millpond:
    """The sidecar, for all threads of a process; make it after a fork, not before. `timeout`: seconds of one call."""
    def __init__(self, address=None, timeout=1.0):
        address = address or os.environ.get("MILLPOND_ADDR") or "http://127.0.0.1:7470"
        http = re.fullmatch(r"http://([^/@]+)/?", address)
        if not http and not re.match(r"unix:(//)?/", address):
            raise ValueError(f"MILLPOND_ADDR: {address!r}, expected http://host:port or unix:/path/to.sock")
        # On a socket, gRPC's C core names the server by the socket's path, which HTTP/2 servers in Rust may refuse.
        options = OPTIONS if http else [*OPTIONS, ("grpc.default_authority", "localhost")]
        self.channel = grpc.insecure_channel(http[1] if http else address, options)
        self.stub, self.timeout = rpc.CacheServiceStub(self.channel), timeout
        self.bypass = os.environ.get("MILLPOND_BYPASS") == "1"  # reads load for themselves; writes still go through
        self.refreshes = threading.BoundedSemaphore(REFRESHES_AT_ONCE)
    def cache(self, tenant, name, **options): return Cache(self, tenant, name, **options)
    def call(self, method, request, wait=0.0, stub=None):
        try: return getattr(stub or self.stub, method)(request, timeout=self.timeout + wait)
        except grpc.RpcError as error: raise MillpondError(error.code().name, error.details()) from error

class Cache:
    """One tenant's cache. Times are seconds; None takes the cache's policy. `wait` is for another's load. `away` says
    what reads do when the sidecar cannot be reached: "raise", or "load" for themselves. Writes always raise."""
    def __init__(self, pond, tenant, name, *, fresh=None, stale=None, stale_if_error=None, fresh_only=False,
                 wait=5.0, lease=None, away="raise"):
        ms = lambda seconds: None if seconds is None else round(seconds * 1000)
        self.pond, self.wait, self.away, self.place = pond, wait, away, {"tenant": tenant, "cache": name}
        self.times = pb.Times(fresh_ms=ms(fresh), stale_ms=ms(stale), stale_if_error_ms=ms(stale_if_error))
        self.how = {"fresh_only": fresh_only, "wait_ms": ms(wait), "lease_ms": ms(lease), **self.place}
    def get_or_load(self, key, load): return self._read([key], lambda keys: {key: load(key)}, self._get)[key]
    def get_many_or_load(self, keys, load):  # a dict; `load(keys)` returns one too, and what that leaves out is absent
        return self._read(list(dict.fromkeys(keys)), load, self._get_many)
    def set(self, key, value, tags=()):
        self.pond.call("Set", pb.SetRequest(key=_wire(key), value=value, tags=tags, times=self.times, **self.place))
    def invalidate(self, *keys): self._invalidate(keys=pb.Keys(keys=map(_wire, keys)))
    def invalidate_tags(self, *tags): self._invalidate(tags=pb.Tags(tags=tags))
    def invalidate_all(self): self._invalidate(whole_cache=True)
    def _invalidate(self, **target): self.pond.call("Invalidate", pb.InvalidateRequest(**target, **self.place))
    def _get(self, keys, load):
        return [self.pond.call("Get", pb.GetRequest(key=_wire(keys[0]), load=load, **self.how), self.wait)]
    def _get_many(self, keys, load):
        keys = [pb.KeyRequest(key=_wire(key)) for key in keys]
        return self.pond.call("GetMany", pb.GetManyRequest(keys=keys, load=load, **self.how), self.wait).entries
    def _read(self, keys, load, ask):
        found, refused = {}, None
        while keys:
            asked, keys, led, stale, alone = keys[:KEYS_A_CALL], keys[KEYS_A_CALL:], {}, {}, []
            try: entries = [] if self.pond.bypass else ask(asked, pb.LOAD_CALLER)
            except MillpondError as error:
                if self.away != "load" or error.reason not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"): raise
                entries = []
            found.update(_found(asked, entries))
            for key, entry in zip(asked, entries):
                if entry.HasField("lease"): (stale if key in found else led)[key] = entry.lease
                elif key in found: pass
                elif entry.reason in (pb.REASON_NOT_HELD, pb.REASON_BYPASS): alone.append(key)
                elif entry.reason == pb.REASON_LOADING: keys.append(key)  # to ask again, once `led` is settled
                else: refused = MillpondError(_reason(entry), entry.load_error, entry.retry_after_ms / 1000)
            if stale: self._refresh(stale, load)
            if led: found.update(self._lead(led, load, ask))
            if alone or not entries: found.update(_values(self._load(alone or asked, load)))
        if refused: raise refused
        return found
    def _load(self, keys, load):  # what it brings, as a Fill says it
        items, whole = load(list(keys)), lambda item: item if isinstance(item, Item) else Item(item)
        end = lambda item: {"absent": True} if item is None else {**whole(item)._asdict(), "times": self.times}
        return {key: end(items.get(key)) for key in keys}
    def _lead(self, leases, load, ask=None):
        try:
            ends = self._load(leases, load)
            self._settle(leases, ends)
            return _values(ends)
        except BaseException as error:  # a loader that raises fails its followers; interrupted, it promotes one of them
            failed = isinstance(error, Exception)
            end = {"failed": pb.Failed(error=repr(error)[:256])} if failed else {"given_up": True}
            self._settle(leases, dict.fromkeys(leases, end))
            with contextlib.suppress(MillpondError):
                held = _found(leases, ask(list(leases), pb.LOAD_NEVER) if ask and failed else [])
                if len(held) == len(leases): return held  # something stale stands in for what failed
            raise
    def _refresh(self, leases, load):
        def refresh():
            try: self._lead(leases, load)
            except Exception as error: log.warning("a refresh failed: %r", error)
            finally: self.pond.refreshes.release()
        if self.pond.refreshes.acquire(blocking=False): threading.Thread(target=refresh, daemon=True).start()
        else: self._settle(leases, dict.fromkeys(leases, {"given_up": True}))
    def _settle(self, leases, ends):
        fills = [pb.Fill(key=_wire(key), lease=lease, **ends[key]) for key, lease in leases.items()]
        small = sum(fill.ByteSize() for fill in fills) < FILL_BYTES
        for batch in [fills] if small else [[fill] for fill in fills]:
            try: self.pond.call("Fill", pb.FillRequest(fills=batch, **self.place))
            except MillpondError as error:  # what was loaded is good all the same
                log.warning("loaded, but not cached: %s", error)
                back = {fill.key: fill.lease for fill in batch if not fill.given_up}
                if back: self._settle(back, dict.fromkeys(back, {"given_up": True}))
