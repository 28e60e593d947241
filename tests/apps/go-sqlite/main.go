// A net/http service with SQLite in its own process, whose statements carry the number of the request they are made for.
// DRIVER is `sqlite3` (github.com/mattn/go-sqlite3) or, where it is linked in, `sqlite`; see modernc.go.
//
//	/query/ID      rows, on the handler's goroutine
//	/exec/ID       no rows, without a context
//	/spawn/ID      rows, on another goroutine
//	/prepared/ID   a statement that was prepared when the service began, with rows and without
//	/prepare/ID    one that is prepared now, in a transaction
//	/long/ID       a statement longer than Elastic keeps
//	/missing/ID    a table that is not there, answered with 500
package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	_ "github.com/mattn/go-sqlite3"
)

// What an agent within the process takes for its own; see elastic.go.
var (
	openDatabase = sql.Open
	asked        = func(handler http.Handler) http.Handler { return handler }
)

type service struct {
	db             *sql.DB
	rows, withouts *sql.Stmt
}

func main() {
	db, err := openDatabase(os.Getenv("DRIVER"), "file::memory:")
	exitOn(err)
	// Each connection has a database of its own.
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE items (id INTEGER, name TEXT); INSERT INTO items VALUES (1, 'one')")
	exitOn(err)
	s := &service{db: db}
	s.rows, err = db.Prepare("SELECT name FROM items WHERE id = ?")
	exitOn(err)
	s.withouts, err = db.Prepare("UPDATE items SET name = ?")
	exitOn(err)
	for name, ask := range map[string]func(context.Context, string) error{
		"query": s.query, "exec": s.exec, "spawn": s.spawn, "prepared": s.prepared, "prepare": s.prepare, "long": s.long,
		"missing": s.missing,
	} {
		ask := ask
		http.HandleFunc("/"+name+"/", func(answer http.ResponseWriter, request *http.Request) {
			if err := ask(request.Context(), path.Base(request.URL.Path)); err != nil {
				http.Error(answer, err.Error(), http.StatusInternalServerError)
				return
			}
			fmt.Fprint(answer, "done")
		})
	}
	exitOn(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), asked(http.DefaultServeMux)))
}

func (s *service) query(ctx context.Context, id string) error {
	return one(s.db.QueryRowContext(ctx, "SELECT name FROM items WHERE id <= "+id))
}

func (s *service) exec(_ context.Context, id string) error {
	_, err := s.db.Exec("UPDATE items SET name = ? WHERE id = "+id, "other")
	return err
}

func (s *service) spawn(ctx context.Context, id string) error {
	done := make(chan error)
	go func() { done <- s.query(ctx, id) }()
	return <-done
}

func (s *service) prepared(ctx context.Context, _ string) error {
	if _, err := s.withouts.ExecContext(ctx, "again"); err != nil {
		return err
	}
	return one(s.rows.QueryRowContext(ctx, 1))
}

func (s *service) prepare(ctx context.Context, id string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	statement, err := tx.PrepareContext(ctx, "DELETE FROM items WHERE id > "+id)
	if err != nil {
		return err
	}
	defer statement.Close()
	_, err = statement.ExecContext(ctx)
	return err
}

func (s *service) long(ctx context.Context, id string) error {
	return one(s.db.QueryRowContext(ctx, "SELECT name FROM items WHERE id <= "+id+strings.Repeat(" ", 12_000)))
}

func (s *service) missing(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE missing SET name = 'x' WHERE id = "+id)
	return err
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
