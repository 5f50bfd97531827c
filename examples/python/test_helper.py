"""What the helpers must hold when things go wrong, against a sidecar of its own: MILLPOND_BIN says which binary, and
MILLPOND_CONFIG that its limits are those of ../millpond.yaml.

MILLPOND_ADDR only chooses the transport, TCP or Unix socket.
"""
import contextlib, logging, os, pathlib, re, select, signal, socket, subprocess, sys, tempfile, threading, time
import unittest, urllib.request
from concurrent import futures
from unittest import mock
import grpc
from millpond.v1 import cache_pb2 as pb, cache_pb2_grpc as rpc, limit_pb2, limit_pb2_grpc
from millpond_cache import Item, Millpond, MillpondError
from millpond_limits import CLOSED, OPEN, Limit, charge

BOUND = 20  # seconds: what nothing here may take
ON_SOCKET = os.environ.get("MILLPOND_ADDR", "").startswith("unix:")
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
logging.disable(logging.CRITICAL)


class Sidecar:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="millpond-")
        self.start("127.0.0.1:0")

    def start(self, listen):
        path = pathlib.Path(self.folder.name, "pond.sock")
        self.process = subprocess.Popen(
            [os.environ["MILLPOND_BIN"], "serve", "--listen", listen, "--probe", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--socket", path],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = ""
        while "/metrics)" not in said:
            line = self.process.stdout.readline()
            assert line, f"the sidecar ended: {said}"
            said += line
        self.listen = re.search(r"cache +http://(\S+)", said)[1]
        self.probe = re.search(r"probe +(http://\S+)", said)[1]
        self.address = f"unix:{path}" if ON_SOCKET else f"http://{self.listen}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(BOUND)
        self.process.stdout.close()

    def waiting(self):
        """How many calls were told to wait for another's load, since the start."""
        metrics = DIRECTLY.open(f"{self.probe}/metrics", timeout=BOUND).read().decode()
        return int(re.search(r"^millpond_\w*coalesced\w*(?:\{.*\})? (\d+)", metrics, re.M)[1])


def until(event, what):
    deadline = time.monotonic() + BOUND
    while not event():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


class Origin:
    """A loader that counts, and that can be held up."""
    def __init__(self, value=b"value", held=False):
        self.value, self.loads, self.lock = value, 0, threading.Lock()
        self.begun, self.go_on = threading.Event(), threading.Event()
        if not held:
            self.go_on.set()

    def __call__(self, key):
        with self.lock:
            self.loads += 1
        value = self.value  # read before whatever happens meanwhile
        self.begun.set()
        assert self.go_on.wait(BOUND)
        if isinstance(value, BaseException):
            raise value
        return value


class HelperTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sidecar = Sidecar()
        cls.pond = Millpond(cls.sidecar.address)

    @classmethod
    def tearDownClass(cls):
        cls.sidecar.kill()
        cls.sidecar.folder.cleanup()

    def setUp(self):
        self.pool = futures.ThreadPoolExecutor(210)

    def tearDown(self):
        self.pool.shutdown()

    def cache(self, **options):
        return self.pond.cache("t", self.id().rsplit(".", 1)[1].lower()[:60], **options)

    def follow(self, cache, load, callers):
        """Callers that wait for a load under way; returns once the sidecar has them all."""
        before = self.sidecar.waiting()
        reads = [self.pool.submit(cache.get_or_load, "k", load) for _ in range(callers)]
        until(lambda: self.sidecar.waiting() >= before + callers, "nobody waits")
        return reads

    def test_two_hundred_callers_of_a_cold_key_make_one_load(self):
        origin = Origin(held=True)
        cache = self.cache()
        leader = self.pool.submit(cache.get_or_load, "k", origin)
        assert origin.begun.wait(BOUND)
        reads = self.follow(cache, origin, 199)
        origin.go_on.set()
        self.assertEqual({read.result(BOUND) for read in [leader, *reads]}, {b"value"})
        self.assertEqual(origin.loads, 1)

    def test_when_the_leading_process_is_killed_another_leads(self):
        name = self.cache().place["cache"]
        code = (f"import sys; from millpond_cache import Millpond\n"
                f"cache = Millpond({self.sidecar.address!r}).cache('t', {name!r}, lease=0.5)\n"
                f"cache.get_or_load('k', lambda key: print('leads', flush=True) or sys.stdin.read())")
        leader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        self.assertEqual(leader.stdout.readline(), "leads\n")
        origin = Origin()
        reads = self.follow(self.cache(wait=BOUND), origin, 10)
        leader.send_signal(signal.SIGKILL)
        self.assertEqual({read.result(BOUND) for read in reads}, {b"value"})
        self.assertEqual(origin.loads, 1)
        leader.wait(BOUND)
        leader.stdin.close(), leader.stdout.close()

    def test_when_the_loader_raises_its_followers_get_that_error_and_nobody_loads_again(self):
        origin = Origin(ValueError("row is torn \udc80"), held=True)
        cache = self.cache()
        leader = self.pool.submit(cache.get_or_load, "k", origin)
        assert origin.begun.wait(BOUND)
        reads = self.follow(cache, origin, 10)
        origin.go_on.set()
        self.assertIs(leader.exception(BOUND), origin.value)
        for read in reads:
            self.assertIsInstance(read.exception(BOUND), MillpondError)
            self.assertEqual(read.exception().reason, "LOAD_FAILED")
            self.assertIn("row is torn", str(read.exception()))
        self.assertEqual(origin.loads, 1)

    def test_when_the_loader_is_interrupted_a_follower_is_promoted_and_nobody_gets_an_error(self):
        interrupted, origin = Origin(KeyboardInterrupt(), held=True), Origin()
        cache = self.cache()
        leader = self.pool.submit(cache.get_or_load, "k", interrupted)
        assert interrupted.begun.wait(BOUND)
        reads = self.follow(cache, origin, 10)
        interrupted.go_on.set()
        self.assertIsInstance(leader.exception(BOUND), KeyboardInterrupt)
        self.assertEqual({read.result(BOUND) for read in reads}, {b"value"})
        self.assertEqual(origin.loads, 1)

    def test_what_was_invalidated_during_its_load_is_kept_by_nobody(self):
        old, new = Origin(b"old", held=True), Origin(b"new")
        cache = self.cache()
        leader = self.pool.submit(cache.get_or_load, "k", old)
        assert old.begun.wait(BOUND)
        reads = self.follow(cache, new, 10)
        cache.invalidate("k")
        old.go_on.set()
        self.assertEqual(leader.result(BOUND), b"old")  # its own load, begun before
        self.assertEqual({read.result(BOUND) for read in reads}, {b"new"})
        self.assertEqual(cache.get_or_load("k", new), b"new")
        self.assertEqual(new.loads, 1)

    def test_bulk_reads_that_lead_and_follow_each_other_crosswise_end_with_one_load_a_key(self):
        cache = self.cache()
        for turn in range(50):
            loaded, lock = [], threading.Lock()
            def load(keys):
                with lock:
                    loaded.extend(keys)
                return {key: key.encode() for key in keys}
            keys = [f"{turn}-{number}" for number in range(8)]
            ways = [keys, keys[::-1], keys[::2] + keys[1::2], keys[4:] + keys[:4]]
            reads = [self.pool.submit(cache.get_many_or_load, way, load) for way in ways]
            for read in reads:
                self.assertEqual(read.result(BOUND), {key: key.encode() for key in keys})
            self.assertEqual(sorted(loaded), sorted(keys))

    def test_more_keys_than_a_call_may_have_and_more_bytes_than_a_fill_may_have_are_read(self):
        cache, keys = self.cache(), [str(number) for number in range(1200)]
        self.assertEqual(cache.get_many_or_load(keys, lambda keys: {key: key.encode() for key in keys}),
                         {key: key.encode() for key in keys})
        large, asked = b"x" * 900_000, []
        load = lambda keys: asked.extend(keys) or {key: large for key in keys}
        keys = [f"large-{number}" for number in range(8)]
        for _ in range(2):  # from the loader, then from memory
            self.assertEqual(cache.get_many_or_load(keys, load), dict.fromkeys(keys, large))
        self.assertEqual(sorted(asked), keys)

    def test_when_loading_fails_a_value_past_its_time_stands_in(self):
        cache = self.cache(fresh=0.01, stale_if_error=60)
        cache.set("k", b"yesterday's")
        time.sleep(0.05)  # its freshness passes
        failing = Origin(ValueError("down"))
        self.assertEqual(cache.get_or_load("k", failing), b"yesterday's")
        self.assertEqual(failing.loads, 1)
        self.assertEqual(cache.get_or_load("k", failing), b"yesterday's")  # and the origin is left alone for a while
        self.assertEqual(failing.loads, 1)

    def test_what_cannot_be_kept_is_still_returned_and_holds_up_nobody(self):
        cache = self.cache(wait=BOUND)
        for value in (b"x" * (5 << 20), Item(b"value", tags=[f"tag{number}" for number in range(9)])):
            origin = Origin(value, held=True)
            leader = self.pool.submit(cache.get_or_load, "k", origin)
            assert origin.begun.wait(BOUND)
            follower = self.follow(cache, lambda key: b"small", 1)[0]
            origin.go_on.set()
            self.assertEqual(leader.result(BOUND), value.value if isinstance(value, Item) else value)
            self.assertEqual(follower.result(BOUND), b"small")
            cache.invalidate("k")

    def test_a_loader_that_returns_no_bytes_is_told_so_and_leaves_no_lease_behind(self):
        cache = self.cache()
        with self.assertRaisesRegex(TypeError, "expected bytes, str found"):
            cache.get_or_load("k", lambda key: "text")
        self.assertEqual(cache.get_or_load("k", Origin()), b"value")  # at once: a lease would last 10 s, a wait 5 s

    def test_a_bypassed_process_reads_past_the_cache_and_its_writes_still_reach_it(self):
        cache, origin = self.cache(), Origin(b"new")
        cache.set("k", b"old")
        with mock.patch.dict(os.environ, MILLPOND_BYPASS="1"):
            bypassing = Millpond(self.sidecar.address).cache("t", cache.place["cache"])
        self.assertEqual(bypassing.get_or_load("k", origin), b"new")
        self.assertEqual(bypassing.get_many_or_load(["k", "l"], lambda keys: {"k": b"new"}), {"k": b"new", "l": None})
        self.assertEqual(cache.get_or_load("k", origin), b"old")
        bypassing.invalidate("k")
        self.assertEqual(cache.get_or_load("k", origin), b"new")

    def test_an_address_is_of_its_form_or_refused(self):
        for address in ("127.0.0.1:7470", "https://127.0.0.1:7470", "http://127.0.0.1:7470/cache", "unix:run/m.sock"):
            with self.assertRaisesRegex(ValueError, "expected http://host:port"):
                Millpond(address)


class AwayTest(unittest.TestCase):
    def setUp(self):
        self.sidecar = Sidecar()

    def tearDown(self):
        self.sidecar.kill()
        self.sidecar.folder.cleanup()

    def test_a_sidecar_killed_under_load_costs_only_what_was_chosen_and_is_used_again_when_it_is_back(self):
        pond = Millpond(self.sidecar.address)
        loading, raising = (pond.cache("t", "c", away=away, fresh=0.005) for away in ("load", "raise"))
        read, raised, wrong, ended = 0, 0, [], threading.Event()

        def reads(cache):
            nonlocal read, raised
            while not ended.is_set():
                try:
                    if cache.get_or_load("k", lambda key: b"value") != b"value":
                        wrong.append("value")
                    read += 1
                except MillpondError as error:
                    if cache is loading or error.reason != "UNAVAILABLE":
                        wrong.append(error)
                    raised += 1

        with futures.ThreadPoolExecutor(8) as pool:
            with contextlib.ExitStack() as stack:
                stack.callback(ended.set)
                readers = [pool.submit(reads, cache) for cache in [loading, raising] * 4]
                for _ in range(3):
                    until(lambda: read > 200, "nobody reads")
                    self.sidecar.kill()
                    raised = 0
                    until(lambda: raised > 20, "nobody notices")
                    read = 0
                    self.sidecar.start(self.sidecar.listen)
                    until(lambda: self.back(raising), "it is not used again")
            for reader in readers:
                reader.result(BOUND)
        self.assertEqual(wrong, [])

    def back(self, cache):
        with contextlib.suppress(MillpondError):
            return cache.get_or_load("k", lambda key: b"value") == b"value"

    def test_a_sidecar_that_hangs_is_waited_for_no_longer_than_was_said(self):
        pond = Millpond(self.sidecar.address, timeout=0.2)
        pond.cache("t", "c").set("k", b"old")
        self.sidecar.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.sidecar.process.pid, os.WSTOPPED)  # it is told, and then it stops
        try:
            self.assertEqual(pond.cache("t", "c", wait=0.1, away="load").get_or_load("k", lambda key: b"own"), b"own")
            with self.assertRaises(MillpondError) as caught:
                pond.cache("t", "c", wait=0.1).get_or_load("k", lambda key: b"own")
            self.assertEqual(caught.exception.reason, "DEADLINE_EXCEEDED")
        finally:
            self.sidecar.process.send_signal(signal.SIGCONT)


class Relay:
    """Passes bytes on to a sidecar. Once told to, it forwards a request and cuts the connection under the reply."""
    def __init__(self, address):
        self.address, self.cutting, self.cuts = address, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # it is closed at the end
            while True:
                client = self.listener.accept()[0]
                on_socket = self.address.startswith("unix:")
                server = socket.socket(socket.AF_UNIX if on_socket else socket.AF_INET)
                host, _, port = self.address[len("http://"):].partition(":")
                server.connect(self.address[len("unix:"):] if on_socket else (host, int(port)))
                threading.Thread(target=self.relay, args=(client, server), daemon=True).start()

    def relay(self, client, server):
        requested = False
        with client, server, contextlib.suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if source is client:
                        requested = self.cutting
                    elif requested:
                        self.cutting, self.cuts = False, self.cuts + 1
                        return
                    if not data:
                        return
                    (server if source is client else client).sendall(data)


class LimitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sidecar = Sidecar()
        cls.pond = Millpond(cls.sidecar.address)

    @classmethod
    def tearDownClass(cls):
        cls.sidecar.kill()
        cls.sidecar.folder.cleanup()

    def setUp(self):
        self.key = self.id()

    def limit(self, name, pond=None, **options):
        return Limit(pond or self.pond, "everyday", name, **options)

    def left(self):
        return self.limit("tokens").peek(self.key).remaining

    def test_of_fifty_threads_exactly_as_many_pass_as_the_bucket_holds(self):
        tokens = self.limit("tokens", away="raise")
        with futures.ThreadPoolExecutor(50) as pool:
            decisions = list(pool.map(lambda _: tokens.acquire(self.key, cost=100), range(50)))
        self.assertEqual(sum(map(bool, decisions)), 10)
        self.assertEqual({decision.reason for decision in decisions if not decision}, {"OVER_LIMIT"})

    def test_a_patient_caller_may_wait_longer_than_a_call_takes(self):
        api = self.limit("api", Millpond(self.sidecar.address, timeout=0.3), away="raise")
        with futures.ThreadPoolExecutor(4) as pool:
            turns = list(pool.map(lambda _: api.acquire(self.key, cost=5, wait=BOUND), range(4)))
        self.assertTrue(all(turns), turns)

    def test_charges_are_spent_all_or_none(self):
        both = lambda cost: self.limit("tokens").acquire(self.key, cost, also=[charge("logins", self.key, 3)])
        self.assertTrue(both(400))
        denied = both(400)
        self.assertEqual((bool(denied), denied.decided_by.limit, denied.decided_by.keyed), (False, "logins", True))
        self.assertEqual(self.left(), 600)

    def test_a_reservation_is_released_by_whatever_leaves_it_without_a_commit(self):
        for wrong in (ValueError, KeyboardInterrupt):
            with self.assertRaises(wrong), self.limit("tokens").reserve(600, key=self.key) as held:
                self.assertTrue(held)
                self.assertEqual(self.left(), 400)
                raise wrong
            self.assertEqual(self.left(), 1000)
        with self.limit("tokens").reserve(600, key=self.key):
            pass
        self.assertEqual(self.left(), 1000)
        with self.limit("tokens").reserve(600, key=self.key) as held:
            self.assertEqual((held.commit(100), held.commit(100)), ("DONE", "REPEATED"))
        self.assertEqual(self.left(), 900)
        with self.limit("tokens").reserve(901, key=self.key) as denied:
            self.assertFalse(denied)
            self.assertRaises(ValueError, denied.commit, 1)

    def test_a_commit_that_is_refused_leaves_the_reservation_to_be_released(self):
        with self.assertRaisesRegex(MillpondError, "INVALID_ARGUMENT"):
            with self.limit("tokens").reserve(600, key=self.key) as held:
                held.commit(1, 2)
        self.assertEqual(self.left(), 1000)

    def test_a_commit_that_a_sidecar_hangs_on_can_be_said_again(self):
        tokens = self.limit("tokens", Millpond(self.sidecar.address, timeout=BOUND))
        with tokens.reserve(600, hold=300, key=self.key) as held:
            tokens.pond.timeout = 0.2
            self.sidecar.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.sidecar.process.pid, os.WSTOPPED)  # it is told, and then it stops
            try:
                self.assertEqual(tokens.acquire(self.key), OPEN)
                self.assertEqual(self.limit("tokens", tokens.pond, away="closed").peek(self.key), CLOSED)
                self.assertEqual(held.commit(100), "UNAVAILABLE")
            finally:
                self.sidecar.process.send_signal(signal.SIGCONT)
            until(lambda: held.commit(100) in ("DONE", "REPEATED"), "it is not committed")
        self.assertIn(self.left(), (899, 900))  # with or without the call that was given up

    def test_a_call_whose_reply_is_lost_is_said_again_and_spends_once(self):
        relay = Relay(self.sidecar.address)
        self.addCleanup(relay.listener.close)
        pond = Millpond("http://127.0.0.1:%d" % relay.listener.getsockname()[1])
        self.addCleanup(pond.channel.close)
        tokens = self.limit("tokens", pond, away="raise")
        for turn in range(1, 6):
            self.assertTrue(tokens.peek(self.key))  # it is connected
            relay.cutting = True
            self.assertTrue(tokens.acquire(self.key, cost=100))
            self.assertEqual((relay.cuts, self.left()), (turn, 1000 - 100 * turn))

    def test_what_is_no_decision_is_raised_however_absence_is_met(self):
        for away in ("open", "closed", "raise"):
            with self.assertRaisesRegex(MillpondError, "NOT_FOUND"):
                self.limit("nobodys", away=away).acquire()
        self.assertRaises(ValueError, Limit, self.pond, "everyday", away="load")

    def test_http_is_told_of_the_bucket_that_decided(self):
        by = limit_pb2.Decider(limit="api", keyed=True)
        denied = OPEN._replace(allowed=False, decided_by=by, capacity=10, remaining=2, reset_after=8.001, rate=3,
                               period=1.0, retry_after=1.001)
        self.assertEqual(denied.headers(), {"RateLimit-Policy": '"api";q=10;w=4', "RateLimit": '"api";r=2;t=2',
                                            "Retry-After": "2"})
        allowed = denied._replace(allowed=True, retry_after=0.0, decided_by=limit_pb2.Decider())
        self.assertEqual(allowed.headers(), {"RateLimit-Policy": '"requests";q=10;w=4',
                                             "RateLimit": '"requests";r=2;t=9'})
        self.assertEqual((OPEN.headers(), CLOSED.headers()), ({}, {"Retry-After": "1"}))


