// The place of circuit breakers, which this revision of Millpond does not serve: asks the sidecar, and says what it says.
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := millpond.Dial()
	if err != nil {
		log.Fatal(err)
	}
	hello, err := millpond.NewCacheServiceClient(conn).Hello(ctx, &millpond.HelloRequest{})
	if err == nil {
		fmt.Printf("sidecar: revision %d, features %q\n", hello.Revision, hello.Features)
		err = conn.Invoke(ctx, "/millpond.v1.BreakerService/Admit", &millpond.HelloRequest{}, &millpond.HelloReply{})
	}
	fmt.Printf("BreakerService/Admit: %v\n", err)
	switch status.Code(err) {
	case codes.Unimplemented:
		fmt.Println("so there are no circuit breakers here yet")
	case codes.Unavailable, codes.DeadlineExceeded:
		os.Exit(3)
	default:
		log.Fatal("the sidecar has circuit breakers: this program is to be written now")
	}
}
