package millpond

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func limiter(t *testing.T, away Away) Limiter {
	conn, err := Dial()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return Limiter{Client: NewLimitServiceClient(conn), Tenant: "everyday", Away: away}
}

func left(t *testing.T, l Limiter, key string, want uint64) {
	t.Helper()
	decision, err := l.Peek(context.Background(), Tokens("tokens", key, 1))
	must(t, err)
	if decision.Remaining != want {
		t.Fatalf("%d left for %d", decision.Remaining, want)
	}
}

// together calls from many goroutines at once, and says how many of them were allowed.
func together(t *testing.T, l Limiter, callers int, charge *Charge) (allowed int) {
	t.Helper()
	type answer struct {
		Decision
		err error
	}
	done := make(chan answer, callers)
	for i := 0; i < callers; i++ {
		go func() {
			decision, err := l.Acquire(context.Background(), charge)
			done <- answer{decision, err}
		}()
	}
	for i := 0; i < callers; i++ {
		got := <-done
		must(t, got.err)
		if got.Allowed {
			allowed++
		} else if got.Reason != LimitReason_LIMIT_REASON_OVER_LIMIT || got.RetryAfterMs == 0 {
			t.Fatal(got)
		}
	}
	return allowed
}

// relay passes bytes on to the sidecar. Once told to, it forwards a request and cuts the connection under the reply.
type relay struct {
	net.Listener
	cutting, cuts int32
}

func relaying(t *testing.T, s *sidecar) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	r := &relay{Listener: listener}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.tcp)
			if err != nil {
				return
			}
			requested := new(int32)
			go r.pump(server, client, func() bool { atomic.StoreInt32(requested, atomic.LoadInt32(&r.cutting)); return false })
			go r.pump(client, server, func() bool {
				cut := atomic.LoadInt32(requested) == 1
				if cut {
					atomic.StoreInt32(&r.cutting, 0)
					atomic.AddInt32(&r.cuts, 1)
				}
				return cut
			})
		}
	}()
	return r
}

func (r *relay) pump(to, from net.Conn, cut func() bool) {
	defer to.Close()
	defer from.Close()
	for bytes := make([]byte, 65536); ; {
		count, err := from.Read(bytes)
		if err != nil || cut() {
			return
		}
		if _, err := to.Write(bytes[:count]); err != nil {
			return
		}
	}
}

// refusing refuses what it is asked, and keeps the names of the calls.
type refusing struct {
	LimitServiceClient
	code codes.Code
	ids  []string
}

func (r *refusing) Acquire(_ context.Context, request *AcquireRequest, _ ...grpc.CallOption) (*AcquireReply, error) {
	r.ids = append(r.ids, string(request.RequestId))
	return nil, status.Error(r.code, "refused")
}

