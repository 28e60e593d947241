// The same service with each of the routers of Go: ROUTER says which. A middleware in front of all of net/http's gives the
// handlers a copy of the request, as most do; fiber is a server of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"
)

var errEmpty = errors.New("the shelf is empty")

// unlike is an error whose text is not the one it begins with.
type unlike struct{ name string }

func (u *unlike) Error() string { return "unlike " + u.name }

var routers = map[string]func() http.Handler{
	"gin": withGin, "gorilla": withGorilla, "chi": withChi, "echo": withEcho,
}

// What an agent within the process puts into each router; see elastic.go.
var (
	inGin     = func(*gin.Engine) {}
	inGorilla = func(*mux.Router) {}
	inChi     = func(chi.Router) {}
	inEcho    = func(*echo.Echo) {}
	inFiber   = func(*fiber.App) {}
)

// Those that are servers of their own: how they listen on an address. See fiber3.go.
var servers = map[string]func(string) error{
	"fiber": func(address string) error { return withFiber().Listen(address) },
}

func main() {
	if listen, is := servers[os.Getenv("ROUTER")]; is {
		fmt.Fprintln(os.Stderr, listen("127.0.0.1:"+os.Getenv("PORT")))
		os.Exit(1)
	}
	router, is := routers[os.Getenv("ROUTER")]
	if !is {
		fmt.Fprintln(os.Stderr, "ROUTER names no router")
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), outer(router())))
	os.Exit(1)
}

// outer has a mux in front of the router for some of its routes.
func outer(router http.Handler) http.Handler {
	router = withValue(router)
	mux := http.NewServeMux()
	mux.Handle("/whole/", router)
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/whole/") {
			mux.ServeHTTP(answer, request)
			return
		}
		router.ServeHTTP(answer, request)
	})
}

type key struct{}

func withValue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		next.ServeHTTP(answer, request.WithContext(context.WithValue(request.Context(), key{}, 1)))
	})
}

// whole is an answer that is complete on the wire before its handler has ended.
func whole(answer http.ResponseWriter, _ *http.Request) {
	body := strings.Repeat("x", 1<<16)
	answer.Header().Set("Content-Length", strconv.Itoa(len(body)))
	fmt.Fprint(answer, body)
}

func done(answer http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(answer, "done")
}

func withGin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	inGin(engine)
	// As tracing middlewares do.
	engine.Use(func(c *gin.Context) {
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), key{}, 2))
		c.Next()
	})
	engine.GET("/users/:id", gin.WrapF(done))
	engine.GET("/whole/:id", gin.WrapF(whole))
	inner := engine.Group("/api").Group("/v1")
	inner.GET("/items/:id/*rest", gin.WrapF(done))
	engine.GET("/silent/:id", func(*gin.Context) {})
	engine.GET("/errors/:id", func(c *gin.Context) {
		c.Error(errEmpty)
		c.Error(fmt.Errorf("item %s: %w", c.Param("id"), errEmpty))
		c.Error(&unlike{"others"})
		c.Status(http.StatusBadRequest)
	})
	engine.GET("/panic/:id", func(*gin.Context) { panic("broken on purpose") })
	return engine
}

func withGorilla() http.Handler {
	router := mux.NewRouter()
	inGorilla(router)
	router.HandleFunc("/users/{id:[0-9]{1,9}}", done)
	router.HandleFunc("/whole/{id}", whole)
	router.PathPrefix("/api").Subrouter().PathPrefix("/v1").Subrouter().HandleFunc("/items/{id}/{rest:.*}", done)
	return router
}

func withChi() http.Handler {
	router := chi.NewRouter()
	inChi(router)
	router.Use(withValue)
	router.Get("/users/{id}", done)
	router.Get("/whole/{id}", whole)
	items := chi.NewRouter()
	items.Use(withValue)
	items.Get("/items/{id}/*", done)
	router.Route("/api", func(api chi.Router) { api.Mount("/v1", items) })
	// A search that is not the request's.
	router.With(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			router.Match(chi.NewRouteContext(), http.MethodGet, "/users/1")
			next.ServeHTTP(answer, request)
		})
	}).Get("/silent/{id}", func(http.ResponseWriter, *http.Request) {})
	return router
}

func withEcho() http.Handler {
	router := echo.New()
	inEcho(router)
	router.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), key{}, 2)))
			return next(c)
		}
	})
	router.GET("/users/:id", echo.WrapHandler(http.HandlerFunc(done)))
	router.GET("/whole/:id", echo.WrapHandler(http.HandlerFunc(whole)))
	router.Group("/api").Group("/v1").GET("/items/:id/*", echo.WrapHandler(http.HandlerFunc(done)))
	router.GET("/silent/:id", func(echo.Context) error { return nil })
	router.GET("/errors/:id", func(c echo.Context) error {
		return echo.NewHTTPError(http.StatusTeapot, "no coffee")
	})
	router.GET("/wrapped/:id", func(c echo.Context) error {
		return fmt.Errorf("item %s: %w", c.Param("id"), errEmpty)
	})
	router.GET("/inner/:id", func(echo.Context) error {
		return echo.NewHTTPError(http.StatusConflict, "twice").SetInternal(errEmpty)
	})
	router.GET("/unlike/:id", func(echo.Context) error { return &unlike{"others"} })
	return router
}

func withFiber() *fiber.App {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	inFiber(app)
	app.Use(func(c *fiber.Ctx) error { return c.Next() }, recover.New())
	done := func(c *fiber.Ctx) error { return c.SendString("done") }
	app.Get("/users/:id", done)
	app.Get("/whole/:id", func(c *fiber.Ctx) error { return c.SendString(strings.Repeat("x", 1<<16)) })
	app.Group("/api").Group("/v1").Get("/items/:id/*", done)
	app.Get("/silent/:id", func(*fiber.Ctx) error { return nil })
	app.Get("/errors/:id", func(*fiber.Ctx) error { return fiber.NewError(http.StatusTeapot, "no coffee") })
	app.Get("/wrapped/:id", func(c *fiber.Ctx) error { return fmt.Errorf("item %s: %w", c.Params("id"), errEmpty) })
	app.Get("/unlike/:id", func(*fiber.Ctx) error { return &unlike{"others"} })
	app.Get("/panic/:id", func(*fiber.Ctx) error { panic("broken on purpose") })
	app.Get("/panic-at/:id", func(c *fiber.Ctx) error {
		at, _ := strconv.Atoi(c.Params("id"))
		return c.SendString(strings.Split("x", ",")[at])
	})
	calls := withCalls()
	app.Get("/calls/:id", func(c *fiber.Ctx) error { return calls(c.Context(), c.UserContext(), c.Params("id")) })
	return app
}

// withCalls makes three requests with the same number: by the handler without a request's context, by a goroutine, and by a
// worker that is older than the request.
func withCalls() func(context.Context, context.Context, string) error {
	jobs := make(chan func() error)
	results := make(chan error)
	go func() {
		for job := range jobs {
			results <- job()
		}
	}()
	return func(ctx, without context.Context, id string) error {
		derived, cancel := context.WithCancel(context.WithValue(ctx, key{}, 3))
		defer cancel()
		alone := make(chan error)
		go func() { alone <- call(ctx, id) }()
		jobs <- func() error { return call(derived, id) }
		return errors.Join(call(without, id), <-alone, <-results)
	}
}

// call asks the service itself.
func call(ctx context.Context, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+os.Getenv("PORT")+"/users/"+id, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
