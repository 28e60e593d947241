// Takes the place of github.com/elastic/opentelemetry-lib, see go.mod one folder up.
module github.com/elastic/opentelemetry-lib

go 1.26

require (
	go.opentelemetry.io/collector/pdata v1.59.0
	go.uber.org/zap v1.28.0
)
