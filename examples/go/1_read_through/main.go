// Read-through: many callers read a cold key, and the database is asked once.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"example.com/everyday/millpond"
)

const callers = 20

var loads int32

// loadUser stands for a query: slow, and counted.
func loadUser(ctx context.Context, key string) (millpond.Item, error) {
	atomic.AddInt32(&loads, 1)
	time.Sleep(100 * time.Millisecond)
	return millpond.Item{Value: []byte("user " + key + ": Ada")}, nil
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	conn, err := millpond.Dial()
	if err != nil {
		log.Fatal(err)
	}
	users := millpond.Cache{Client: millpond.NewCacheServiceClient(conn), Name: "users", LoadAway: true}
	users.Tenant = fmt.Sprintf("everyday-%x", time.Now().UnixNano())
	want := int32(1)
	if err := users.Invalidate(ctx, "42"); err != nil {
		fmt.Printf("no sidecar (%v): LoadAway sends every caller to the database\n", err)
		want = callers
	}

	var all sync.WaitGroup
	for i := 0; i < callers; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			user, err := users.GetOrLoad(ctx, "42", loadUser)
			if err != nil || string(user) != "user 42: Ada" {
				log.Fatalf("read %q, %v", user, err)
			}
		}()
	}
	all.Wait()
	if loads != want {
		log.Fatalf("%d loads", loads)
	}
	fmt.Printf("%d callers read \"user 42: Ada\", loads: %d\n", callers, loads)

	if want == 1 {
		if _, err := users.GetOrLoad(ctx, "42", loadUser); err != nil || loads != 1 {
			log.Fatalf("again: %d loads, %v", loads, err)
		}
		fmt.Println("and one more, from memory: loads still 1")
	}
}
