//! Metrics of service instances, as Elastic's in-process agents report them.
//!
//! Every `metrics_interval` the [`Collector`] reads `/proc` for each instance: CPU and memory of the host, of the
//! process and of its cgroup. Other sources (metrics of a run time) fill a [`Metricset`] and hand it to
//! [`Collector::publish`], which is the one way out: there `disable_metrics` is heard and sets are taken apart.
//!
//! An instance of several processes (a master and its workers) has one stream and so one set: CPU time and memory are
//! the sums over its processes, the cgroup is that of its lowest process id. With Elastic's agents each worker would be
//! an instance of its own; the sums are what those would add up to. Pages the workers share count in each of them, as
//! they would there.
//!
//! What cannot be read is left out, never zero.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::borrow::Cow;

use crate::{
    build::{EpochMicros, wildcard::Wildcards},
    metadata::ServiceInstance,
};

mod cgroup;
mod collector;
mod internal;
mod stream;
mod system;

pub use collector::Collector;
pub use internal::is_internal;

/// Values measured at one time, under the same labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metricset {
    /// When.
    pub timestamp: EpochMicros,
    /// What was measured; each name once.
    pub samples: Vec<Sample>,
    /// Labels: key and value.
    pub labels: Vec<(String, String)>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// For example `system.memory.total`.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

/// A number as it is written: bytes and counts without a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count, or bytes.
    Whole(u64),
    /// A share or a time. One that is not finite is not sent.
    Real(f64),
}

impl Value {
    /// A value of which only the number is known.
    pub fn measured(number: f64) -> Self {
        match number.fract() == 0.0 && (0.0..LARGEST_WHOLE).contains(&number) {
            true => Self::Whole(number as u64),
            false => Self::Real(number),
        }
    }
}

/// From here on a floating-point number does not tell each whole number from the next.
const LARGEST_WHOLE: f64 = (1_u64 << 53) as f64;

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl Metricset {
    /// Nothing yet, measured at `timestamp`.
    pub fn new(timestamp: EpochMicros) -> Self {
        Self { timestamp, ..Self::default() }
    }

    /// Adds a value that could be had; `None` is left out.
    pub fn add<V: Into<Value>>(&mut self, name: impl Into<Cow<'static, str>>, value: Option<V>) {
        self.samples.extend(value.map(|value| Sample { name: name.into(), value: value.into() }));
    }

    /// The sets to send: without the disabled names, and those of the server's internal list apart from all others, for
    /// one foreign name would send the whole set where the user interface does not look. Empty sets are left out.
    pub fn parts(mut self, disabled: &Wildcards) -> impl Iterator<Item = Self> + use<> {
        self.samples.retain(|sample| !disabled.matches(&sample.name));
        let (internal, others) = self.samples.into_iter().partition(|sample| is_internal(&sample.name));
        let (timestamp, labels) = (self.timestamp, self.labels);
        let part = move |samples| Self { timestamp, samples, labels: labels.clone() };
        [internal, others].into_iter().filter(|samples: &Vec<Sample>| !samples.is_empty()).map(part)
    }
}

/// Elastic's agent for Node.js tells user and system time of the process apart; the others do not.
fn splits_cpu_time(instance: &ServiceInstance) -> bool {
    instance.agent_name == "nodejs"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: &Metricset) -> Vec<&str> {
        set.samples.iter().map(|sample| sample.name.as_ref()).collect()
    }

    #[test]
    fn internal_names_and_others_go_apart_and_disabled_ones_nowhere() {
        let mut set = Metricset::new(7);
        set.labels.push(("pool".into(), "old".into()));
        set.add("golang.goroutines", Some(3));
        set.add("shop.orders", Some(1.5));
        set.add("system.memory.total", Some(1 << 33));
        set.add("system.memory.actual.free", None::<u64>);
        let parts: Vec<_> = set.clone().parts(&Wildcards::default()).collect();
        assert_eq!(
            parts.iter().map(names).collect::<Vec<_>>(),
            [vec!["golang.goroutines", "system.memory.total"], vec!["shop.orders"],]
        );
        assert!(parts.iter().all(|part| part.timestamp == 7 && part.labels == set.labels));
        let parts: Vec<_> = set.clone().parts(&Wildcards::new(&["*golang*", "SHOP.*"])).collect();
        assert_eq!(parts.iter().map(names).collect::<Vec<_>>(), [["system.memory.total"]]);
        assert_eq!(set.parts(&Wildcards::new(&["*"])).count(), 0);
    }
}