class LimitAwayTest(unittest.TestCase):
    def setUp(self):
        self.sidecar = Sidecar()

    def tearDown(self):
        self.sidecar.kill()
        self.sidecar.folder.cleanup()

    def test_a_sidecar_killed_under_load_is_met_as_was_chosen_and_decides_again_when_it_is_back(self):
        pond = Millpond(self.sidecar.address)
        decided, without, wrong, ended = 0, 0, [], threading.Event()

        def spend(away, caller):
            nonlocal decided, without
            tokens, turn = Limit(pond, "everyday", "tokens", away=away), 0
            while not ended.is_set():
                turn += 1
                try:
                    decision = tokens.acquire(f"{caller}-{turn}")
                    if not decision.without_sidecar:
                        decided += 1
                        if not decision or decision.remaining != 999:
                            wrong.append(decision)
                        continue
                    if decision != {"open": OPEN, "closed": CLOSED}.get(away):
                        wrong.append(decision)
                except MillpondError as error:
                    if away != "raise" or error.reason != "UNAVAILABLE":
                        wrong.append(error)
                without += 1

        with futures.ThreadPoolExecutor(6) as pool, contextlib.ExitStack() as stack:
            stack.callback(ended.set)
            callers = [pool.submit(spend, away, caller) for caller, away in enumerate(["open", "closed", "raise"] * 2)]
            for _ in range(3):
                decided = 0
                until(lambda: decided > 200, "it is not used")
                self.sidecar.kill()
                without = 0
                until(lambda: without > 60, "nobody notices")
                self.sidecar.start(self.sidecar.listen)
            decided = 0
            until(lambda: decided > 200, "it is not used again")
            ended.set()
            for caller in callers:
                caller.result(BOUND)
        self.assertEqual(wrong, [])


