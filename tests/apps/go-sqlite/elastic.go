//go:build elastic

package main

import (
	"net/http"

	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/module/apmsql/v2"
	_ "go.elastic.co/apm/module/apmsql/v2/sqlite3"
)

// Elastic's own agent in the process, as its documentation has it.
func init() {
	openDatabase = apmsql.Open
	asked = func(handler http.Handler) http.Handler { return apmhttp.Wrap(handler) }
}
