"""Read-through: many callers read a cold key, and the database is asked once."""
import secrets, threading, time
from concurrent.futures import ThreadPoolExecutor
from millpond_cache import Millpond, MillpondError

CALLERS = 20
loads, lock = 0, threading.Lock()

def load_user(key):
    """Stands for a query: slow, and counted."""
    global loads
    with lock:
        loads += 1
    time.sleep(0.1)
    return f"user {key}: Ada".encode()

def sidecar_answers(pond):
    try:
        pond.cache("everyday", "probe").invalidate("probe")
        return True
    except MillpondError as error:
        print(f"no sidecar ({error}): away=\"load\" sends every caller to the database")
        return False

pond = Millpond()
answers = sidecar_answers(pond)
users = pond.cache(f"everyday-{secrets.token_hex(4)}", "users", fresh=30, away="load")
with ThreadPoolExecutor(CALLERS) as callers:
    read = list(callers.map(lambda _: users.get_or_load("42", load_user), range(CALLERS)))

assert read == [b"user 42: Ada"] * CALLERS, read
assert loads == (1 if answers else CALLERS), f"{loads} loads"
print(f"{CALLERS} callers read {read[0].decode()!r}, loads: {loads}")
if answers:
    assert users.get_or_load("42", load_user) == read[0] and loads == 1
    print("and one more, from memory: loads still 1")
