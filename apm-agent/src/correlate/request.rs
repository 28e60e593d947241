//! Requests being served: one entry from a request's first byte to the last of its answer.

use std::collections::HashMap;

use super::{SpanId, TraceId, named::Names};
use crate::{
    build::{ErrorEvent, Place, Span, compression::SpanBuffer},
    exchange::Nanos,
};

/// Most requests open at once; more are reported without spans, and counted.
pub const MOST_OPEN: usize = 65_536;

/// A request: its connection and its number on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The connection.
    pub connection: u64,
    /// The request's serial.
    pub serial: u64,
}

/// A request being served.
#[derive(Debug)]
pub struct OpenRequest {
    /// Process that serves it.
    pub pid: u32,
    /// Thread that read its first byte, when that thread serves nothing else meanwhile.
    pub thread: Option<u32>,
    /// When its first byte was read.
    pub opened: Nanos,
    /// Port of the peer.
    pub peer_port: u16,
    /// Its run time will name it.
    pub is_named: bool,
    /// Its name; 0: it has none yet.
    pub name: u64,
    /// Route, as far as its run time told it.
    pub route: Option<String>,
    /// Panics it met.
    pub panics: Vec<ErrorEvent>,
    /// Its connection was followed from the first byte.
    pub whole: bool,
    /// Place of its transaction.
    pub place: Place,
    /// Its trace is recorded.
    pub sampled: bool,
    /// Sampling has been decided: its head was read.
    pub decided: bool,
    /// The caller's span, when the trace was restarted.
    pub links: Vec<(TraceId, SpanId)>,
    /// Merges and limits its spans.
    pub buffer: SpanBuffer,
    /// Spans that are ready, held until the request ends: only then is it certain that its thread served it alone.
    pub spans: Vec<Span>,
    /// Errors of its calls, each with the call's span, held like the spans.
    pub errors: Vec<(SpanId, ErrorEvent)>,
}

/// All requests being served.
#[derive(Debug, Default)]
pub struct Requests {
    open: HashMap<RequestKey, OpenRequest>,
    threads: HashMap<u32, Vec<RequestKey>>,
    /// What run times call them.
    pub names: Names,
}

impl Requests {
    /// Enters a request; false when there are too many.
    pub fn opened(&mut self, key: RequestKey, request: OpenRequest) -> bool {
        if self.open.len() >= MOST_OPEN {
            return false;
        }
        if let Some(tid) = request.thread {
            self.threads.entry(tid).or_default().push(key);
        }
        if request.is_named {
            self.names.opened(key);
        }
        self.open.insert(key, request);
        true
    }

    /// Takes out a request that has ended.
    pub fn ended(&mut self, key: RequestKey) -> Option<OpenRequest> {
        let request = self.open.remove(&key)?;
        if request.is_named {
            self.names.ended(key);
        }
        if let Some(tid) = request.thread
            && let Some(keys) = self.threads.get_mut(&tid)
        {
            keys.retain(|open| *open != key);
            if keys.is_empty() {
                self.threads.remove(&tid);
            }
        }
        Some(request)
    }

    /// An open request.
    pub fn get(&self, key: RequestKey) -> Option<&OpenRequest> {
        self.open.get(&key)
    }

    /// An open request.
    pub fn get_mut(&mut self, key: RequestKey) -> Option<&mut OpenRequest> {
        self.open.get_mut(&key)
    }

    /// Requests a thread has read and not answered, oldest first.
    pub fn served_by(&self, tid: u32) -> impl Iterator<Item = RequestKey> + '_ {
        self.threads.get(&tid).into_iter().flatten().copied()
    }

    /// The open requests of a process, oldest first.
    pub fn of_process(&self, pid: u32) -> Vec<(RequestKey, &OpenRequest)> {
        let mut open: Vec<_> =
            self.open.iter().filter(|(_, open)| open.pid == pid).map(|(key, open)| (*key, open)).collect();
        open.sort_by_key(|(key, open)| (open.opened, key.connection, key.serial));
        open
    }

    /// Number of open requests.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Is none open?
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
