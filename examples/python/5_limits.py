"""Rate limits: bursts, turns, several limits at once, reservations and retries, as ../millpond.yaml declares them."""
import secrets, sys, time
from concurrent.futures import ThreadPoolExecutor
from millpond_cache import Millpond, MillpondError
from millpond_limits import Limit, charge

CALLERS, BURST = 20, 5
pond, me = Millpond(), f"user-{secrets.token_hex(4)}"  # a key of its own: buckets that nobody has spent from
logins, api, tokens = (Limit(pond, "everyday", name, away="raise") for name in ("logins", "api", "tokens"))

try:
    logins.peek(me)
except MillpondError as error:
    if error.reason == "UNAVAILABLE":
        choices = {away: bool(Limit(pond, "everyday", "logins", away=away).acquire(me)) for away in ("open", "closed")}
        assert choices == {"open": True, "closed": False}
        print(f"no sidecar ({error}): a limit is open, closed or an error then, as it was chosen")
        sys.exit(3)
    if error.reason == "NOT_FOUND":
        sys.exit(f"{error}\nthis program's limits are not declared: millpond serve --config examples/millpond.yaml")
    raise

# Many callers at once: as many pass as the bucket holds, and the others learn when to come back.
with ThreadPoolExecutor(CALLERS) as callers:
    decisions = list(callers.map(lambda _: logins.acquire(me), range(CALLERS)))
denied = [decision for decision in decisions if not decision]
assert len(decisions) - len(denied) == BURST
assert all(decision.reason == "OVER_LIMIT" and 0 < decision.retry_after <= 720.1 for decision in denied)
assert denied[0].headers()["RateLimit-Policy"] == '"logins";q=5;w=3600'
print(f"{CALLERS} callers: {BURST} pass, the others come back in {denied[0].retry_after:.0f} s; as HTTP says it:")
for header in denied[0].headers().items():
    print("  {}: {}".format(*header))

# Patient callers wait for their turn, and no longer than they said.
began = time.monotonic()
with ThreadPoolExecutor(3) as callers:
    turns = [turn.result() for turn in [callers.submit(api.acquire, me, cost=BURST, wait=30) for _ in range(3)]]
assert all(turns) and time.monotonic() - began > 0.9  # two of them half a second each after the other
print("three callers that each need all there is waited", sorted(f"{turn.waited:.1f} s" for turn in turns))
assert api.acquire(me, cost=BURST + 1, wait=30).reason == "NEVER"

# Several limits at once: all or none.
assert not tokens.acquire(me, cost=300, also=[charge("logins", me)])
assert tokens.peek(me).remaining == 1000
print("over one limit of two: nothing is spent of either")

# A reservation: the cost is only known afterwards. What was held and not spent is back at once.
with tokens.reserve(cost=500, hold=30, key=me) as held:
    assert held and tokens.peek(me).remaining == 500
    assert held.commit(120) == "DONE"
assert tokens.peek(me).remaining == 880
try:
    with tokens.reserve(cost=500, hold=30, key=me) as held:
        raise RuntimeError("the work failed")
except RuntimeError:
    assert tokens.peek(me).remaining == 880
print("500 held, 120 committed: 880 of 1000 are left; 500 held and the work failed: 880 are left")

# What is said twice, such as a message that a queue delivers again, is charged once.
for _ in range(2):
    assert tokens.acquire(me, cost=80, request_id=f"message of {me}".encode())
assert tokens.peek(me).remaining == 800
print("a message of 80 tokens, delivered twice: 800 are left")
