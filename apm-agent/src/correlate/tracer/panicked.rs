//! Panics of Go programs, and exceptions nobody catches: errors of the requests they hit, or of the program when they
//! end it. And errors that handlers gave back, which are their requests' always.

use std::sync::Arc;

use super::{OpenRequest, Tracer};
use crate::{
    bridge::{Failed, Panicked, Recovered, Recoverer, Thrown},
    build::{ErrorEvent, failure},
    correlate::panics::Panic,
    exchange::{Ending, Nanos},
    metadata::ServiceInstance,
};

/// Text of `http.ErrAbortHandler`, with which a handler gives up its connection: no error.
const ABORT: &str = "net/http: abort Handler";

/// Most errors of one request: those of its calls and those its handlers gave back.
const MOST_ERRORS: usize = 256;

impl Tracer {
    pub(super) fn panicked(&mut self, pid: u32, panicked: &Panicked, time: Nanos) {
        if !self.panics.began(pid, (time, panicked.clone())) {
            self.counters.panics_over_limit += 1;
        }
    }

    /// The handler of a request gave an error back. That alone is no failure of the request: its status says what it is.
    pub(super) fn failed(&mut self, pid: u32, failed: &Failed, time: Nanos) {
        let event = self.panic_event(&failed.thrown, true, time);
        let request = self.requests.names.get((pid, failed.request)).and_then(|key| self.requests.get_mut(key));
        match (request, event) {
            (Some(request), Some(event)) if request.errors.len() < MOST_ERRORS => {
                let recovered = request.panics.pop_if(|panic| is_same(panic, &event));
                request.errors.push((request.place.id, recovered.unwrap_or(event)));
            }
            _ => self.counters.failures_unplaced += 1,
        }
    }

    /// What a library of the language recovers of its own is none of the program's errors.
    pub(super) fn recovered(&mut self, pid: u32, recovered: Recovered, instance: &Arc<ServiceInstance>) {
        let Some(panic) = self.panics.recovered(pid, recovered.goroutine) else { return };
        match recovered.by {
            Recoverer::Language => {}
            Recoverer::Server => self.blame(pid, panic, false, instance),
            Recoverer::Program => self.blame(pid, panic, true, instance),
        }
    }

    /// A process is about to be forgotten. What nobody recovered ended it.
    pub fn process_ended(&mut self, pid: u32, exit_code: u32, instance: &Arc<ServiceInstance>, time: Nanos) {
        for panic in self.panics.ended(pid) {
            if exit_code != 0 {
                self.blame(pid, panic, false, instance);
            }
        }
        self.hidden_failed(pid, time);
        self.forget_hidden(Some(pid));
        self.forget_hidden_calls(Some(pid));
        self.forget_grpc_calls(Some(pid));
        self.forget_statements(Some(pid));
    }

    /// The server gives a connection up before it has recovered, and a handler may have answered before.
    pub(super) fn take_panics(&mut self, request: &mut OpenRequest, ending: Ending) {
        for (time, panicked) in self.panics.of_request(request.pid, request.name) {
            request.panics.extend(self.panic_event(&panicked.thrown, ending == Ending::Complete, time));
        }
    }

    /// The error a panic is; none when it is no error.
    fn panic_event(&mut self, thrown: &Thrown, handled: bool, time: Nanos) -> Option<ErrorEvent> {
        let (limit, time) = (self.capture.stack_trace_limit, self.clock.epoch(time));
        (thrown.message != ABORT).then(|| failure::of_exception(thrown, handled, limit, self.ids.trace(), time, None))
    }

    fn blame(&mut self, pid: u32, (time, panicked): Panic, handled: bool, instance: &Arc<ServiceInstance>) {
        let Some(event) = self.panic_event(&panicked.thrown, handled, time) else { return };
        let hit = self.requests.names.get((pid, panicked.request)).and_then(|key| self.requests.get_mut(key));
        match hit {
            Some(request) => request.panics.push(event),
            // Outside of requests it is an error only if nobody dealt with it.
            None if !handled => self.publish_error(instance, event),
            None => {}
        }
    }
}

/// Middlewares that recover a panic give it back as an error, itself or its text. The panic says more of it.
fn is_same(panic: &ErrorEvent, error: &ErrorEvent) -> bool {
    panic.kind == error.kind || (!error.message.is_empty() && panic.message == error.message)
}
