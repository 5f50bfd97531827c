"""Invalidate on write: once the write is announced nobody reads the old value, whatever was being loaded."""
import secrets, sys, threading
from millpond_cache import Item, Millpond, MillpondError

database = {"42": b"Grace"}
users = Millpond().cache(f"everyday-{secrets.token_hex(4)}", "users", fresh=30)

def load_user(key):
    return Item(database[key], tags=("team:7",))

try:
    assert users.get_or_load("42", load_user) == b"Grace"
except MillpondError as error:
    sys.exit(print(f"no sidecar ({error}): a write that cannot be announced must not look announced") or 3)

database["42"] = b"Ada"
assert users.get_or_load("42", load_user) == b"Grace"  # as long as nothing is said, the cache knows no better
users.invalidate("42")
assert users.get_or_load("42", load_user) == b"Ada"
print("by key: Grace, then Ada")

database["42"] = b"Edith"
users.invalidate_tags("team:7")
assert users.get_or_load("42", load_user) == b"Edith"
print("by tag: Edith")

# The hard case: the write comes while a load is under way that has read the old row already.
users.invalidate("42")
has_read, written = threading.Event(), threading.Event()

def slow_load(key):
    row = database[key]
    has_read.set()
    assert written.wait(10)
    return row

reader = threading.Thread(target=users.get_or_load, args=("42", slow_load))
reader.start()
assert has_read.wait(10)
database["42"] = b"Barbara"
users.invalidate("42")
written.set()
reader.join(10)
assert users.get_or_load("42", load_user) == b"Barbara"
print("during a load: Barbara; what the load brought was not kept")