class LimitPeerTest(unittest.TestCase):
    """A peer that refuses: what is said again, and how often."""
    def test_a_call_is_said_again_once_with_its_own_id_and_only_when_its_peer_is_away(self):
        asked, status = [], grpc.StatusCode.UNAVAILABLE

        class Peer(limit_pb2_grpc.LimitServiceServicer):
            def Acquire(self, request, context):
                asked.append(request.request_id)
                context.abort(status, "refused")

        server = grpc.server(futures.ThreadPoolExecutor(2))
        limit_pb2_grpc.add_LimitServiceServicer_to_server(Peer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait(BOUND))
        limit = Limit(Millpond(f"http://127.0.0.1:{port}"), "everyday")
        self.assertEqual((limit.acquire(), limit.acquire(request_id=b"own")), (OPEN, OPEN))
        first, again, *own = asked
        self.assertEqual((len(first), again, own), (16, first, [b"own", b"own"]))
        limit.acquire()
        self.assertNotEqual(asked[4], first)
        self.assertEqual(len(asked), 6)
        status = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.assertRaisesRegex(MillpondError, "RESOURCE_EXHAUSTED", limit.acquire)
        self.assertEqual(len(asked), 7)


class OtherRevisionTest(unittest.TestCase):
    """Replies that a sidecar gives only in states that no caller can bring about."""
    def test_a_reply_without_value_and_lease_loads_only_if_it_says_so(self):
        replies = {
            b"bypass": pb.GetReply(reason=pb.REASON_BYPASS), b"not held": pb.GetReply(reason=pb.REASON_NOT_HELD),
            b"shed": pb.GetReply(reason=pb.REASON_SHED, retry_after_ms=1500), b"of tomorrow": pb.GetReply(reason=99),
            b"nothing": pb.GetReply(), b"empty": pb.GetReply(value=b""), b"absent": pb.GetReply(absent=True)}
        settled = []

        class Peer(rpc.CacheServiceServicer):
            def Get(self, request, context):
                return replies[request.key]
            def GetMany(self, request, context):
                return pb.GetManyReply(entries=[replies[key.key] for key in request.keys])
            def Fill(self, request, context):
                settled.append(request)
                return pb.FillReply()

        server = grpc.server(futures.ThreadPoolExecutor(2))
        rpc.add_CacheServiceServicer_to_server(Peer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait(BOUND))
        cache = Millpond(f"http://127.0.0.1:{port}").cache("t", "c", away="load")
        refused = {}
        for key in replies:
            origin = Origin(b"own")
            try:
                found = cache.get_or_load(key, origin)
                self.assertEqual(found, {b"empty": b"", b"absent": None}.get(key, b"own"))
                self.assertEqual(origin.loads, int(key in (b"bypass", b"not held")), key)
            except MillpondError as error:
                self.assertEqual(origin.loads, 0)
                refused[key] = (error.reason, error.retry_after)
        self.assertEqual(refused, {b"shed": ("SHED", 1.5), b"of tomorrow": ("99", 0.0), b"nothing": ("UNSPECIFIED", 0.0)})
        keys = [b"bypass", b"empty", b"absent", b"not held"]
        self.assertEqual(cache.get_many_or_load(keys, lambda keys: dict.fromkeys(keys, b"own")),
                         {b"bypass": b"own", b"not held": b"own", b"empty": b"", b"absent": None})
        with self.assertRaisesRegex(MillpondError, "SHED"):
            cache.get_many_or_load([b"empty", b"shed"], Origin(b"own"))
        self.assertEqual(settled, [])


if __name__ == "__main__":
    unittest.main()
