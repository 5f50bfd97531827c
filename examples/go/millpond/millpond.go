// Package millpond reads through a sidecar's cache: copy this file, and make the stubs beside it (see README.md).
package millpond

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Patience with another's load, with the sidecar itself, and with a refresh that nobody waits for.
const wait, timeout, longestLoad = 5 * time.Second, time.Second, time.Minute

var ErrAbsent = errors.New("millpond: no such thing")
var address = regexp.MustCompile(`^(?:http://([^/@]+)/?|(unix:)(?://)?(/.+))$`)
var again = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}
var refreshes = make(chan struct{}, 32) // at once

// Refused is no value, and no leave to load one: Reason says why, RetryAfterMs when to come back.
type Refused struct{ *GetReply }

func (r Refused) Error() string { return "millpond: " + r.Reason.String() + ": " + r.LoadError }

// Cache is one tenant's cache. What is nil takes the cache's policy.
type Cache struct {
	Client       CacheServiceClient
	Tenant, Name string
	Times        *Times  // &Times{FreshMs: proto.Uint32(30_000)}
	LeaseMs      *uint32 // how long a load keeps others from loading
	FreshOnly    bool
	LoadAway     bool // reads load for themselves when the sidecar cannot be reached. Writes fail then
}

// Item is a value and the tags it can be invalidated by.
type Item struct {
	Value []byte
	Tags  []string
}

// A Loader leaves out what is absent.
type Loader = func(ctx context.Context, keys []string) (map[string]Item, error)

// Dial connects, when first needed, to where MILLPOND_ADDR says or to http://127.0.0.1:7470.
func Dial() (*grpc.ClientConn, error) {
	where := os.Getenv("MILLPOND_ADDR")
	if where == "" {
		where = "http://127.0.0.1:7470"
	}
	form := address.FindStringSubmatch(where)
	if form == nil {
		return nil, fmt.Errorf("MILLPOND_ADDR: %q, expected http://host:port or unix:/path/to.sock", where)
	}
	return grpc.Dial(strings.Join(form[1:], ""), grpc.WithInsecure(), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: timeout}))
}

// GetOrLoad reads one key. ErrAbsent, from the loader and from here: there is no such thing.
func (c Cache) GetOrLoad(ctx context.Context, key string, load func(context.Context, string) (Item, error)) ([]byte, error) {
	found, err := c.GetManyOrLoad(ctx, []string{key}, func(ctx context.Context, _ []string) (map[string]Item, error) {
		item, err := load(ctx, key)
		if errors.Is(err, ErrAbsent) {
			return nil, nil
		}
		return map[string]Item{key: item}, err
	})
	if item, ok := found[key]; ok || err != nil {
		return item.Value, err
	}
	return nil, ErrAbsent
}

// GetManyOrLoad reads up to 512 keys, and leaves out what is absent.
func (c Cache) GetManyOrLoad(ctx context.Context, keys []string, load Loader) (map[string]Item, error) {
	found, refused := map[string]Item{}, error(nil)
	for len(keys) > 0 {
		led, stale, loading := map[string]*Lease{}, map[string]*Lease{}, []string{}
		entries, err := c.ask(ctx, keys, Load_LOAD_CALLER)
		if err != nil && !(away(err) && c.LoadAway && ctx.Err() == nil) {
			return nil, err
		}
		for at, key := range keys {
			entry := &GetReply{Reason: Reason_REASON_BYPASS} // switched off here, or away
			if entries != nil {
				entry = entries[at]
			}
			switch {
			case entry.Found != nil && entry.Lease != nil:
				stale[key] = entry.Lease
			case entry.Found != nil: // fresh, or refreshed by another
			case entry.Lease != nil || entry.Reason == Reason_REASON_NOT_HELD || entry.Reason == Reason_REASON_BYPASS:
				led[key] = entry.Lease // nil: for this caller alone, with nothing to settle
			case entry.Reason == Reason_REASON_LOADING:
				loading = append(loading, key) // to ask again, once what is led here is settled
			default:
				refused = Refused{entry}
			}
			keep(found, key, entry)
		}
		if len(stale) > 0 {
			c.refresh(stale, load)
		}
		if err := c.lead(ctx, led, load, found); err != nil && !(ctx.Err() == nil && c.instead(ctx, led, found)) {
			return nil, err
		}
		keys = loading
	}
	return found, refused
}

func (c Cache) ask(ctx context.Context, keys []string, load Load) ([]*GetReply, error) {
	if os.Getenv("MILLPOND_BYPASS") == "1" { // reads load for themselves; writes still go through
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait+timeout)
	defer cancel()
	patience := uint32(wait.Milliseconds())
	request := &GetManyRequest{Tenant: c.Tenant, Cache: c.Name, Load: load, WaitMs: &patience, LeaseMs: c.LeaseMs, FreshOnly: c.FreshOnly}
	for _, key := range keys {
		request.Keys = append(request.Keys, &KeyRequest{Key: []byte(key)})
	}
	reply, err := c.Client.GetMany(ctx, request)
	return reply.GetEntries(), err
}

