package millpond

// What the helpers must hold when things go wrong, against a sidecar of its own: MILLPOND_BIN says which binary, and
// MILLPOND_CONFIG that its limits are those of examples/millpond.yaml.
// MILLPOND_ADDR only chooses the transport, TCP or Unix socket.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const bound = 20 * time.Second

type sidecar struct {
	process            *exec.Cmd
	tcp, probe, folder string
}

func start(t *testing.T, listen, folder string) *sidecar {
	socket := filepath.Join(folder, "pond.sock")
	s := &sidecar{exec.Command(os.Getenv("MILLPOND_BIN"), "serve", "--listen", listen, "--probe", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--socket", socket), "", "", folder}
	out, err := s.process.StdoutPipe()
	must(t, err)
	must(t, s.process.Start())
	t.Cleanup(s.kill)
	for lines := bufio.NewScanner(out); s.probe == "" && lines.Scan(); {
		if found := regexp.MustCompile(`cache +http://(\S+)`).FindStringSubmatch(lines.Text()); found != nil {
			s.tcp = found[1]
		}
		if found := regexp.MustCompile(`probe +(http:\S+)`).FindStringSubmatch(lines.Text()); found != nil {
			s.probe = found[1]
		}
	}
	address := "http://" + s.tcp
	if strings.HasPrefix(os.Getenv("MILLPOND_ADDR"), "unix:") {
		address = "unix:" + socket
	}
	must(t, os.Setenv("MILLPOND_ADDR", address))
	return s
}

func (s *sidecar) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// waiting is how many calls were told to wait for another's load, since the start.
func (s *sidecar) waiting(t *testing.T) int {
	reply, err := http.Get(s.probe + "/metrics")
	must(t, err)
	defer reply.Body.Close()
	metrics, err := io.ReadAll(reply.Body)
	must(t, err)
	number, err := strconv.Atoi(string(regexp.MustCompile(`(?m)^millpond_\w*coalesced\w*(?:\{.*\})? (\d+)`).FindSubmatch(metrics)[1]))
	must(t, err)
	return number
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, holds func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(bound); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func open(t *testing.T, name string) Cache {
	conn, err := Dial()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return Cache{Client: NewCacheServiceClient(conn), Tenant: "t", Name: name}
}

// origin is a loader that counts, and that can be held up.
type origin struct {
	value       string
	err         error
	begun, goOn chan struct{}
	loads       int32
}

func held(value string, err error) *origin {
	return &origin{value: value, err: err, begun: make(chan struct{}), goOn: make(chan struct{})}
}

func free(value string) *origin {
	o := held(value, nil)
	close(o.goOn)
	return o
}

func (o *origin) load(ctx context.Context, _ string) (Item, error) {
	if atomic.AddInt32(&o.loads, 1) == 1 {
		close(o.begun)
	}
	select {
	case <-o.goOn:
		return Item{Value: []byte(o.value)}, o.err
	case <-ctx.Done():
		return Item{}, ctx.Err()
	}
}

type answer struct {
	value string
	err   error
}

func read(ctx context.Context, c Cache, o *origin) chan answer {
	done := make(chan answer, 1)
	go func() {
		value, err := c.GetOrLoad(ctx, "k", o.load)
		done <- answer{string(value), err}
	}()
	return done
}

// follow starts callers that wait for a load under way; it returns once the sidecar has them all.
func follow(t *testing.T, s *sidecar, c Cache, o *origin, callers int) (reads []chan answer) {
	before := s.waiting(t)
	for i := 0; i < callers; i++ {
		reads = append(reads, read(context.Background(), c, o))
	}
	until(t, func() bool { return s.waiting(t) >= before+callers }, "nobody waits")
	return reads
}

func expect(t *testing.T, want string, reads ...chan answer) {
	t.Helper()
	for _, done := range reads {
		if got := <-done; got.err != nil || got.value != want {
			t.Fatalf("read %q, %v", got.value, got.err)
		}
	}
}

func loads(t *testing.T, o *origin, want int32) {
	t.Helper()
	if o.loads != want {
		t.Fatalf("%d loads", o.loads)
	}
}

func TestLeader(t *testing.T) { // not a test: the process that is killed below
	if name := os.Getenv("MILLPOND_LEAD"); name != "" {
		c := open(t, name)
		c.LeaseMs = proto.Uint32(500)
		_, _ = c.GetOrLoad(context.Background(), "k", func(context.Context, string) (Item, error) {
			fmt.Println("leads")
			time.Sleep(bound)
			return Item{}, nil
		})
	}
}

func TestHelper(t *testing.T) {
	if os.Getenv("MILLPOND_LEAD") != "" {
		return
	}
	log.SetOutput(io.Discard)
	s := start(t, "127.0.0.1:0", t.TempDir())
	ctx := context.Background()

	t.Run("two hundred callers of a cold key make one load", func(t *testing.T) {
		c, o := open(t, "herd"), held("value", nil)
		leader := read(ctx, c, o)
		<-o.begun
		reads := follow(t, s, c, o, 199)
		close(o.goOn)
		expect(t, "value", append(reads, leader)...)
		loads(t, o, 1)
	})

	t.Run("when the leading process is killed another leads", func(t *testing.T) {
		leader := exec.Command(os.Args[0], "-test.run", "TestLeader")
		leader.Env = append(os.Environ(), "MILLPOND_LEAD=killed")
		out, err := leader.StdoutPipe()
		must(t, err)
		must(t, leader.Start())
		if said, err := bufio.NewReader(out).ReadString('\n'); said != "leads\n" {
			t.Fatal(said, err)
		}
		o := free("value")
		reads := follow(t, s, open(t, "killed"), o, 10)
		must(t, leader.Process.Kill())
		expect(t, "value", reads...)
		loads(t, o, 1)
		_ = leader.Wait()
	})

	t.Run("when the loader fails its followers get that error and nobody loads again", func(t *testing.T) {
		torn := errors.New("row is torn \xff")
		c, o := open(t, "fails"), held("", torn)
		leader := read(ctx, c, o)
		<-o.begun
		reads := follow(t, s, c, o, 10)
		close(o.goOn)
		if got := <-leader; got.err != torn {
			t.Fatal(got.err)
		}
		for _, done := range reads {
			var refused Refused
			if got := <-done; !errors.As(got.err, &refused) || refused.Reason != Reason_REASON_LOAD_FAILED || refused.LoadError != "row is torn ?" {
				t.Fatal(got.err)
			}
		}
		loads(t, o, 1)
	})

	t.Run("when the loader is cancelled a follower is promoted and nobody gets an error", func(t *testing.T) {
		c, cancelled, o := open(t, "cancelled"), held("", nil), free("value")
		ctx, cancel := context.WithCancel(ctx)
		leader := read(ctx, c, cancelled)
		<-cancelled.begun
		reads := follow(t, s, c, o, 10)
		cancel()
		if got := <-leader; !errors.Is(got.err, context.Canceled) {
			t.Fatal(got.err)
		}
		expect(t, "value", reads...)
		loads(t, o, 1)
	})

	t.Run("when the loader panics a follower is promoted", func(t *testing.T) {
		c, begun, goOn, o := open(t, "panics"), make(chan struct{}), make(chan struct{}), free("value")
		panicked := make(chan interface{})
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = c.GetOrLoad(ctx, "k", func(context.Context, string) (Item, error) {
				close(begun)
				<-goOn
				panic("torn")
			})
		}()
		<-begun
		reads := follow(t, s, c, o, 5)
		close(goOn)
		if said := <-panicked; said != "torn" {
			t.Fatal(said)
		}
		expect(t, "value", reads...)
		loads(t, o, 1)
	})

	t.Run("what was invalidated during its load is kept by nobody", func(t *testing.T) {
		c, before, after := open(t, "overtaken"), held("old", nil), free("new")
		leader := read(ctx, c, before)
		<-before.begun
		reads := follow(t, s, c, after, 10)
		must(t, c.Invalidate(ctx, "k"))
		close(before.goOn)
		expect(t, "old", leader) // its own load, begun before
		expect(t, "new", append(reads, read(ctx, c, after))...)
		loads(t, after, 1)
	})

	t.Run("bulk reads that lead and follow each other crosswise end with one load a key", func(t *testing.T) {
		c := open(t, "crosswise")
		for turn := 0; turn < 50; turn++ {
			var loaded, keys []string
			var lock sync.Mutex
			load := func(_ context.Context, keys []string) (map[string]Item, error) {
				lock.Lock()
				defer lock.Unlock()
				loaded = append(loaded, keys...)
				rows := map[string]Item{}
				for _, key := range keys {
					rows[key] = Item{Value: []byte(key)}
				}
				return rows, nil
			}
			for i := 0; i < 8; i++ {
				keys = append(keys, fmt.Sprintf("%d-%d", turn, i))
			}
			ways := [][]string{keys, append(append([]string{}, keys[4:]...), keys[:4]...)}
			done := make(chan error, len(ways))
			for _, way := range ways {
				go func(way []string) {
					found, err := c.GetManyOrLoad(ctx, way, load)
					if err == nil && len(found) != len(keys) {
						err = fmt.Errorf("%d of %d", len(found), len(keys))
					}
					done <- err
				}(way)
			}
			for range ways {
				must(t, <-done)
			}
			sort.Strings(loaded)
			if !reflect.DeepEqual(loaded, keys) {
				t.Fatal(loaded)
			}
		}
	})

	t.Run("what cannot be kept is still returned and holds up nobody", func(t *testing.T) {
		c, large := open(t, "misfits"), held(strings.Repeat("x", 5<<20), nil)
		leader := read(ctx, c, large)
		<-large.begun
		reads := follow(t, s, c, free("small"), 1)
		close(large.goOn)
		expect(t, large.value, leader)
		expect(t, "small", reads...)
	})

	t.Run("when loading fails a value past its time stands in", func(t *testing.T) {
		c, failing := open(t, "stands-in"), held("", errors.New("down"))
		c.Times = &Times{FreshMs: proto.Uint32(10), StaleIfErrorMs: proto.Uint32(60_000)}
		must(t, c.Set(ctx, "k", Item{Value: []byte("yesterday's")}))
		time.Sleep(50 * time.Millisecond) // its freshness passes
		close(failing.goOn)
		expect(t, "yesterday's", read(ctx, c, failing))
		loads(t, failing, 1)
	})

	t.Run("a sidecar killed under load costs only what was chosen, and is used again when it is back", func(t *testing.T) {
		raising := open(t, "away")
		raising.Times = &Times{FreshMs: proto.Uint32(5)}
		loading := raising
		loading.LoadAway = true
		var answered, raised, ended int32
		done := make(chan error, 4)
		load := func(context.Context, string) (Item, error) { return Item{Value: []byte("value")}, nil }
		for _, c := range []Cache{loading, raising, loading, raising} {
			go func(c Cache) {
				for atomic.LoadInt32(&ended) == 0 {
					value, err := c.GetOrLoad(ctx, "k", load)
					switch {
					case err == nil && string(value) == "value":
						atomic.AddInt32(&answered, 1)
					case err != nil && !c.LoadAway && status.Code(err) == codes.Unavailable:
						atomic.AddInt32(&raised, 1)
					default:
						done <- fmt.Errorf("%v: %q, %v", c.LoadAway, value, err)
						return
					}
				}
				done <- nil
			}(c)
		}
		for round := 0; round < 3; round++ {
			atomic.StoreInt32(&answered, 0)
			until(t, func() bool { return atomic.LoadInt32(&answered) > 200 }, "nobody reads")
			s.kill()
			atomic.StoreInt32(&raised, 0)
			until(t, func() bool { return atomic.LoadInt32(&raised) > 20 }, "nobody notices")
			s = start(t, s.tcp, s.folder)
			until(t, func() bool { _, err := raising.GetOrLoad(ctx, "k", load); return err == nil }, "it is not used again")
		}
		atomic.StoreInt32(&ended, 1)
		for i := 0; i < 4; i++ {
			must(t, <-done)
		}
	})
}
