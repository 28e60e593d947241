//! Trace and span ids (Elastic's agent specification: random, lower-case hexadecimal, never all zero).

use std::fmt;

/// 128-bit trace id; also an error's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TraceId(pub u128);

/// 64-bit id of a transaction or span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SpanId(pub u64);

impl TraceId {
    /// From its halves, the upper one first.
    pub fn of_halves([high, low]: [u64; 2]) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Source of random ids. A recording keeps its seed, so that a replay gives the same ids.
#[derive(Clone, Debug)]
pub struct Ids {
    random: fastrand::Rng,
    secret: [u64; 2],
}

impl Ids {
    /// A source with a fixed seed.
    pub fn seeded(seed: u64) -> Self {
        let mut other = fastrand::Rng::with_seed(!seed);
        Self { random: fastrand::Rng::with_seed(seed), secret: [other.u64(..), other.u64(..)] }
    }

    /// A fresh trace id, not zero.
    pub fn trace(&mut self) -> TraceId {
        TraceId(self.random.u128(1..))
    }

    /// A fresh span id, not zero.
    pub fn span(&mut self) -> SpanId {
        SpanId(self.random.u64(1..))
    }

    /// What [`begun`](apm_common::propagation::begun) is to be given, so that the kernel programs make the same ids.
    pub fn secret(&self) -> [u64; 2] {
        self.secret
    }

    /// A number in 0..1, for sampling.
    pub fn unit(&mut self) -> f64 {
        self.random.f64()
    }
}
