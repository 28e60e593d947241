// A program for the reader of Go binaries: it is built by many versions of Go, so it uses what the oldest has.
// It serves and calls HTTP, asks a database through database/sql, starts goroutines, and knows contexts of its own.
//
//	/item/ID  asks the database in another goroutine
//	/call     an outgoing request to /item/1
//	/panic    a panic that net/http recovers
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// tracked carries its parent embedded, as most contexts do.
type tracked struct {
	context.Context
	name string
}

func (t *tracked) String() string { return t.name }

// hidden keeps its parent in a field, and is used by value.
type hidden struct {
	depth  int
	parent context.Context
}

func (h hidden) Deadline() (time.Time, bool) { return h.parent.Deadline() }

func (h hidden) Done() <-chan struct{} { return h.parent.Done() }

func (h hidden) Err() error { return h.parent.Err() }

func (h hidden) Value(key any) any { return h.parent.Value(key) }

// torn has two contexts: nothing says which of them is the parent.
type torn struct{ first, second context.Context }

func (t *torn) Deadline() (time.Time, bool) { return t.second.Deadline() }

func (t *torn) Done() <-chan struct{} { return t.second.Done() }

func (t *torn) Err() error { return t.second.Err() }

func (t *torn) Value(key any) any { return t.first.Value(key) }

// outer embeds a struct that carries the parent.
type outer struct {
	id int64
	tracked
}

// box is a type with an argument.
type box[T any] struct {
	count int32
	held  T
}

// rows answers every question with one row.
type rows struct{ read bool }

func (r *rows) Columns() []string { return []string{"name"} }

func (r *rows) Close() error { return nil }

func (r *rows) Next(values []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	values[0] = "thing"
	return nil
}

type connection struct{ address string }

func (c *connection) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }

func (c *connection) Close() error { return nil }

func (c *connection) Begin() (driver.Tx, error) { return nil, errors.New("no transactions") }

func (c *connection) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if strings.Contains(query, "missing") {
		return nil, fmt.Errorf("%s: %w", c.address, errors.New("relation does not exist"))
	}
	return &rows{}, nil
}

type fake struct{}

func (fake) Open(address string) (driver.Conn, error) { return &connection{address}, nil }

// small is inlined into its caller.
func small(count int) int { return count*3 + 1 }

//go:noinline
func positive(count int) int {
	if count < 0 {
		panic(fmt.Sprintf("count %d", count))
	}
	return small(count)
}

func main() {
	sql.Register("fake", fake{})
	database, err := sql.Open("fake", "fake.example:5432")
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/item/", func(answer http.ResponseWriter, request *http.Request) {
		held := &box[string]{count: int32(positive(len(request.URL.Path)))}
		var ctx context.Context = &outer{tracked: tracked{Context: request.Context(), name: "item"}}
		ctx = &torn{hidden{1, ctx}, request.Context()}
		done := make(chan error)
		go func() { done <- database.QueryRowContext(ctx, "SELECT name FROM items").Scan(&held.held) }()
		if err := <-done; err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(answer, held.held, held.count, ctx)
	})
	http.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) {
		panic(&os.PathError{Op: "open", Path: "/none", Err: os.ErrNotExist})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/call", func(answer http.ResponseWriter, request *http.Request) {
		called, err := http.NewRequestWithContext(request.Context(), "GET", "http://"+listener.Addr().String()+"/item/1", nil)
		if err != nil {
			panic(err)
		}
		reply, err := http.DefaultClient.Do(called)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		defer reply.Body.Close()
		io.Copy(answer, reply.Body)
	})
	panic(http.Serve(listener, nil))
}
