// A plain net/http service: what the agent sees of Go without Go's own bridge is the wire.
//
//	/item/ID     answers with the ID
//	/error       500
//	/call?url=U  an outgoing HTTP request; its status is passed on
//	/slow?ms=N   an answer that takes N ms
//	/chunked     a body in chunks
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	http.HandleFunc("/item/{id}", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(answer, "item %s", request.PathValue("id"))
	})
	http.HandleFunc("/error", func(answer http.ResponseWriter, _ *http.Request) {
		http.Error(answer, "broken", http.StatusInternalServerError)
	})
	http.HandleFunc("/call", call)
	http.HandleFunc("/slow", func(answer http.ResponseWriter, request *http.Request) {
		milliseconds, _ := strconv.Atoi(request.FormValue("ms"))
		time.Sleep(time.Duration(milliseconds) * time.Millisecond)
		fmt.Fprint(answer, "slow")
	})
	http.HandleFunc("/chunked", func(answer http.ResponseWriter, _ *http.Request) {
		for _, part := range []string{"first ", "second ", "third"} {
			fmt.Fprint(answer, part)
			answer.(http.Flusher).Flush()
		}
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
	os.Exit(1)
}

func call(answer http.ResponseWriter, request *http.Request) {
	response, err := http.Get(request.FormValue("url"))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	answer.WriteHeader(response.StatusCode)
	fmt.Fprint(answer, "called")
}
