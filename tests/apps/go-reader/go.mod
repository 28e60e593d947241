module apm-agent/tests/apps/go-reader

go 1.19
