// A service that calls another one in plain HTTP/1, each route in another way; nothing but the standard library. The
// address to call is in the query: `/get?to=http://127.0.0.1:4711/leaf`.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// client has its own connections, so that nobody else's are used.
var client = http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// body is longer than what a client writes at once.
var body = bytes.Repeat([]byte("GET /not-a-request HTTP/1.1\r\ntraceparent: none\r\n\r\n"), 2000)

func main() {
	http.HandleFunc("/leaf", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprint(answer, "leaf") })
	handle("/get", func(to string) (*http.Request, error) { return http.NewRequest(http.MethodGet, to, nil) })
	handle("/post", func(to string) (*http.Request, error) {
		return http.NewRequest(http.MethodPost, to, bytes.NewReader(body))
	})
	handle("/chunked", func(to string) (*http.Request, error) {
		return http.NewRequest(http.MethodPost, to, io.MultiReader(bytes.NewReader(body), strings.NewReader("end")))
	})
	// The kernel moves the file.
	handle("/file", func(to string) (*http.Request, error) {
		file, err := os.CreateTemp("", "go-caller")
		if err != nil {
			return nil, err
		}
		os.Remove(file.Name())
		if _, err := file.Write(body); err != nil {
			return nil, err
		}
		file.Seek(0, io.SeekStart)
		request, err := http.NewRequest(http.MethodPut, to, file)
		if err == nil {
			request.ContentLength = int64(len(body))
		}
		return request, err
	})
	handle("/own", with("Traceparent", "00-11111111111111111111111111111111-2222222222222222-01"))
	handle("/long", with("Long", strings.Repeat("x", 6000)))
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func with(name, value string) func(string) (*http.Request, error) {
	return func(to string) (*http.Request, error) {
		request, err := http.NewRequest(http.MethodGet, to, nil)
		if err == nil {
			request.Header.Set(name, value)
		}
		return request, err
	}
}

func handle(path string, made func(string) (*http.Request, error)) {
	http.HandleFunc(path, func(answer http.ResponseWriter, request *http.Request) {
		if err := call(request, made); err != nil {
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(answer, "done")
	})
}

func call(request *http.Request, made func(string) (*http.Request, error)) error {
	out, err := made(request.FormValue("to"))
	if err != nil {
		return err
	}
	response, err := client.Do(out.WithContext(request.Context()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the answer is %s", response.Status)
	}
	return err
}
