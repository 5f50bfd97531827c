"""Stale while revalidate: past its freshness a page is answered at once, and one caller refreshes it behind that."""
import secrets, sys, threading, time
from millpond_cache import Millpond, MillpondError

pages = Millpond().cache(f"everyday-{secrets.token_hex(4)}", "pages", fresh=0.05, stale=60)
loading, finish = threading.Event(), threading.Event()

def load_page(key):
    """The load of the next page ends when it is told to, not before."""
    loading.set()
    assert finish.wait(10)
    return b"tuesday"

try:
    pages.set("/", b"monday")
except MillpondError as error:
    sys.exit(print(f"no sidecar ({error}): away=\"raise\" is the default") or 3)
time.sleep(0.1)  # its freshness passes

page = pages.get_or_load("/", load_page)
assert page == b"monday", page
assert loading.wait(10), "nobody refreshes"
print("at once: monday, stale, while one caller loads the next")
assert pages.get_or_load("/", load_page) == b"monday"

finish.set()
deadline = time.monotonic() + 10
while (page := pages.get_or_load("/", lambda key: b"tuesday")) == b"monday":
    assert time.monotonic() < deadline, "the refresh never came"
assert page == b"tuesday", page
print("soon after: tuesday")
