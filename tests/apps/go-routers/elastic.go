//go:build elastic

package main

import (
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v2"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"
	"go.elastic.co/apm/module/apmchiv5/v2"
	"go.elastic.co/apm/module/apmechov4/v2"
	"go.elastic.co/apm/module/apmfiber/v2"
	"go.elastic.co/apm/module/apmgin/v2"
	"go.elastic.co/apm/module/apmgorilla/v2"
)

// Elastic's own agent in the process, as its documentation has it.
func init() {
	inGin = func(engine *gin.Engine) { engine.Use(apmgin.Middleware(engine)) }
	inGorilla = func(router *mux.Router) { apmgorilla.Instrument(router) }
	inChi = func(router chi.Router) { router.Use(apmchiv5.Middleware()) }
	inFiber = func(app *fiber.App) { app.Use(apmfiber.Middleware()) }
	inEcho = func(router *echo.Echo) { router.Use(apmechov4.Middleware()) }
}