func TestLimits(t *testing.T) {
	s := start(t, "127.0.0.1:0", t.TempDir())
	ctx := context.Background()

	t.Run("of fifty callers exactly as many pass as the bucket holds", func(t *testing.T) {
		if allowed := together(t, limiter(t, Fail), 50, Tokens("tokens", "burst", 100)); allowed != 10 {
			t.Fatalf("%d passed", allowed)
		}
	})

	t.Run("a patient caller may wait longer than a call takes", func(t *testing.T) {
		l := limiter(t, Fail)
		l.Wait = bound
		if allowed := together(t, l, 5, Tokens("api", "patient", 5)); allowed != 5 { // two seconds: a call takes one
			t.Fatalf("%d passed", allowed)
		}
	})

	t.Run("charges are spent all or none", func(t *testing.T) {
		l := limiter(t, Fail)
		for _, allowed := range []bool{true, false} {
			decision, err := l.Acquire(ctx, Tokens("tokens", "both", 400), Tokens("logins", "both", 3))
			must(t, err)
			if decision.Allowed != allowed || !allowed && decision.DecidedBy.Limit != "logins" {
				t.Fatal(decision)
			}
		}
		left(t, l, "both", 600)
	})

	t.Run("a reservation is released unless it is committed, and committed once", func(t *testing.T) {
		l := limiter(t, Open)
		hold := func(cost uint64, work func(*Held)) {
			held, err := l.Reserve(ctx, time.Minute, Tokens("tokens", "held", cost))
			must(t, err)
			defer func() { _ = recover() }()
			defer held.Release()
			work(held)
		}
		hold(600, func(held *Held) {
			left(t, l, "held", 400)
			panic("the work failed")
		})
		left(t, l, "held", 1000)
		hold(600, func(held *Held) {
			for _, want := range []Settlement{Settlement_SETTLEMENT_DONE, Settlement_SETTLEMENT_REPEATED} {
				if settled, err := held.Commit(ctx, 100); err != nil || settled != want {
					t.Error(settled, err)
				}
			}
		})
		left(t, l, "held", 900)
		hold(600, func(held *Held) {
			if _, err := held.Commit(ctx, 1, 2); status.Code(err) != codes.InvalidArgument {
				t.Error(err)
			}
		})
		left(t, l, "held", 900)
		hold(901, func(held *Held) {
			if settled, err := held.Commit(ctx, 1); held.Allowed || err != nil || settled != Settlement_SETTLEMENT_VOID {
				t.Error(held, settled, err)
			}
		})
		left(t, l, "held", 900)
	})

	t.Run("a call whose reply is lost is said again and spends once", func(t *testing.T) {
		direct, r := limiter(t, Fail), relaying(t, s)
		address := os.Getenv("MILLPOND_ADDR")
		must(t, os.Setenv("MILLPOND_ADDR", "http://"+r.Addr().String()))
		l := limiter(t, Fail)
		must(t, os.Setenv("MILLPOND_ADDR", address))
		for turn := int32(1); turn <= 5; turn++ {
			left(t, l, "lost", uint64(1100-100*turn)) // it is connected
			atomic.StoreInt32(&r.cutting, 1)
			decision, err := l.Acquire(ctx, Tokens("tokens", "lost", 100))
			must(t, err)
			if cuts := atomic.LoadInt32(&r.cuts); !decision.Allowed || cuts != turn {
				t.Fatal(decision, cuts)
			}
			left(t, direct, "lost", uint64(1000-100*turn))
		}
	})

	t.Run("a call is said again once with its own id, and only when its peer is away", func(t *testing.T) {
		peer := &refusing{code: codes.Unavailable}
		l := Limiter{Client: peer, Tenant: "everyday"}
		for _, id := range []string{"", "own", ""} {
			l.RequestID = []byte(id)
			if decision, err := l.Acquire(ctx); err != nil || !decision.WithoutSidecar {
				t.Fatal(decision, err)
			}
		}
		ids := peer.ids
		if len(ids) != 6 || len(ids[0]) != 16 || ids[0] != ids[1] || ids[2] != "own" || ids[3] != "own" || ids[0] == ids[4] {
			t.Fatal(ids)
		}
		peer.code = codes.ResourceExhausted
		if _, err := l.Acquire(ctx); status.Code(err) != codes.ResourceExhausted || len(peer.ids) != 7 {
			t.Fatal(err, peer.ids)
		}
	})

	t.Run("what is no decision is an error however absence is met", func(t *testing.T) {
		for _, away := range []Away{Open, Closed, Fail} {
			if _, err := limiter(t, away).Acquire(ctx, Tokens("nobodys", "", 1)); status.Code(err) != codes.NotFound {
				t.Fatal(err)
			}
			late, cancel := context.WithDeadline(ctx, time.Now())
			defer cancel() // that the caller's time is over is not the sidecar's absence
			_, err := limiter(t, away).Acquire(late, Tokens("tokens", "late", 1))
			if status.Code(err) != codes.DeadlineExceeded {
				t.Fatal(err)
			}
		}
	})

	t.Run("a sidecar killed under load is met as was chosen, and decides again when it is back", func(t *testing.T) {
		var decided, without, ended int32
		choices := []Away{Open, Closed, Fail, Open, Closed, Fail}
		done := make(chan error, len(choices))
		for caller, away := range choices {
			go func(caller int, l Limiter) {
				for turn := 0; atomic.LoadInt32(&ended) == 0; turn++ {
					decision, err := l.Acquire(ctx, Tokens("tokens", fmt.Sprint(caller, " ", turn), 1))
					switch {
					case err == nil && !decision.WithoutSidecar && decision.Allowed && decision.Remaining == 999:
						atomic.AddInt32(&decided, 1)
					case err == nil && decision.WithoutSidecar && l.Away != Fail && decision.Allowed == (l.Away == Open),
						l.Away == Fail && status.Code(err) == codes.Unavailable:
						atomic.AddInt32(&without, 1)
					default:
						done <- fmt.Errorf("%v: %v, %v", l.Away, decision, err)
						return
					}
				}
				done <- nil
			}(caller, limiter(t, away))
		}
		used := func() {
			t.Helper()
			atomic.StoreInt32(&decided, 0)
			until(t, func() bool { return atomic.LoadInt32(&decided) > 200 || len(done) > 0 }, "it is not used")
		}
		for round := 0; round < 3; round++ {
			used()
			s.kill()
			atomic.StoreInt32(&without, 0)
			until(t, func() bool { return atomic.LoadInt32(&without) > 60 || len(done) > 0 }, "nobody notices")
			s = start(t, s.tcp, s.folder)
		}
		used()
		atomic.StoreInt32(&ended, 1)
		for range choices {
			must(t, <-done)
		}
	})
}
