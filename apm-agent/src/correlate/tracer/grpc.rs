//! Calls over gRPC: by the word of the probes in the client, wherever its bytes go out.

use std::sync::Arc;

use super::{CallSite, Parent, Tracer};
use crate::{
    build::{destination::Addresses, grpc},
    correlate::{named::Name, request::MOST_OPEN},
    event::GrpcCall,
    exchange::{Ending, Exchange, Http, Nanos, Payload, Stamp},
    metadata::ServiceInstance,
};

impl Tracer {
    /// A call begins for a request, which may be over before it.
    pub fn grpc_call_began(&mut self, call: Name, request: u64, time: Nanos) {
        if let Some(parent) = self.grpc_parent(call.0, request, time)
            && self.grpc_calls.len() < MOST_OPEN
        {
            self.grpc_calls.insert(call, parent);
        }
    }

    /// A call is over.
    pub fn grpc_call_ended(&mut self, pid: u32, instance: &Arc<ServiceInstance>, call: &GrpcCall, time: Nanos) {
        let began = self.grpc_calls.remove(&(pid, call.call));
        let carried = self.carrying.remove(&(pid, call.call));
        let parent = began.or_else(|| self.grpc_parent(pid, call.request, time));
        let parent = self.as_carried(parent, carried);
        let exchange = Exchange {
            serial: 0,
            opened: Stamp { time: call.started, mark: 0 },
            request_end: None,
            response_start: None,
            closed: Stamp { time, mark: 0 },
            ending: Ending::Complete,
            payload: Payload::Http(Http::default()),
        };
        let addresses = Addresses { remote: call.remote.clone(), encrypted: call.over_tls, ..Addresses::default() };
        let parts = grpc::call(&call.method, &call.host, call.code, &addresses);
        match parent {
            Some(parent) => {
                self.counters.calls_linked += 1;
                self.linked(instance, &exchange, parts, parent, carried);
            }
            None => {
                self.counters.calls_without_parent += 1;
                self.orphan(instance, self.orphan_span(&exchange, parts), &exchange, carried);
            }
        }
    }

    /// A process has ended, or nobody watches any more.
    pub(super) fn forget_grpc_calls(&mut self, pid: Option<u32>) {
        self.grpc_calls.retain(|(other, _), _| pid.is_some_and(|pid| pid != *other));
    }

    fn grpc_parent(&self, pid: u32, request: u64, time: Nanos) -> Option<Parent> {
        if request == 0 {
            return None;
        }
        self.parent_of(&CallSite { pid, tid: 0, time, owner: request }).ok().flatten()
    }
}
