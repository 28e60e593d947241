//go:build elastic

package main

import (
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/module/apmsql/v2"
	_ "go.elastic.co/apm/module/apmsql/v2/pq"
)

// Elastic's own agent in the process, as its documentation has it. It knows pgx up to version 4 only; version 5 is put in
// in the same way.
func init() {
	apmsql.Register("pgx", &stdlib.Driver{}, apmsql.WithDSNParser(parse))
	openDatabase = apmsql.Open
	asked = func(handler http.Handler) http.Handler { return apmhttp.Wrap(handler) }
	asking = func(client *http.Client) *http.Client { return apmhttp.WrapClient(client) }
}

func parse(name string) apmsql.DSNInfo {
	config, err := pgx.ParseConfig(name)
	if err != nil {
		return apmsql.DSNInfo{}
	}
	return apmsql.DSNInfo{Address: config.Host, Port: int(config.Port), Database: config.Database, User: config.User}
}
