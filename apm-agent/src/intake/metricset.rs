//! `metricset`

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::metadata::Labels;
use crate::metric::{Metricset, Sample, Value};

#[derive(Serialize)]
pub(super) struct MetricsetFields<'a> {
    timestamp: u64,
    samples: Samples<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Labels<'a>>,
}

/// Name → `{"value": number}`.
struct Samples<'a>(&'a [Sample]);

#[derive(Serialize)]
struct Single {
    value: Number,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Real(f64),
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for Sample { name, value } in self.0 {
            // The server refuses the whole set over a name with one of these, and JSON has no word for such a number.
            let value = match *value {
                _ if name.contains(['*', '"']) => continue,
                Value::Real(number) if !number.is_finite() => continue,
                Value::Real(number) => Number::Real(number),
                Value::Whole(number) => Number::Whole(number),
            };
            map.serialize_entry(name.as_ref(), &Single { value })?;
        }
        map.end()
    }
}

pub(super) fn fields(metrics: &Metricset) -> MetricsetFields<'_> {
    MetricsetFields {
        timestamp: metrics.timestamp,
        samples: Samples(&metrics.samples),
        tags: (!metrics.labels.is_empty()).then_some(Labels(&metrics.labels)),
    }
}
