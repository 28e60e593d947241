//go:build newer

package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/recover"
)

// fiber 3, which needs a newer Go than the others.
func init() {
	servers["fiber3"] = func(address string) error {
		return withFiber3().Listen(address, fiber.ListenConfig{DisableStartupMessage: true})
	}
}

func withFiber3() *fiber.App {
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error { return c.Next() }, recover.New())
	done := func(c fiber.Ctx) error { return c.SendString("done") }
	app.Get("/users/:id", done)
	app.Get("/whole/:id", func(c fiber.Ctx) error { return c.SendString(strings.Repeat("x", 1<<16)) })
	app.Group("/api").Group("/v1").Get("/items/:id/*", done)
	app.Get("/silent/:id", func(fiber.Ctx) error { return nil })
	app.Get("/errors/:id", func(fiber.Ctx) error { return fiber.NewError(http.StatusTeapot, "no coffee") })
	app.Get("/wrapped/:id", func(c fiber.Ctx) error { return fmt.Errorf("item %s: %w", c.Params("id"), errEmpty) })
	app.Get("/unlike/:id", func(fiber.Ctx) error { return &unlike{"others"} })
	app.Get("/panic/:id", func(fiber.Ctx) error { panic("broken on purpose") })
	app.Get("/panic-at/:id", func(c fiber.Ctx) error {
		at, _ := strconv.Atoi(c.Params("id"))
		return c.SendString(strings.Split("x", ",")[at])
	})
	calls := withCalls()
	app.Get("/calls/:id", func(c fiber.Ctx) error { return calls(c, context.Background(), c.Params("id")) })
	return app
}
