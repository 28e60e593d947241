// Command apm-server stands in for Elastic APM Server in tests: it decodes intake v2 streams with Elastic's own
// decoder, enriches them as the server does, and writes one JSON document per line instead of indexing it.
//
// It listens on loopback only, prints "listening on 127.0.0.1:PORT" when it is ready, and ends on SIGTERM or SIGINT
// after printing what it counted, as one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "apm-server:", err)
		os.Exit(1)
	}
}

func run(arguments []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("apm-server", flag.ContinueOnError)
	port := flags.Int("port", 0, "port on 127.0.0.1; 0 chooses one")
	out := flags.String("out", "", "file for the documents, one per line; empty: none are kept")
	certificate := flags.String("tls-certificate-out", "", "speak TLS; the authority to trust is written to this file")
	var settings settings
	flags.StringVar(&settings.version, "version", "9.6.0", "version to report")
	flags.StringVar(&settings.secretToken, "secret-token", "", "demand this token")
	flags.IntVar(&settings.status, "status", 0, "answer intake requests with this status and decode nothing")
	flags.Int64Var(&settings.statusTimes, "status-times", 0, "misbehave only so often; 0: always")
	flags.DurationVar(&settings.delay, "delay", 0, "wait so long before each answer to an intake request")
	if err := flags.Parse(arguments); err != nil {
		return err
	}

	documents, closeDocuments, err := openDocuments(*out)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	if *certificate != "" {
		if listener, err = encrypted(listener, *certificate); err != nil {
			return err
		}
	}
	server := newServer(settings, documents)
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	fmt.Fprintf(stdout, "listening on %s\n", listener.Addr())
	if err := serve(ended, listener, server); err != nil {
		return err
	}
	if err := closeDocuments(); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(server.counts())
}

// serve answers requests until the context ends, then finishes those under way.
func serve(ended context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ended.Done():
		deadline, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return server.Shutdown(deadline)
	}
}

// openDocuments opens the file for documents. Each line is flushed when its request is answered.
func openDocuments(path string) (*bufio.Writer, func() error, error) {
	if path == "" {
		return bufio.NewWriter(io.Discard), func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	return bufio.NewWriter(file), file.Close, nil
}
