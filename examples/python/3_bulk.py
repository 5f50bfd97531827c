"""Bulk: fifty rows are read with one call, and what is missing is loaded with one query."""
import secrets
from millpond_cache import Millpond, MillpondError

queries = []

def load_rows(keys):
    """Stands for `SELECT … WHERE id IN (…)`. There is no row 13."""
    queries.append(keys)
    return {key: f"row {key}".encode() for key in keys if key != "13"}

pond = Millpond()
rows = pond.cache(f"everyday-{secrets.token_hex(4)}", "rows", fresh=30, away="load")
fifty = [str(number) for number in range(50)]
expected = {key: None if key == "13" else f"row {key}".encode() for key in fifty}

try:
    rows.set("7", b"row 7")  # one is there already
    answers = True
except MillpondError as error:
    print(f"no sidecar ({error}): away=\"load\" asks the database for all")
    answers = False

assert rows.get_many_or_load(fifty, load_rows) == expected
assert [len(keys) for keys in queries] == [49 if answers else 50], queries
print(f"50 rows, {len(queries)} query for {len(queries[0])} of them; row 13 is absent: {expected['13']}")

if answers:
    assert rows.get_many_or_load(fifty, load_rows) == expected
    assert sum(map(len, queries)) - len(queries[0]) <= 1, queries  # only what is absent may be asked for again
    print("again: from memory")
