//go:build elastic

package main

import (
	"net/http"

	"go.elastic.co/apm/module/apmgrpc/v2"
	"go.elastic.co/apm/module/apmhttp/v2"
	"google.golang.org/grpc"
)

// Elastic's own agent in the process, as its documentation has it.
func init() {
	inServer = []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(apmgrpc.NewUnaryServerInterceptor()),
		grpc.ChainStreamInterceptor(apmgrpc.NewStreamServerInterceptor()),
	}
	inClient = []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(apmgrpc.NewUnaryClientInterceptor()),
		grpc.WithChainStreamInterceptor(apmgrpc.NewStreamClientInterceptor()),
	}
	asking = func(client *http.Client) *http.Client { return apmhttp.WrapClient(client) }
}
