// A gRPC service, by WAY in plain text (plain), over TLS (tls), or behind the HTTP server of net/http (http); and with
// `ask ADDRESS WAY METHOD WORD` a program that asks it and prints the status' code. It builds with every version of
// grpc-go: its messages are well-known types, its service is described by hand.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

type word = wrapperspb.StringValue

// What an agent within the process takes for its own; see elastic.go.
var (
	inServer []grpc.ServerOption
	inClient []grpc.DialOption
	asking   = func(client *http.Client) *http.Client { return client }
)

var client *http.Client

func main() {
	if len(os.Args) == 6 && os.Args[1] == "ask" {
		ask(os.Args[2], os.Args[3], "/shop.Shop/"+os.Args[4], os.Args[5])
		return
	}
	way := os.Getenv("WAY")
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	exitOn(err)
	client = asking(&http.Client{})
	shop := &shop{client: dial(listener.Addr().String(), way, inClient...)}
	options := append(inServer, grpc.ChainUnaryInterceptor(recovering))
	if way == "tls" {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(certificate())))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&description, shop)
	if way == "http" {
		settings := &tls.Config{Certificates: []tls.Certificate{*certificate()}}
		exitOn((&http.Server{Handler: server, TLSConfig: settings}).ServeTLS(listener, "", ""))
	}
	exitOn(server.Serve(listener))
}

var description = grpc.ServiceDesc{
	ServiceName: "shop.Shop",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		unary("Order", (*shop).order),
		unary("Reserve", (*shop).reserve),
		unary("Own", (*shop).own),
		unary("Fail", (*shop).fail),
		unary("Panic", func(*shop, context.Context, string) error { panic("broken on purpose") }),
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Count", Handler: count, ServerStreams: true},
		{StreamName: "Crash", Handler: func(any, grpc.ServerStream) error { panic("the end") }, ServerStreams: true},
	},
}

type shop struct{ client *grpc.ClientConn }

func unary(name string, method func(*shop, context.Context, string) error) grpc.MethodDesc {
	info := &grpc.UnaryServerInfo{FullMethod: "/shop.Shop/" + name}
	handler := func(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		request := new(word)
		if err := decode(request); err != nil {
			return nil, err
		}
		return interceptor(ctx, request, info, func(ctx context.Context, _ any) (any, error) {
			return request, method(service.(*shop), ctx, request.Value)
		})
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

// recovering makes a status of panics.
func recovering(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = status.Errorf(codes.Internal, "%v", panicked)
		}
	}()
	return handler(ctx, request)
}

// order asks over HTTP on another goroutine, and the service itself over gRPC: once as it should be, once in vain, and
// without the request's context.
func (shop *shop) order(ctx context.Context, url string) error {
	done := make(chan error)
	go func() { done <- get(ctx, url) }()
	if err := <-done; err != nil {
		return err
	}
	if err := call(ctx, shop.client, "/shop.Shop/Reserve", "chair"); err != nil {
		return err
	}
	if err := call(ctx, shop.client, "/shop.Shop/Reserve", "unicorn"); status.Code(err) != codes.NotFound {
		return fmt.Errorf("unicorns are reserved: %v", err)
	}
	_, err := read(context.Background(), shop.client, "/shop.Shop/Count", "2")
	return err
}

// own asks with a place in a trace of its own.
func (shop *shop) own(ctx context.Context, place string) error {
	return call(metadata.AppendToOutgoingContext(ctx, "traceparent", place), shop.client, "/shop.Shop/Reserve", "table")
}

func (shop *shop) reserve(_ context.Context, thing string) error {
	if thing == "unicorn" {
		return status.Error(codes.NotFound, "there are none")
	}
	return nil
}

// fail answers with a code by its number; with no status at all where it is none.
func (shop *shop) fail(_ context.Context, text string) error {
	code, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("no status")
	}
	return status.Error(codes.Code(code), "as wanted")
}

// count answers with so many messages, and an error if that is none at all.
func count(service any, stream grpc.ServerStream) error {
	request := new(word)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	most, _ := strconv.Atoi(request.Value)
	if most == 0 {
		return status.Error(codes.OutOfRange, "nothing to count")
	}
	if most > 1000 {
		if err := stream.SendMsg(wrapperspb.String("1")); err != nil {
			return err
		}
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	}
	for number := 1; number <= most; number++ {
		if err := stream.SendMsg(wrapperspb.String(strconv.Itoa(number))); err != nil {
			return err
		}
	}
	return call(stream.Context(), service.(*shop).client, "/shop.Shop/Reserve", "chair")
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func call(ctx context.Context, client *grpc.ClientConn, method, text string) error {
	return client.Invoke(ctx, method, wrapperspb.String(text), new(word))
}

// read reads a stream to its end, and does as it is told after each message.
func read(ctx context.Context, client *grpc.ClientConn, method, text string, then ...func()) (int, error) {
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return 0, err
	}
	if err := stream.SendMsg(wrapperspb.String(text)); err != nil {
		return 0, err
	}
	if err := stream.CloseSend(); err != nil {
		return 0, err
	}
	for count := 0; ; count++ {
		if err := stream.RecvMsg(new(word)); err == io.EOF {
			return count, nil
		} else if err != nil {
			return count, err
		}
		for _, do := range then {
			do()
		}
	}
}

func dial(address, way string, options ...grpc.DialOption) *grpc.ClientConn {
	security := insecure.NewCredentials()
	if way != "plain" {
		security = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	client, err := grpc.Dial(address, append(options, grpc.WithTransportCredentials(security))...)
	exitOn(err)
	return client
}

// ask asks once, within a trace, and prints the code.
func ask(address, way, method, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", traceparent, "tracestate", "a=b")
	for number := 0; number < 9; number++ {
		ctx = metadata.AppendToOutgoingContext(ctx, fmt.Sprint("header-", number), "of no interest")
	}
	client := dial(address, way)
	var err error
	switch method {
	case "/shop.Shop/Count", "/shop.Shop/Crash":
		_, err = read(ctx, client, method, text)
	case "/shop.Shop/Leave":
		ctx, leave := context.WithCancel(ctx)
		_, err = read(ctx, client, "/shop.Shop/Count", "1001", leave)
	default:
		err = call(ctx, client, method, text)
	}
	fmt.Print(status.Code(err))
}

// certificate makes one that nobody has signed.
func certificate() *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	exitOn(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	bytes, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	exitOn(err)
	return &tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
