//! Small values that several documents share.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

use super::keyword;
use crate::build::{Outcome, ServiceTarget};

/// A value written as its text (ids).
pub(super) struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `service`: the service called.
#[derive(Serialize)]
pub(super) struct Service<'a> {
    pub target: Target<'a>,
}

/// `service.target`
#[derive(Serialize)]
pub(super) struct Target<'a> {
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
}

impl<'a> Target<'a> {
    pub fn new(target: &'a ServiceTarget) -> Self {
        Self { kind: keyword(&target.kind), name: target.name.as_deref().map(keyword) }
    }
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "unknown",
    }
}

/// Milliseconds of nanoseconds.
pub(super) fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Rates are sent only when they are rates.
pub(super) fn rate(rate: Option<f64>) -> Option<f64> {
    rate.filter(|rate| (0.0..=1.0).contains(rate))
}
