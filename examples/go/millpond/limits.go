package millpond // Rate limits: copy this file beside millpond.go, and make the stubs of limit.proto there too.

import (
	"context"
	"crypto/rand"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Away says what decides when the sidecar cannot be reached: Open lets every call go on, Closed none, Fail returns the
// error, as all else that is no decision does: a limit that nobody declared is codes.NotFound.
type Away int

const Open, Closed, Fail Away = 0, 1, 2

// Limiter is a tenant's. It costs nothing to make. MILLPOND_BYPASS is of the cache: limits hold all the same.
type Limiter struct {
	Client    LimitServiceClient
	Tenant    string
	Away      Away
	Wait      time.Duration // for a call's turn, at most a minute. When ctx ends before, the tokens go back
	RequestID []byte        // calls with the same one spend once in a minute; nil: each call has its own
}

// Decision is the reply, yes or no: DecidedBy is nil when nothing limits the call. WithoutSidecar: Away decided.
type Decision struct {
	*AcquireReply
	WithoutSidecar bool
}

// Tokens of a limit ("": the tenant's own); key says whose, if the limit has buckets by key. Cost 0 only asks.
func Tokens(limit, key string, cost uint64) *Charge {
	return &Charge{Limit: limit, Key: []byte(key), Cost: &cost}
}

// Acquire spends all charges or none, or says when to come back. None is one of the tenant's own.
func (l Limiter) Acquire(ctx context.Context, charges ...*Charge) (Decision, error) {
	return l.acquire(ctx, charges, nil)
}

// Peek says what Acquire would. It spends nothing.
func (l Limiter) Peek(ctx context.Context, charges ...*Charge) (Decision, error) {
	reply, err := once(ctx, 0, l.Client.Peek, &PeekRequest{Tenant: l.Tenant, Charges: charges})
	return l.decided(ctx, reply, err)
}

// Reserve holds tokens, at most ten minutes, until the real cost is known. Defer Release, and Commit.
func (l Limiter) Reserve(ctx context.Context, hold time.Duration, charges ...*Charge) (*Held, error) {
	ms := uint32(hold.Milliseconds())
	decision, err := l.acquire(ctx, charges, &ms)
	return &Held{decision, l, decision.GetReservation() == nil}, err
}

func (l Limiter) acquire(ctx context.Context, charges []*Charge, hold *uint32) (Decision, error) {
	id, own := l.RequestID, make([]byte, 16)
	if _, err := rand.Read(own); err != nil {
		return Decision{}, err
	} else if len(id) == 0 {
		id = own
	}
	reply, err := once(ctx, l.Wait, l.Client.Acquire, &AcquireRequest{Tenant: l.Tenant, Charges: charges,
		MaxWaitMs: uint32(l.Wait.Milliseconds()), HoldMs: hold, RequestId: id})
	return l.decided(ctx, reply, err)
}

func (l Limiter) decided(ctx context.Context, reply *AcquireReply, err error) (Decision, error) {
	if !away(err) || l.Away == Fail || ctx.Err() != nil {
		return Decision{reply, false}, err
	} else if l.Away == Open {
		return Decision{&AcquireReply{Allowed: true, Reason: LimitReason_LIMIT_REASON_OK}, true}, nil
	}
	return Decision{&AcquireReply{Reason: LimitReason_LIMIT_REASON_UNAVAILABLE, RetryAfterMs: 1000}, true}, nil
}

// Held is a reservation, if Allowed; if not, it says why. Nothing is held without a sidecar.
type Held struct {
	Decision
	of      Limiter
	settled bool
}

// Commit says the real cost of each charge; more than was held leaves a debt. LATE: the hold had ended, and all of it
// was charged. VOID: nothing changed. On an error it can be said again.
func (h *Held) Commit(ctx context.Context, costs ...uint64) (Settlement, error) {
	if h.GetReservation() == nil {
		return Settlement_SETTLEMENT_VOID, nil
	}
	request := &CommitRequest{Tenant: h.of.Tenant, Reservation: h.Reservation, Costs: costs}
	reply, err := once(ctx, 0, h.of.Client.Commit, request)
	h.settled = err == nil || away(err) // it may have been heard: its hold ends it
	return reply.GetSettlement(), err
}

// Release gives the tokens back, unless they are committed.
func (h *Held) Release() {
	request := &ReleaseRequest{Tenant: h.of.Tenant, Reservation: h.Reservation}
	if h.settled {
	} else if _, err := once(context.Background(), 0, h.of.Client.Release, request); err != nil {
		log.Printf("millpond: not released, so it is held to its end: %v", err)
	}
}

// once is what happens, though it is said twice: Acquire has an id, and the others change nothing twice.
func once[Q, R any](ctx context.Context, wait time.Duration,
	say func(context.Context, Q, ...grpc.CallOption) (R, error), what Q) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+timeout)
	defer cancel()
	reply, err := say(ctx, what)
	if status.Code(err) == codes.Unavailable && ctx.Err() == nil {
		return say(ctx, what)
	}
	return reply, err
}
