//go:build elastic

package main

import (
	"net/http"

	redis8 "github.com/go-redis/redis/v8"
	"go.elastic.co/apm/module/apmgoredisv8/v2"
	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/module/apmmongo/v2"
	"go.elastic.co/apm/module/apmsql/v2"
	_ "go.elastic.co/apm/module/apmsql/v2/mysql"
	options1 "go.mongodb.org/mongo-driver/mongo/options"
)

// Elastic's own agent in the process, as its documentation has it.
func init() {
	openDatabase = apmsql.Open
	asked = func(handler http.Handler) http.Handler { return apmhttp.Wrap(handler) }
	ofRedis8 = func(client *redis8.Client) { client.AddHook(apmgoredisv8.NewHook()) }
	ofMongo1 = func(options *options1.ClientOptions) { options.SetMonitor(apmmongo.CommandMonitor()) }
}
