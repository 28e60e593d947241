//! Calls that the wire does not show, over HTTP/2: by the word of the probes where they are made.

use std::{fmt::Write as _, sync::Arc};

use super::{OpenCall, Party, RequestKey, Tracer};
use crate::{
    build::destination::Addresses,
    correlate::{Carried, Mark, named::Name},
    event::Call,
    exchange::{Ending, Exchange, Http, Nanos, Payload, Stamp},
    metadata::ServiceInstance,
};

/// Most such calls open at once: as many as goroutines that the kernel side remembers.
const MOST_CALLS: usize = apm_common::limits::GO_GOROUTINES as usize;

/// A call under way.
pub(super) struct HiddenCall {
    instance: Arc<ServiceInstance>,
    addresses: Addresses,
    http: Http,
    opened: Stamp,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd {
    /// Status, when an answer came.
    pub status: Option<u16>,
    /// It ended with an error.
    pub failed: bool,
    /// Something of it was sent.
    pub sent: bool,
    /// When.
    pub time: Nanos,
}

/// Calls are numbered by their goroutines, all of a process on one connection that is none.
fn key((pid, call): Name) -> RequestKey {
    RequestKey { connection: 1 << 63 | u64::from(pid), serial: call }
}

impl Tracer {
    /// The run time of `pid` begins a call that the wire does not show, on a connection with these ends.
    pub fn call_begun(
        &mut self,
        pid: u32,
        instance: &Arc<ServiceInstance>,
        call: &Call,
        mut addresses: Addresses,
        time: Nanos,
    ) {
        let name = (pid, call.call);
        if self.hidden_calls.len() >= MOST_CALLS && !self.hidden_calls.contains_key(&name) {
            self.counters.calls_over_limit += 1;
            return;
        }
        addresses.encrypted = call.scheme == "https";
        let opened = Stamp { time, mark: Mark { owner: call.owner, ..Mark::default() }.pack() };
        let party = party(name, instance, &addresses);
        self.call_opened(&party, key(name).serial, opened);
        let hidden = HiddenCall { instance: Arc::clone(instance), addresses, http: http(call), opened };
        self.hidden_calls.insert(name, hidden);
    }

    /// Such a call is over. One of which nothing was sent is none: it is made again on another connection, or it was given
    /// up before.
    pub fn call_ended(&mut self, name: Name, end: CallEnd) {
        let carried = self.carrying.remove(&name);
        let Some(HiddenCall { instance, addresses, http, opened }) = self.hidden_calls.remove(&name) else { return };
        if !end.sent {
            self.calls.remove(&key(name));
            return;
        }
        if let Some(mut call) = self.calls.remove(&key(name)) {
            call.parent = self.as_carried(call.parent, carried);
            self.calls.insert(key(name), OpenCall { carried, ..call });
        }
        let given_up = end.failed && end.status.is_none();
        let exchange = Exchange {
            serial: key(name).serial,
            opened,
            request_end: None,
            response_start: None,
            closed: Stamp { time: end.time, ..opened },
            ending: if given_up { Ending::Aborted { by: None } } else { Ending::Complete },
            payload: Payload::Http(Http { status: end.status, ..http }),
        };
        self.counters.calls_hidden += 1;
        self.call_done(&party(name, &instance, &addresses), Box::new(exchange));
    }

    /// A call carried this, which is told as over next, of gRPC or not.
    pub fn call_carried(&mut self, call: Name, carried: Carried) {
        if self.carrying.len() < MOST_CALLS {
            self.carrying.insert(call, carried);
        }
    }

    /// A process has ended, or nobody watches any more: what it called is not reported. `None`: all of them.
    pub(super) fn forget_hidden_calls(&mut self, pid: Option<u32>) {
        self.carrying.retain(|(other, _), _| pid.is_some_and(|pid| pid != *other));
        for (name, _) in self.hidden_calls.extract_if(|(other, _), _| pid.is_none_or(|pid| pid == *other)) {
            self.counters.unfinished += 1;
            self.calls.remove(&key(name));
        }
    }
}

fn party<'a>(name: Name, instance: &'a Arc<ServiceInstance>, addresses: &'a Addresses) -> Party<'a> {
    Party::unseen(key(name).connection, name.0, instance, addresses)
}

fn http(call: &Call) -> Http {
    let path = match (call.raw_path.as_str(), call.path.as_str()) {
        ("", "") => "/".to_owned(),
        (raw, _) if !raw.is_empty() && is_escaped(raw) => raw.to_owned(),
        (_, path) => escaped(path),
    };
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    Http {
        method: if call.method.is_empty() { "GET".to_owned() } else { call.method.clone() },
        target: format!("{path}{query}"),
        version: "2.0",
        headers: vec![("Host".to_owned(), call.host.clone())],
        ..Http::default()
    }
}

/// Can a path be sent as it is (`validEncoded` in Go's `net/url`)?
fn is_escaped(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,/:;=@[]%".contains(&byte))
}

/// A path as Go sends it (`url.URL.EscapedPath`).
fn escaped(path: &str) -> String {
    let mut sent = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            sent.push(char::from(byte));
        } else {
            let _ = write!(sent, "%{byte:02X}");
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_what_was_sent() {
        let call = |path: &str, raw_path: &str, query: &str| Call {
            path: path.to_owned(),
            raw_path: raw_path.to_owned(),
            query: query.to_owned(),
            ..Call::default()
        };
        for (call, wanted) in [
            (call("", "", ""), "/"),
            (call("/a b/ä;x=1", "", "q=%20"), "/a%20b/%C3%A4;x=1?q=%20"),
            (call("/a/b", "/a%2Fb", ""), "/a%2Fb"),
            (call("/a b", "/a b", ""), "/a%20b"),
        ] {
            let http = http(&call);
            assert_eq!((http.method.as_str(), http.target.as_str()), ("GET", wanted));
        }
    }
}
