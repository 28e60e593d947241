module apm-agent/tests/apps/go

go 1.26
