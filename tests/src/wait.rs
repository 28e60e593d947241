//! Waiting for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long anything that should happen at once may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `condition` gives a value, at most `limit`, or as often as long as `APM_PATIENCE` says: in a guest without
/// a processor of its own everything takes ten times as long.
///
/// # Errors
/// If the limit passes; the sentence names `what`.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let times = std::env::var("APM_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let (start, limit) = (Instant::now(), limit * times);
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain for: {what}");
        }
        thread::sleep(LOOK);
    }
}
