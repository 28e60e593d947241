// A service on net/http that asks databases, over connections that stay open.
//
//	/mysql/item/ID      go-sql-driver/mysql: one query
//	/mysql/prepared/ID  a statement that was prepared when the service began
//	/mysql/error        a query that fails, answered with 500
//	/redis/item/ID      go-redis: one command
//	/redis/pipe/ID      three commands at once
package main

import (
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	_ "github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

func main() {
	if port := os.Getenv("MYSQL_PORT"); port != "" {
		useMysql(port)
	}
	if port := os.Getenv("REDIS_PORT"); port != "" {
		useRedis(port)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
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

func useMysql(port string) {
	database, err := sql.Open("mysql", "shop@tcp(127.0.0.1:"+port+")/shop")
	if err != nil {
		log.Fatal(err)
	}
	database.SetMaxOpenConns(1)
	statement, err := database.Prepare("SELECT name FROM items WHERE id = ?")
	if err != nil {
		log.Fatal(err)
	}
	handle("/mysql/item/{id}", func(request *http.Request, number int) (name string, err error) {
		text := fmt.Sprintf("SELECT name FROM items WHERE id = %d", number)
		err = database.QueryRowContext(request.Context(), text).Scan(&name)
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

func useRedis(port string) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, PoolSize: 1})
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
