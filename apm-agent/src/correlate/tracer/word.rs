//! Requests the wire cannot show (TLS, HTTP/2), by the run time's word alone.

use std::net::IpAddr;

use super::{super::bridged::Answered, OpenRequest, Tracer};
use crate::{
    bridge::{RequestEnded, RequestFacts},
    build::{
        Place,
        compression::SpanBuffer,
        destination::{Addresses, Endpoint},
    },
    exchange::{Ending, Exchange, Http, Nanos, Payload, Stamp},
};

impl Tracer {
    /// A request of `pid` that ended at `time`; `None` when the run time did not tell enough of it.
    pub(super) fn by_its_word(&mut self, pid: u32, ended: &RequestEnded, time: Nanos) -> Option<Answered> {
        let facts = ended.facts.as_deref()?;
        let instance = std::sync::Arc::clone(&self.bridged.get(&pid)?.instance);
        let opened = ended.began.map_or(time, |began| began.min(time));
        let request = OpenRequest {
            pid,
            thread: None,
            opened,
            peer_port: ended.remote_port,
            is_named: false,
            name: 0,
            route: None,
            panics: Vec::new(),
            whole: false,
            place: Place { trace: self.ids.trace(), id: self.ids.span(), parent: None, sample_rate: None },
            sampled: true,
            decided: false,
            links: Vec::new(),
            buffer: SpanBuffer::new(self.limits),
            spans: Vec::new(),
            errors: Vec::new(),
        };
        Some(Answered {
            instance,
            addresses: addresses(facts, ended.remote_port),
            exchange: Box::new(exchange(opened, time)),
            http: http(facts, ended.exception.is_some()),
            request,
        })
    }
}

fn exchange(opened: Nanos, closed: Nanos) -> Exchange {
    Exchange {
        serial: 0,
        opened: Stamp { time: opened, mark: 0 },
        request_end: None,
        response_start: None,
        closed: Stamp { time: closed, mark: 0 },
        ending: Ending::Complete,
        payload: Payload::Http(Http::default()),
    }
}

fn addresses(facts: &RequestFacts, port: u16) -> Addresses {
    let remote = facts.peer.as_deref().and_then(|peer| peer.parse::<IpAddr>().ok());
    Addresses {
        local: Endpoint::Unknown,
        remote: remote.map_or(Endpoint::Unknown, |address| Endpoint::Ip((address, port).into())),
        encrypted: facts.scheme == "https",
    }
}

/// `failed`: an exception nobody caught ended it. The server answers 500 to that after it has told of it.
fn http(facts: &RequestFacts, failed: bool) -> Http {
    let status = if failed { Some(500) } else { facts.status };
    Http {
        method: facts.method.clone(),
        target: facts.target.clone(),
        version: version(&facts.protocol),
        headers: facts.headers.clone(),
        status,
        ..Http::default()
    }
}

fn version(protocol: &str) -> &'static str {
    match protocol {
        "HTTP/1.0" => "1.0",
        "HTTP/2" | "HTTP/2.0" => "2.0",
        "HTTP/3" | "HTTP/3.0" => "3.0",
        _ => "1.1",
    }
}
