// A service on net/http that asks databases, over connections that stay open.
//
//	/mysql/item/ID      go-sql-driver/mysql: one query
//	/mysql/prepared/ID  a statement that was prepared when the service began
//	/mysql/error        a query that fails, answered with 500
//	/mysql/new/ID       a query on a connection of its own
//	/redis/item/ID      go-redis: one command
//	/redis/pipe/ID      three commands at once
//	/redis/worker/ID    one command by a goroutine older than the request, which knows its context only
//	/redis8/item/ID     the same by go-redis 8
//	/mongo/item/ID      the MongoDB driver: one document
//	/mongo1/item/ID     its first major
//
// With MYSQL_TLS_PORT and REDIS_TLS_PORT instead of MYSQL_PORT and REDIS_PORT it speaks to them in TLS.
package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	redis8 "github.com/go-redis/redis/v8"
	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	mongo1 "go.mongodb.org/mongo-driver/mongo"
	options1 "go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// What an agent within the process takes for its own; see elastic.go.
var (
	openDatabase = sql.Open
	asked        = func(handler http.Handler) http.Handler { return handler }
	ofRedis8     = func(*redis8.Client) {}
	ofMongo1     = func(*options1.ClientOptions) {}
)

func main() {
	if port := os.Getenv("MYSQL_PORT"); port != "" {
		useMysql(port, "")
	}
	if port := os.Getenv("MYSQL_TLS_PORT"); port != "" {
		useMysql(port, "?tls=skip-verify")
	}
	if port := os.Getenv("REDIS_PORT"); port != "" {
		useRedis(port, nil)
	}
	if port := os.Getenv("REDIS_TLS_PORT"); port != "" {
		useRedis(port, &tls.Config{InsecureSkipVerify: true})
	}
	if port := os.Getenv("MONGODB_PORT"); port != "" {
		useMongo("mongodb://127.0.0.1:" + port + "/?directConnection=true")
	} else if port := os.Getenv("MONGODB_TLS_PORT"); port != "" {
		useMongo("mongodb://127.0.0.1:" + port + "/?directConnection=true&tls=true&tlsInsecure=true")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), asked(http.DefaultServeMux)))
}

// handle answers with what ask gives for the number in the path.
func handle(pattern string, ask func(request *http.Request, number int) (string, error)) {
	http.HandleFunc("GET "+pattern, func(writer http.ResponseWriter, request *http.Request) {
		number, _ := strconv.Atoi(request.PathValue("id"))
		text, err := ask(request, number)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(writer, text)
	})
}

func useMysql(port, parameters string) {
	source := "shop@tcp(127.0.0.1:" + port + ")/shop" + parameters
	database, err := openDatabase("mysql", source)
	if err != nil {
		log.Fatal(err)
	}
	database.SetMaxOpenConns(1)
	fresh, err := sql.Open("mysql", source)
	if err != nil {
		log.Fatal(err)
	}
	fresh.SetMaxIdleConns(-1)
	statement, err := database.Prepare("SELECT name FROM items WHERE id = ?")
	if err != nil {
		log.Fatal(err)
	}
	handle("/mysql/item/{id}", func(request *http.Request, number int) (name string, err error) {
		text := fmt.Sprintf("SELECT name FROM items WHERE id = %d", number)
		err = database.QueryRowContext(request.Context(), text).Scan(&name)
		return name, err
	})
	handle("/mysql/new/{id}", func(request *http.Request, number int) (name string, err error) {
		text := fmt.Sprintf("SELECT name FROM items WHERE id = %d", number)
		err = fresh.QueryRowContext(request.Context(), text).Scan(&name)
		return name, err
	})
	handle("/mysql/prepared/{id}", func(request *http.Request, number int) (name string, err error) {
		err = statement.QueryRowContext(request.Context(), number).Scan(&name)
		return name, err
	})
	handle("/mysql/error", func(request *http.Request, _ int) (string, error) {
		_, err := database.ExecContext(request.Context(), "UPDATE missing_table SET nothing = 1")
		return "", err
	})
}

// worker is a goroutine that does what it is given, one after the other.
type worker chan func()

func begin() worker {
	queue := make(worker)
	go func() {
		for do := range queue {
			do()
		}
	}()
	return queue
}

// do has the worker do something, and says what came of it.
func (queue worker) do(what func() error) error {
	done := make(chan error)
	queue <- func() { done <- what() }
	return <-done
}

func useRedis(port string, encrypted *tls.Config) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, PoolSize: 1, TLSConfig: encrypted})
	older := redis8.NewClient(&redis8.Options{Addr: "127.0.0.1:" + port, PoolSize: 1, TLSConfig: encrypted})
	ofRedis8(older)
	queue := begin()
	handle("/redis/worker/{id}", func(request *http.Request, number int) (string, error) {
		return "written", queue.do(func() error { return client.Set(request.Context(), "worker", number, 0).Err() })
	})
	handle("/redis8/item/{id}", func(request *http.Request, number int) (string, error) {
		return "written", queue.do(func() error { return older.Set(request.Context(), "older", number, 0).Err() })
	})
	handle("/redis/item/{id}", func(request *http.Request, number int) (string, error) {
		err := client.Get(request.Context(), fmt.Sprint("item:", number)).Err()
		if err == redis.Nil {
			err = nil
		}
		return "read", err
	})
	handle("/redis/pipe/{id}", func(request *http.Request, number int) (string, error) {
		_, err := client.Pipelined(request.Context(), func(pipe redis.Pipeliner) error {
			pipe.Set(request.Context(), "a", number, 0)
			pipe.Get(request.Context(), "a")
			pipe.StrLen(request.Context(), "a")
			return nil
		})
		return "written", err
	})
}

func useMongo(uri string) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		log.Fatal(err)
	}
	olderOptions := options1.Client().ApplyURI(uri)
	ofMongo1(olderOptions)
	older, err := mongo1.Connect(context.Background(), olderOptions)
	if err != nil {
		log.Fatal(err)
	}
	queue := begin()
	type item struct {
		Id int `bson:"_id"`
	}
	handle("/mongo/item/{id}", func(request *http.Request, number int) (string, error) {
		return "found", queue.do(func() error {
			return client.Database("shop").Collection("orders").FindOne(request.Context(), item{number}).Err()
		})
	})
	handle("/mongo1/item/{id}", func(request *http.Request, number int) (string, error) {
		return "found", queue.do(func() error {
			return older.Database("shop").Collection("orders").FindOne(request.Context(), item{number}).Err()
		})
	})
}
