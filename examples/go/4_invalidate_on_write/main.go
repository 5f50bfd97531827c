// Invalidate on write: once the write is announced nobody reads the old value, whatever was being loaded.
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

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := millpond.Dial()
	if err != nil {
		log.Fatal(err)
	}
	users := millpond.Cache{Client: millpond.NewCacheServiceClient(conn), Name: "users"}
	users.Tenant = fmt.Sprintf("everyday-%x", time.Now().UnixNano())

	database := map[string]string{"42": "Grace"}
	loadUser := func(_ context.Context, key string) (millpond.Item, error) {
		return millpond.Item{Value: []byte(database[key]), Tags: []string{"team:7"}}, nil
	}
	expect := func(want string) {
		user, err := users.GetOrLoad(ctx, "42", loadUser)
		if status.Code(err) == codes.Unavailable {
			fmt.Printf("no sidecar (%v): a write that cannot be announced must not look announced\n", err)
			os.Exit(3)
		}
		if err != nil || string(user) != want {
			log.Fatalf("read %q for %q, %v", user, want, err)
		}
	}
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	expect("Grace")
	database["42"] = "Ada"
	expect("Grace") // as long as nothing is said, the cache knows no better
	must(users.Invalidate(ctx, "42"))
	expect("Ada")
	fmt.Println("by key: Grace, then Ada")

	database["42"] = "Edith"
	must(users.InvalidateTags(ctx, "team:7"))
	expect("Edith")
	fmt.Println("by tag: Edith")

	// The hard case: the write comes while a load is under way that has read the old row already.
	must(users.Invalidate(ctx, "42"))
	hasRead, written, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := users.GetOrLoad(ctx, "42", func(_ context.Context, key string) (millpond.Item, error) {
			row := database[key]
			close(hasRead)
			<-written
			return millpond.Item{Value: []byte(row)}, nil
		})
		done <- err
	}()
	<-hasRead
	database["42"] = "Barbara"
	must(users.Invalidate(ctx, "42"))
	close(written)
	must(<-done)
	expect("Barbara")
	fmt.Println("during a load: Barbara; what the load brought was not kept")
}
