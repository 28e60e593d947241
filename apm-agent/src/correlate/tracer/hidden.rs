//! Requests that the wire does not show, over TLS and HTTP/2: by the word of the probes where they are handled. Each is the
//! only request of a connection of its own making.

use std::sync::Arc;

use super::{Party, RequestKey, Tracer};
use crate::{
    build::destination::{Addresses, Endpoint},
    correlate::{Mark, named::Name},
    event::Asked,
    exchange::{Ending, Exchange, Grpc, Http, Nanos, Payload, Side, Stamp, TraceHeaders},
    metadata::ServiceInstance,
};

/// A request that is being handled.
pub(super) struct Hidden {
    instance: Arc<ServiceInstance>,
    addresses: Addresses,
    http: Http,
    opened: Stamp,
}

/// Marks connections that are none: sockets have no such numbers.
const NO_SOCKET: u64 = 1 << 63;

/// Bits of a request's name.
const NAME_BITS: u32 = 41;

/// The connection that a request is given.
pub(super) fn connection((pid, name): Name) -> u64 {
    NO_SOCKET | u64::from(pid) << NAME_BITS | name
}

impl Tracer {
    /// The run time of `pid` begins to handle a request that the wire does not show.
    pub fn request_asked(&mut self, pid: u32, instance: &Arc<ServiceInstance>, asked: &Asked, time: Nanos) {
        let name = (pid, asked.request);
        let key = RequestKey { connection: connection(name), serial: 0 };
        // No thread is evidence of anything in Go.
        let opened = Stamp { time, mark: Mark { polled: true, ..Mark::default() }.pack() };
        let addresses = addresses(asked);
        let party = Party::unseen(key.connection, pid, instance, &addresses);
        self.request_opened(&party, key.serial, opened);
        if self.requests.get(key).is_none() {
            // Too many are open; counted.
            return;
        }
        self.request_read(key.connection, key.serial, &trace_headers(asked));
        self.request_handled(pid, asked.request, key.connection, time);
        let hidden = Hidden { instance: Arc::clone(instance), addresses, http: http(asked), opened };
        self.hidden.insert(name, hidden);
    }

    /// It is gRPC that answers such a request, which came to `net/http`.
    pub(super) fn request_is_grpc(&mut self, name: Name) {
        if let Some(hidden) = self.hidden.get_mut(&name) {
            hidden.http.grpc = Some(Grpc::default());
        }
    }

    /// Such a request has been handled. What gRPC answers ends by its word: `net/http` may give up before.
    pub fn request_answered(
        &mut self,
        name: Name,
        (status, grpc): (Option<u16>, Option<Grpc>),
        failed: bool,
        time: Nanos,
    ) {
        let Some(hidden) = self.hidden.get(&name) else { return };
        if hidden.http.grpc.is_some() && grpc.is_none() && !failed {
            return;
        }
        let Some(Hidden { instance, addresses, http, opened }) = self.hidden.remove(&name) else { return };
        let party = Party::unseen(connection(name), name.0, &instance, &addresses);
        let exchange = Exchange {
            serial: 0,
            opened,
            request_end: None,
            response_start: None,
            closed: Stamp { time, ..opened },
            ending: if failed { Ending::Aborted { by: Some(Side::Server) } } else { Ending::Complete },
            payload: Payload::Http(Http { status, grpc: grpc.or(http.grpc), ..http }),
        };
        self.counters.requests_hidden += 1;
        self.request_done(&party, Box::new(exchange));
    }

    /// A process has ended by what its handlers panicked with: that ends their requests, too.
    pub(super) fn hidden_failed(&mut self, pid: u32, time: Nanos) {
        let panicked = |name: &&Name| {
            let request = self.requests.get(RequestKey { connection: connection(**name), serial: 0 });
            name.0 == pid && request.is_some_and(|request| !request.panics.is_empty())
        };
        let mut failed: Vec<Name> = self.hidden.keys().filter(panicked).copied().collect();
        failed.sort_unstable();
        for name in failed {
            self.request_answered(name, (None, None), true, time);
        }
    }

    /// A process has ended, or nobody watches any more: what it handled is not reported. `None`: all of them.
    pub(super) fn forget_hidden(&mut self, pid: Option<u32>) {
        let gone = self.hidden.extract_if(|(other, _), _| pid.is_none_or(|pid| pid == *other));
        for (name, _) in gone {
            self.counters.unfinished += 1;
            self.requests.ended(RequestKey { connection: connection(name), serial: 0 });
        }
    }
}

fn addresses(asked: &Asked) -> Addresses {
    let remote = asked.remote.parse().map_or(Endpoint::Unknown, Endpoint::Ip);
    Addresses { local: Endpoint::Unknown, remote, encrypted: asked.over_tls }
}

fn http(asked: &Asked) -> Http {
    let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
    Http {
        // That of gRPC is always the same.
        method: if asked.is_grpc { "POST".to_owned() } else { asked.method.clone() },
        target: format!("{}{query}", asked.path),
        version: if asked.is_http2 { "2.0" } else { "1.1" },
        headers: vec![("Host".to_owned(), asked.host.clone())],
        grpc: asked.is_grpc.then(Grpc::default),
        ..Http::default()
    }
}

fn trace_headers(asked: &Asked) -> TraceHeaders {
    let sent = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    TraceHeaders {
        traceparent: sent(&asked.traceparent),
        elastic_traceparent: sent(&asked.elastic_traceparent),
        tracestate: sent(&asked.tracestate),
        traceparent_count: u32::from(!asked.traceparent.is_empty()),
    }
}
