// Rate limits: bursts, turns, several limits at once, reservations and retries; see examples/millpond.yaml.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/everyday/millpond"
)

const callers, burst = 20, 5

// A key of its own: buckets that nobody has spent from.
var me = fmt.Sprintf("user-%x", time.Now().UnixNano())

func check(holds bool, what ...interface{}) {
	if !holds {
		log.Fatal(what...)
	}
}

// together calls from many goroutines at once.
func together(callers int, call func() (millpond.Decision, error)) (decisions []millpond.Decision) {
	all := make(chan millpond.Decision)
	for i := 0; i < callers; i++ {
		go func() {
			decision, err := call()
			check(err == nil, err)
			all <- decision
		}()
	}
	for i := 0; i < callers; i++ {
		decisions = append(decisions, <-all)
	}
	return decisions
}

// declared leaves if there is no sidecar, or if its limits are not those of examples/millpond.yaml.
func declared(ctx context.Context, limits millpond.Limiter) {
	_, err := limits.Peek(ctx, millpond.Tokens("logins", me, 1))
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound:
		log.Fatal(err, "\nthis program's limits are not declared: millpond serve --config examples/millpond.yaml")
	case codes.Unavailable:
		for away, allowed := range map[millpond.Away]bool{millpond.Open: true, millpond.Closed: false} {
			limits.Away = away
			decision, err := limits.Acquire(ctx, millpond.Tokens("logins", me, 1))
			check(err == nil && decision.Allowed == allowed, decision, err)
		}
		fmt.Printf("no sidecar (%v): a limit is open, closed or an error then, as it was chosen\n", err)
		os.Exit(3)
	default:
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	conn, err := millpond.Dial()
	check(err == nil, err)
	limits := millpond.Limiter{Client: millpond.NewLimitServiceClient(conn), Tenant: "everyday", Away: millpond.Fail}
	declared(ctx, limits)

	// Many callers at once: as many pass as the bucket holds, and the others learn when to come back.
	passed, after := 0, uint64(0)
	for _, decision := range together(callers, func() (millpond.Decision, error) {
		return limits.Acquire(ctx, millpond.Tokens("logins", me, 1))
	}) {
		if decision.Allowed {
			passed++
			continue
		}
		after = decision.RetryAfterMs
		check(decision.Reason == millpond.LimitReason_LIMIT_REASON_OVER_LIMIT && after > 0 && after <= 720_100, decision)
	}
	check(passed == burst, passed, " passed")
	fmt.Printf("%d callers: %d pass, the others come back in %d s\n", callers, passed, after/1000)

	// Patient callers wait for their turn, and no longer than they said.
	patient, began := limits, time.Now()
	patient.Wait = 30 * time.Second
	waited := []string{}
	for _, turn := range together(3, func() (millpond.Decision, error) {
		return patient.Acquire(ctx, millpond.Tokens("api", me, burst))
	}) {
		check(turn.Allowed, turn)
		waited = append(waited, fmt.Sprintf("%d ms", turn.WaitedMs))
	}
	check(time.Since(began) > 900*time.Millisecond, time.Since(began)) // two of them half a second each after the other
	fmt.Println("three callers that each need all there is waited", waited)
	never, err := patient.Acquire(ctx, millpond.Tokens("api", me, burst+1))
	check(err == nil && never.Reason == millpond.LimitReason_LIMIT_REASON_NEVER, never, err)

	left := func(want uint64) {
		decision, err := limits.Peek(ctx, millpond.Tokens("tokens", me, 1))
		check(err == nil && decision.Remaining == want, decision, err)
	}

	// Several limits at once: all or none.
	both, err := limits.Acquire(ctx, millpond.Tokens("tokens", me, 300), millpond.Tokens("logins", me, 1))
	check(err == nil && !both.Allowed, both, err)
	left(1000)
	fmt.Println("over one limit of two: nothing is spent of either")

	// A reservation: the cost is only known afterwards. What was held and not spent is back at once.
	work := func(cost uint64) {
		held, err := limits.Reserve(ctx, 30*time.Second, millpond.Tokens("tokens", me, 500))
		check(err == nil && held.Allowed, held, err)
		defer held.Release() // unless it is committed
		if cost > 0 {
			settled, err := held.Commit(ctx, cost)
			check(err == nil && settled == millpond.Settlement_SETTLEMENT_DONE, settled, err)
		}
	}
	work(120)
	left(880)
	work(0)
	left(880)
	fmt.Println("500 held, 120 committed: 880 of 1000 are left; 500 held and the work failed: 880 are left")

	// What is said twice, such as a message that a queue delivers again, is charged once.
	message := limits
	message.RequestID = []byte("message of " + me)
	for i := 0; i < 2; i++ {
		decision, err := message.Acquire(ctx, millpond.Tokens("tokens", me, 80))
		check(err == nil && decision.Allowed, decision, err)
	}
	left(800)
	fmt.Println("a message of 80 tokens, delivered twice: 800 are left")
}
