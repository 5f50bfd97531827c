// Bulk: fifty rows are read with one call, and what is missing is loaded with one query.
package main

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"time"

	"example.com/everyday/millpond"
)

var queries [][]string

// loadRows stands for `SELECT … WHERE id IN (…)`. There is no row 13.
func loadRows(ctx context.Context, keys []string) (map[string]millpond.Item, error) {
	queries = append(queries, keys)
	rows := map[string]millpond.Item{}
	for _, key := range keys {
		if key != "13" {
			rows[key] = millpond.Item{Value: []byte("row " + key)}
		}
	}
	return rows, nil
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	conn, err := millpond.Dial()
	if err != nil {
		log.Fatal(err)
	}
	rows := millpond.Cache{Client: millpond.NewCacheServiceClient(conn), Name: "rows", LoadAway: true}
	rows.Tenant = fmt.Sprintf("everyday-%x", time.Now().UnixNano())
	want := 49
	if err := rows.Set(ctx, "7", millpond.Item{Value: []byte("row 7")}); err != nil { // one is there already
		fmt.Printf("no sidecar (%v): LoadAway asks the database for all\n", err)
		want = 50
	}
	fifty := []string{}
	for i := 0; i < 50; i++ {
		fifty = append(fifty, strconv.Itoa(i))
	}
	read := func() {
		found, err := rows.GetManyOrLoad(ctx, fifty, loadRows)
		if err != nil || len(found) != 49 {
			log.Fatalf("%d rows, %v", len(found), err)
		}
		for key, row := range found {
			if string(row.Value) != "row "+key {
				log.Fatalf("%s: %q", key, row.Value)
			}
		}
	}

	read()
	if len(queries) != 1 || len(queries[0]) != want {
		log.Fatalf("queries: %v", queries)
	}
	fmt.Printf("50 rows, 1 query for %d of them; row 13 is absent\n", want)

	if want == 49 {
		read()
		for _, query := range queries[1:] {
			if len(query) != 1 || query[0] != "13" { // only what is absent may be asked for again
				log.Fatalf("queries: %v", queries)
			}
		}
		fmt.Println("again: from memory")
	}
}
