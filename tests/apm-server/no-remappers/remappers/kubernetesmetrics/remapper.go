// Package kubernetesmetrics has the one constructor apm-data's OpenTelemetry input wants. This server takes intake v2 only, so
// nothing is ever remapped.
package kubernetesmetrics

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
)

// Remapper leaves metrics as they are.
type Remapper struct{}

// NewRemapper makes a Remapper.
func NewRemapper(*zap.Logger) Remapper { return Remapper{} }

// Remap does nothing.
func (Remapper) Remap(pmetric.ScopeMetrics, pmetric.MetricSlice, pcommon.Resource) {}
