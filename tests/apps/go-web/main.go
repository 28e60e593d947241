// A net/http service with PostgreSQL whose statements and outgoing requests carry the id of the request they are made
// for: `… WHERE id = ID`, `/item/ID`. Each route makes them in another way.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

// job is work for the pool: in the context of a request, done by a worker that knows no request.
type job struct {
	ctx  context.Context
	id   string
	done chan error
}

type service struct {
	db     *sql.DB
	direct *pgxpool.Pool
	jobs   chan job
	client *http.Client
	// A worker that the first request starts.
	first sync.Once
	later chan job
}

// What an agent within the process takes for its own; see elastic.go.
var (
	openDatabase = sql.Open
	asked        = func(handler http.Handler) http.Handler { return handler }
	asking       = func(client *http.Client) *http.Client { return client }
)

func main() {
	driver := os.Getenv("DRIVER")
	if driver == "" {
		driver = "postgres"
	}
	db, err := openDatabase(driver, os.Getenv("DATABASE_URL"))
	exitOn(err)
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	direct, err := pgxpool.New(context.Background(), os.Getenv("DATABASE_URL"))
	exitOn(err)
	s := &service{db: db, direct: direct, jobs: make(chan job, 16), later: make(chan job)}
	s.client = asking(&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}})
	for range 8 {
		go s.work()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /item/{id}", s.answer(s.query))
	mux.HandleFunc("/bad/{id}", s.answer(s.bad))
	mux.HandleFunc("/arguments/{id}", s.answer(s.arguments))
	mux.HandleFunc("/exec/{id}", s.answer(s.exec))
	mux.HandleFunc("/transaction/{id}", s.answer(s.transaction))
	mux.HandleFunc("/spawn/{id}", s.answer(s.spawn))
	mux.HandleFunc("/pool/{id}", s.answer(s.pool))
	mux.HandleFunc("/group/{id}", s.answer(s.group))
	mux.HandleFunc("/background/{id}", s.answer(s.background))
	mux.HandleFunc("/lost/{id}", s.answer(s.lost))
	mux.HandleFunc("/generations/{id}", s.answer(s.generations))
	mux.HandleFunc("/lazy/{id}", s.answer(s.lazy))
	mux.HandleFunc("/late/{id}", s.answer(s.late))
	mux.HandleFunc("/direct/{id}", s.answer(s.pgx))
	mux.HandleFunc("/hurried/{id}", s.answer(s.hurried))
	mux.HandleFunc("/deep/{id}", s.answer(s.deep))
	mux.HandleFunc("/call/{id}", s.answer(s.call))
	mux.HandleFunc("/call-elsewhere/{id}", s.answer(s.callElsewhere))
	mux.HandleFunc("/panic/{id}", func(http.ResponseWriter, *http.Request) { panic("broken on purpose") })
	mux.HandleFunc("/abort/{id}", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.Handle("/recovered/{id}", recovering(http.HandlerFunc(beyond)))
	mux.Handle("/dealt-with/{id}", dealing(http.HandlerFunc(beyond)))
	mux.HandleFunc("/json/{id}", s.answer(unsupported))
	mux.HandleFunc("/crash/{id}", func(http.ResponseWriter, *http.Request) { go explode() })
	mux.Handle("/inner/", http.StripPrefix("/inner", inner(s)))
	listener := "127.0.0.1:" + os.Getenv("PORT")
	fmt.Fprintln(os.Stderr, http.ListenAndServe(listener, asked(withValue(mux))))
	os.Exit(1)
}

// inner is a mux within the mux.
func inner(s *service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/item/{id}", s.answer(s.query))
	return mux
}

type key struct{}

// withValue is a middleware: the handlers behind it get a copy of the request.
func withValue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		next.ServeHTTP(answer, request.WithContext(context.WithValue(request.Context(), key{}, 1)))
	})
}

func (s *service) answer(do func(context.Context, *http.Request, string) error) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		if err := do(request.Context(), request, request.PathValue("id")); err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(answer, "done")
	}
}

func (s *service) query(ctx context.Context, _ *http.Request, id string) error {
	return one(s.db.QueryRowContext(ctx, "SELECT name FROM items WHERE id = "+id))
}

// bad asks for what is not there.
func (s *service) bad(ctx context.Context, _ *http.Request, id string) error {
	return one(s.db.QueryRowContext(ctx, "SELECT name FROM missing WHERE id = "+id))
}

// arguments has the driver prepare, bind and execute; the limit is the request's number.
func (s *service) arguments(ctx context.Context, _ *http.Request, id string) error {
	return one(s.db.QueryRowContext(ctx, "SELECT name FROM items WHERE id = $1 LIMIT "+id, 1))
}

func (s *service) exec(ctx context.Context, _ *http.Request, id string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE items SET name = name WHERE id = "+id)
	return err
}

func (s *service) transaction(ctx context.Context, _ *http.Request, id string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := one(tx.QueryRowContext(ctx, "SELECT name FROM items WHERE id = "+id)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE items SET name = name WHERE id = "+id); err != nil {
		return err
	}
	return tx.Commit()
}

