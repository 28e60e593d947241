module apm-agent/tests/apps/go-metrics

go 1.19
