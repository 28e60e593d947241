module apm-agent/tests/apps/go-hidden

go 1.24
