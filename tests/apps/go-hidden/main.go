// A service whose requests the wire does not show: with WAY=tls over TLS, as HTTP/1 or HTTP/2, with WAY=h2c as HTTP/2 in
// plain text. It calls others in the same ways: /call/ID?url=URL asks over HTTP/1, ?http2=1 over HTTP/2, ?own=PLACE with a
// place in a trace of its own. /leaves says what requests for /leaf/ID said of theirs.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"
)

func main() {
	handle("item", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprint(answer, "item ", path.Base(request.URL.Path))
	})
	handle("teapot", func(answer http.ResponseWriter, _ *http.Request) {
		http.Error(answer, "no coffee", http.StatusTeapot)
	})
	handle("call", call)
	handle("leaf", func(_ http.ResponseWriter, request *http.Request) {
		said := []interface{}{path.Base(request.URL.Path)}
		for _, name := range []string{"Traceparent", "Elastic-Apm-Traceparent", "Tracestate"} {
			said = append(said, strings.Join(request.Header[name], "+"))
		}
		leaves.Store(said[0], fmt.Sprintf("%s|%s|%s|%s\n", said...))
	})
	http.HandleFunc("/leaves", func(answer http.ResponseWriter, _ *http.Request) {
		leaves.Range(func(_, said interface{}) bool { fmt.Fprint(answer, said); return true })
	})
	handle("panic", func(http.ResponseWriter, *http.Request) { panic("broken on purpose") })
	handle("hijack", hijack)
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT")}
	var err error
	if os.Getenv("WAY") == "h2c" {
		unencrypted(server, "SetHTTP1")
		err = server.ListenAndServe()
	} else {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		err = server.ListenAndServeTLS("", "")
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// leaves are what was said, by number.
var leaves sync.Map

// handle has a pattern of Go 1.22, and one for older versions.
func handle(name string, handler http.HandlerFunc) {
	http.HandleFunc("/"+name+"/{id}", handler)
	http.HandleFunc("/"+name+"/", handler)
}

// unencrypted has a server or a transport speak HTTP/2, also in plain text, and these others; before Go 1.24 it has no such
// member.
func unencrypted(of interface{}, others ...string) {
	protocols := reflect.ValueOf(of).Elem().FieldByName("Protocols")
	if protocols.IsValid() {
		is := []reflect.Value{reflect.ValueOf(true)}
		protocols.Set(reflect.New(protocols.Type().Elem()))
		for _, set := range append(others, "SetHTTP2", "SetUnencryptedHTTP2") {
			protocols.MethodByName(set).Call(is)
		}
	}
}

// certificate makes one that nobody has signed.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	exitOn(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	bytes, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	exitOn(err)
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}
}

// client speaks one version of HTTP, over TLS or not, with servers that nobody has vouched for.
func client(http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2}
	if http2 {
		unencrypted(transport)
	}
	return &http.Client{Transport: transport}
}

var clients = map[string]*http.Client{"": client(false), "1": client(true)}

// call asks elsewhere on another goroutine, which knows the request's context.
func call(answer http.ResponseWriter, request *http.Request) {
	done := make(chan error)
	go func() {
		out, err := http.NewRequestWithContext(request.Context(), http.MethodGet, request.FormValue("url"), nil)
		if err != nil {
			done <- err
			return
		}
		if own := request.FormValue("own"); own != "" {
			out.Header.Set("Traceparent", own)
		}
		response, err := clients[request.FormValue("http2")].Do(out)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
	}
}

// hijack takes the connection, where that can be done, and answers by itself.
func hijack(answer http.ResponseWriter, _ *http.Request) {
	hijacker, is := answer.(http.Hijacker)
	if !is {
		http.Error(answer, "not here", http.StatusNotImplemented)
		return
	}
	connection, _, err := hijacker.Hijack()
	if err != nil {
		http.Error(answer, err.Error(), http.StatusNotImplemented)
		return
	}
	defer connection.Close()
	fmt.Fprint(connection, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
