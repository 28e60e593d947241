//! Requests under way: one for each service instance, because a stream's first line says whose it is.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::gzip::Body;
use crate::{
    intake::{self, Gates},
    metadata::ServiceInstance,
};

/// Most requests under way; each holds a compressor of some 300 KiB beside its body.
const MAX_OPEN: usize = 32;

/// When a request is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// Bytes on the wire.
    pub size: u64,
    /// Age.
    pub time: Duration,
    /// Compress bodies.
    pub compress: bool,
}

/// The events of one instance, in one body.
pub(super) struct Batch {
    pub instance: Arc<ServiceInstance>,
    pub body: Body,
    pub events: u64,
    due: Instant,
}

/// All requests under way.
pub(super) struct Batches {
    open: Vec<Batch>,
    limits: BatchLimits,
}

impl Batches {
    pub fn new(limits: BatchLimits) -> Self {
        Self { open: Vec::new(), limits }
    }

    /// Adds an event's line. Gives back requests that are to be sent now: this one when it is full or the event is
    /// urgent, or the oldest one when there are too many.
    pub fn add(
        &mut self,
        instance: &Arc<ServiceInstance>,
        line: &[u8],
        urgent: bool,
        gates: Gates,
    ) -> io::Result<Vec<Batch>> {
        let mut ready = Vec::new();
        let at = match self.position(instance) {
            Some(at) => at,
            None => {
                if self.open.len() >= MAX_OPEN {
                    ready.push(self.open.remove(0));
                }
                self.open.push(self.begin(instance, gates)?);
                self.open.len() - 1
            }
        };
        if let Some(batch) = self.open.get_mut(at) {
            batch.body.write(line)?;
            batch.events += 1;
            if urgent || batch.body.len() as u64 >= self.limits.size {
                ready.push(self.open.remove(at));
            }
        }
        Ok(ready)
    }

    /// The request of an instance that will publish no more.
    pub fn remove(&mut self, instance: &Arc<ServiceInstance>) -> Option<Batch> {
        self.position(instance).map(|at| self.open.remove(at))
    }

    /// Requests whose time has come.
    pub fn due(&mut self, now: Instant) -> Vec<Batch> {
        self.open.extract_if(.., |batch| batch.due <= now).collect()
    }

    /// When the next request's time comes: the oldest is the first.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.first().map(|batch| batch.due)
    }

    /// All requests.
    pub fn drain(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.open)
    }

    fn position(&self, instance: &Arc<ServiceInstance>) -> Option<usize> {
        self.open.iter().position(|batch| Arc::ptr_eq(&batch.instance, instance) || batch.instance == *instance)
    }

    fn begin(&self, instance: &Arc<ServiceInstance>, gates: Gates) -> io::Result<Batch> {
        let mut line = Vec::new();
        intake::write_metadata(instance, gates, &mut line).map_err(io::Error::other)?;
        let mut body = Body::new(self.limits.compress);
        body.write(&line)?;
        Ok(Batch { instance: Arc::clone(instance), body, events: 0, due: Instant::now() + self.limits.time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(size: u64) -> Batches {
        Batches::new(BatchLimits { size, time: Duration::from_secs(3600), compress: false })
    }

    fn instance(name: &str) -> Arc<ServiceInstance> {
        Arc::new(ServiceInstance { name: name.into(), ..ServiceInstance::default() })
    }

    fn text(batch: Batch) -> String {
        String::from_utf8(batch.body.finish().unwrap()).unwrap()
    }

    #[test]
    fn keeps_instances_apart_with_metadata_first() {
        let mut batches = batches(1_000_000);
        for name in ["a", "b", "a"] {
            assert!(batches.add(&instance(name), name.as_bytes(), false, Gates::default()).unwrap().is_empty());
        }
        let open = batches.drain();
        assert_eq!(open.iter().map(|batch| batch.events).collect::<Vec<_>>(), [2, 1]);
        let first = text(open.into_iter().next().unwrap());
        assert!(first.starts_with("{\"metadata\":{\"service\":{\"name\":\"a\""), "{first}");
        assert!(first.ends_with("}\naa"), "{first}");
    }

    #[test]
    fn ends_by_size_urgency_time_and_retirement() {
        let mut batches = batches(1000);
        let a = instance("a");
        assert_eq!(batches.add(&a, &[b'x'; 1000], false, Gates::default()).unwrap().len(), 1);
        assert_eq!(batches.next_due(), None);
        assert_eq!(batches.add(&a, b"x", true, Gates::default()).unwrap().len(), 1);
        batches.add(&a, b"x", false, Gates::default()).unwrap();
        assert!(batches.due(Instant::now()).is_empty());
        let due = batches.next_due().unwrap();
        assert_eq!(batches.due(due).len(), 1);
        batches.add(&a, b"x", false, Gates::default()).unwrap();
        assert!(batches.remove(&instance("b")).is_none());
        assert_eq!(batches.remove(&a).unwrap().events, 1);
    }

    #[test]
    fn sends_the_oldest_when_there_are_too_many() {
        let mut batches = batches(1_000_000);
        for number in 0..MAX_OPEN {
            assert!(batches.add(&instance(&number.to_string()), b"x", false, Gates::default()).unwrap().is_empty());
        }
        let sent = batches.add(&instance("one more"), b"x", false, Gates::default()).unwrap();
        assert_eq!(sent.iter().map(|batch| batch.instance.name.as_str()).collect::<Vec<_>>(), ["0"]);
        assert_eq!(batches.drain().len(), MAX_OPEN);
    }
}
