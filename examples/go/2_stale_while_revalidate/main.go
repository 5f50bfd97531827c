// Stale while revalidate: past its freshness a page is answered at once, and one caller refreshes it behind that.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/protobuf/proto"

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
	pages := millpond.Cache{Client: millpond.NewCacheServiceClient(conn), Name: "pages"}
	pages.Tenant = fmt.Sprintf("everyday-%x", time.Now().UnixNano())
	pages.Times = &millpond.Times{FreshMs: proto.Uint32(50), StaleMs: proto.Uint32(60_000)}

	// The load of the next page ends when it is told to, not before.
	begun, finish := make(chan struct{}), make(chan struct{})
	loadPage := func(context.Context, string) (millpond.Item, error) {
		close(begun)
		<-finish
		return millpond.Item{Value: []byte("tuesday")}, nil
	}
	read := func() string {
		page, err := pages.GetOrLoad(ctx, "/", loadPage)
		if err != nil {
			log.Fatal(err)
		}
		return string(page)
	}

	if err := pages.Set(ctx, "/", millpond.Item{Value: []byte("monday")}); err != nil {
		fmt.Printf("no sidecar (%v): without LoadAway that is an error\n", err)
		os.Exit(3)
	}
	time.Sleep(100 * time.Millisecond) // its freshness passes

	if page := read(); page != "monday" {
		log.Fatalf("read %q", page)
	}
	select {
	case <-begun:
	case <-ctx.Done():
		log.Fatal("nobody refreshes")
	}
	if page := read(); page != "monday" {
		log.Fatalf("read %q", page)
	}
	fmt.Println("at once: monday, stale, while one caller loads the next")

	close(finish)
	loadPage = func(context.Context, string) (millpond.Item, error) {
		return millpond.Item{Value: []byte("tuesday")}, nil
	}
	page := read()
	for page == "monday" {
		page = read() // ends by the deadline of ctx
	}
	if page != "tuesday" {
		log.Fatalf("read %q", page)
	}
	fmt.Println("soon after: tuesday")
}