// lead loads and settles. A loader that fails fails its followers; one that is cancelled or panics promotes one of them.
func (c Cache) lead(ctx context.Context, leases map[string]*Lease, load Loader, found map[string]Item) error {
	if len(leases) == 0 {
		return nil
	}
	keys, fills := []string{}, []*Fill{}
	for key, lease := range leases {
		keys = append(keys, key)
		if lease != nil {
			fills = append(fills, &Fill{Key: []byte(key), Lease: lease, Settlement: &Fill_GivenUp{GivenUp: true}})
		}
	}
	defer func() { c.settle(fills) }()
	items, err := load(ctx, keys)
	for _, fill := range fills {
		item, ok := items[string(fill.Key)]
		switch {
		case err != nil && ctx.Err() != nil: // given up
		case err != nil:
			text := strings.ToValidUTF8(fmt.Sprintf("%.256s", err), "?")
			fill.Settlement = &Fill_Failed{Failed: &Failed{Error: text}}
		case ok:
			fill.Settlement, fill.Tags, fill.Times = &Fill_Value{Value: item.Value}, item.Tags, c.Times
		default:
			fill.Settlement = &Fill_Absent{Absent: true}
		}
	}
	for _, key := range keys {
		if item, ok := items[key]; ok && err == nil {
			found[key] = item
		}
	}
	return err
}

// instead looks for what is stale and may stand in for a load that failed.
func (c Cache) instead(ctx context.Context, leases map[string]*Lease, found map[string]Item) bool {
	for key := range leases {
		entries, err := c.ask(ctx, []string{key}, Load_LOAD_NEVER)
		if err != nil || len(entries) == 0 || entries[0].Found == nil {
			return false
		}
		keep(found, key, entries[0])
	}
	return true
}

// refresh loads behind an answer that was stale. If too much is refreshed already, the next reader is asked to.
func (c Cache) refresh(leases map[string]*Lease, load Loader) {
	ctx, cancel := context.WithTimeout(context.Background(), longestLoad)
	select {
	case refreshes <- struct{}{}:
		go func() {
			defer func() { cancel(); <-refreshes }()
			if err := c.lead(ctx, leases, load, map[string]Item{}); err != nil {
				log.Printf("millpond: a refresh failed: %v", err)
			}
		}()
	default:
		cancel()
		_ = c.lead(ctx, leases, func(ctx context.Context, _ []string) (map[string]Item, error) { return nil, ctx.Err() }, nil)
	}
}

// settle hands in all at once; what is refused by itself, because it is too large or misnamed, is given up.
func (c Cache) settle(fills []*Fill) {
	if len(fills) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := c.Client.Fill(ctx, &FillRequest{Tenant: c.Tenant, Cache: c.Name, Fills: fills})
	switch {
	case err == nil || away(err): // when it is away the lease ends by its deadline
	case len(fills) > 1:
		for at := range fills {
			c.settle(fills[at : at+1])
		}
	case !fills[0].GetGivenUp():
		log.Printf("millpond: loaded, but not cached: %v", err)
		c.settle([]*Fill{{Key: fills[0].Key, Lease: fills[0].Lease, Settlement: &Fill_GivenUp{GivenUp: true}}})
	}
}

// Set writes a value. After a write to a database prefer Invalidate.
func (c Cache) Set(ctx context.Context, key string, item Item) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.Client.Set(ctx, &SetRequest{Tenant: c.Tenant, Cache: c.Name, Key: []byte(key),
		Value: item.Value, Tags: item.Tags, Times: c.Times})
	return err
}

// Invalidate returns when nobody can read the older values of these keys any more.
func (c Cache) Invalidate(ctx context.Context, keys ...string) error {
	target := &Keys{}
	for _, key := range keys {
		target.Keys = append(target.Keys, []byte(key))
	}
	return c.invalidate(ctx, &InvalidateRequest{Target: &InvalidateRequest_Keys{Keys: target}})
}

// InvalidateTags does so for all that carries one of the tags.
func (c Cache) InvalidateTags(ctx context.Context, tags ...string) error {
	return c.invalidate(ctx, &InvalidateRequest{Target: &InvalidateRequest_Tags{Tags: &Tags{Tags: tags}}})
}

func (c Cache) invalidate(ctx context.Context, request *InvalidateRequest) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request.Tenant, request.Cache = c.Tenant, c.Name
	_, err := c.Client.Invalidate(ctx, request)
	return err
}

func keep(found map[string]Item, key string, entry *GetReply) {
	if value, ok := entry.Found.(*GetReply_Value); ok {
		found[key] = Item{Value: value.Value, Tags: entry.Tags}
	}
}

func away(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}
