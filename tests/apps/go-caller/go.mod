module apm-agent/tests/apps/go-caller

go 1.22