// spawn asks on a goroutine that a goroutine started, which has ended by then.
func (s *service) spawn(ctx context.Context, request *http.Request, id string) error {
	done := make(chan error)
	go func() {
		go func() {
			time.Sleep(time.Millisecond)
			done <- s.query(ctx, request, id)
		}()
	}()
	return <-done
}

// pool asks on a worker that was there before the request.
func (s *service) pool(ctx context.Context, _ *http.Request, id string) error {
	done := make(chan error)
	s.jobs <- job{ctx, id, done}
	return <-done
}

func (s *service) work() {
	for job := range s.jobs {
		job.done <- s.query(job.ctx, nil, job.id)
	}
}

// group asks on three goroutines with contexts made from the request's.
func (s *service) group(ctx context.Context, request *http.Request, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	results := make([]error, 3)
	var group sync.WaitGroup
	for index := range results {
		group.Add(1)
		go func() {
			defer group.Done()
			inner, cancel := context.WithCancelCause(context.WithValue(ctx, key{}, index))
			defer cancel(nil)
			results[index] = s.query(context.WithoutCancel(inner), request, id)
		}()
	}
	group.Wait()
	return errors.Join(results...)
}

// background asks on the handler's goroutine without its context.
func (s *service) background(_ context.Context, request *http.Request, id string) error {
	return s.query(context.Background(), request, id)
}

// lost asks on another goroutine without any context: nobody can tell whose the statement is.
func (s *service) lost(_ context.Context, request *http.Request, id string) error {
	done := make(chan error)
	go func() { done <- s.query(context.Background(), request, id) }()
	return <-done
}

// generations asks without any context on a goroutine that is so many generations below the request's own, which the
// last digit of the number says.
func (s *service) generations(_ context.Context, request *http.Request, id string) error {
	done := make(chan error)
	var below func(int)
	below = func(left int) {
		if left == 0 {
			done <- s.query(context.Background(), request, id)
			return
		}
		go below(left - 1)
	}
	below(int(id[len(id)-1] - '0'))
	return <-done
}

// lazy asks without any context on a worker that the first of such requests started.
func (s *service) lazy(_ context.Context, _ *http.Request, id string) error {
	s.first.Do(func() {
		go func() {
			for job := range s.later {
				job.done <- s.query(job.ctx, nil, job.id)
			}
		}()
	})
	done := make(chan error)
	s.later <- job{context.Background(), id, done}
	return <-done
}

// late asks after the answer is out.
func (s *service) late(ctx context.Context, request *http.Request, id string) error {
	go func() {
		time.Sleep(20 * time.Millisecond)
		s.query(context.WithoutCancel(ctx), request, id)
	}()
	return nil
}

// pgx asks without database/sql.
func (s *service) pgx(ctx context.Context, _ *http.Request, id string) error {
	var name string
	statement := "SELECT name FROM items WHERE id = " + id
	return s.direct.QueryRow(ctx, statement, pgx.QueryExecModeSimpleProtocol).Scan(&name)
}

// hurried asks for what takes longer than it waits.
func (s *service) hurried(ctx context.Context, _ *http.Request, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err := s.db.ExecContext(ctx, "SELECT pg_sleep(30) LIMIT "+id)
	return err
}

// deep has its stack grow under the functions that handle the request, asks, and has it grow and shrink again.
func (s *service) deep(ctx context.Context, request *http.Request, id string) error {
	return descend(3000, func() error {
		if err := s.query(ctx, request, id); err != nil {
			return err
		}
		runtime.GC()
		return descend(3000, func() error { return nil })
	})
}

func descend(depth int, then func() error) error {
	var room [128]byte
	room[depth%len(room)] = 1
	if depth == 0 {
		return then()
	}
	err := descend(depth-1, then)
	room[0]++
	return err
}

func (s *service) call(ctx context.Context, request *http.Request, id string) error {
	url := strings.TrimSuffix(request.FormValue("url"), "/") + "/item/" + id
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(out)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// callElsewhere calls on another goroutine.
func (s *service) callElsewhere(ctx context.Context, request *http.Request, id string) error {
	done := make(chan error)
	go func() { done <- s.call(ctx, request, id) }()
	return <-done
}

// recovering is a middleware that answers 500 to a panic.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				http.Error(answer, fmt.Sprint(cause), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(answer, request)
	})
}

// dealing is a middleware to which a panic is nothing special.
func dealing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		defer func() {
			if recover() != nil {
				fmt.Fprint(answer, "done")
			}
		}()
		next.ServeHTTP(answer, request)
	})
}

// beyond asks for what is not there.
func beyond(_ http.ResponseWriter, request *http.Request) {
	fmt.Println(request.URL.Path[len(request.URL.Path)+3])
}

// unsupported fails within encoding/json, which panics for its own ends then.
func unsupported(context.Context, *http.Request, string) error {
	_, err := json.Marshal(map[string]any{"no": make(chan int)})
	return err
}

type broken struct{ reason string }

func (b *broken) Error() string { return b.reason }

func explode() {
	panic(&broken{"nobody recovers this"})
}

func one(row *sql.Row) error {
	var name string
	return row.Scan(&name)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
