//! Gives exchanges their place in a trace and turns them into documents.

mod call;
mod counters;
mod grpc;
mod hidden;
mod logged;
mod named;
mod outgoing;
mod panicked;
mod statement;
#[cfg(test)]
mod tests;
mod told;
mod word;

use std::{collections::HashMap, sync::Arc};

pub use counters::TracerCounters;
use hidden::Hidden;
pub use outgoing::CallEnd;
use outgoing::HiddenCall;
use statement::Asking;

use super::{
    Carried, Ids, Mark, SpanId,
    bridged::{Answered, Bridged, Called, Ports},
    named::Name,
    panics::Panics,
    parent::{CallSite, Evidence, find},
    request::{OpenRequest, RequestKey, Requests},
    trace_context::{self, Beginning},
};
use crate::{
    bridge::Detail,
    build::{
        Document, ErrorEvent, ErrorPlace, Outcome, Place, Span,
        compression::{Limits, SpanBuffer},
        destination::{Addresses, Endpoint},
        failure,
        naming::Named,
        outcome,
        rules::Rules,
        span::{self},
        transaction,
    },
    clock::Clock,
    config::Capture,
    exchange::{Ending, Exchange, Http, Nanos, Payload, Stamp, TraceHeaders},
    metadata::ServiceInstance,
    runtime::{dotnet, go},
};

/// Whose exchange it is.
pub struct Party<'a> {
    /// The connection.
    pub connection: u64,
    /// The process.
    pub pid: u32,
    /// Its service.
    pub instance: &'a Arc<ServiceInstance>,
    /// Ends of the connection.
    pub addresses: &'a Addresses,
    /// It was followed from its first byte.
    pub whole: bool,
    /// The place in the trace that we wrote into the call which was sent at this time.
    pub carried: Option<(Nanos, Carried)>,
}

impl<'a> Party<'a> {
    /// On a connection that is made up, for what no wire shows.
    fn unseen(connection: u64, pid: u32, instance: &'a Arc<ServiceInstance>, addresses: &'a Addresses) -> Self {
        Self { connection, pid, instance, addresses, whole: true, carried: None }
    }
}

/// A call under way.
struct OpenCall {
    parent: Option<Parent>,
    carried: Option<Carried>,
}

/// Where a call belongs.
#[derive(Clone, Copy)]
struct Parent {
    key: RequestKey,
    place: Place,
    sampled: bool,
}

/// Knows the open requests and calls of all processes.
pub struct Tracer {
    /// Wall time.
    pub clock: Clock,
    /// What became of everything.
    pub counters: TracerCounters,
    capture: Capture,
    rules: Rules,
    limits: Limits,
    ids: Ids,
    requests: Requests,
    calls: HashMap<RequestKey, OpenCall>,
    bridged: HashMap<u32, Bridged>,
    panics: Panics,
    hidden: HashMap<Name, Hidden>,
    hidden_calls: HashMap<Name, HiddenCall>,
    statements: HashMap<Name, Asking>,
    grpc_calls: HashMap<Name, Parent>,
    /// What calls carried that are told as over next.
    carrying: HashMap<Name, Carried>,
    widened: Vec<(u32, Detail)>,
    out: Vec<(Arc<ServiceInstance>, Document)>,
}

impl Tracer {
    /// A tracer with the user's settings.
    pub fn new(capture: Capture, ids: Ids, clock: Clock) -> Self {
        Self {
            clock,
            counters: TracerCounters::default(),
            rules: Rules::new(&capture),
            limits: Limits::new(&capture),
            capture,
            ids,
            requests: Requests::default(),
            calls: HashMap::new(),
            bridged: HashMap::new(),
            panics: Panics::default(),
            hidden: HashMap::new(),
            hidden_calls: HashMap::new(),
            statements: HashMap::new(),
            grpc_calls: HashMap::new(),
            carrying: HashMap::new(),
            widened: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Documents made since the last call.
    pub fn take_documents(&mut self) -> std::vec::Drain<'_, (Arc<ServiceInstance>, Document)> {
        self.out.drain(..)
    }

    /// The service began to read a request.
    pub fn request_opened(&mut self, party: &Party<'_>, serial: u64, at: Stamp) {
        let key = RequestKey { connection: party.connection, serial };
        let mark = Mark::unpack(at.mark);
        let bridged = self.bridged.get_mut(&party.pid);
        let request = OpenRequest {
            pid: party.pid,
            // A run time that says whose a call is need not be guessed at.
            thread: (!mark.polled && bridged.is_none()).then_some(mark.tid),
            opened: at.time,
            peer_port: party.addresses.remote.port().unwrap_or(0),
            is_named: party.instance.agent_name == go::AGENT_NAME,
            name: 0,
            route: None,
            panics: Vec::new(),
            whole: party.whole,
            place: Place { trace: self.ids.trace(), id: self.ids.span(), parent: None, sample_rate: None },
            sampled: true,
            decided: false,
            links: Vec::new(),
            buffer: SpanBuffer::new(self.limits),
            spans: Vec::new(),
            errors: Vec::new(),
        };
        if let Some(bridged) = bridged {
            bridged.request_opened(key, &request);
        }
        if !self.requests.opened(key, request) {
            self.counters.requests_over_limit += 1;
        }
    }

    /// A request's head is known: its trace goes on, or begins.
    pub fn request_read(&mut self, connection: u64, serial: u64, headers: &TraceHeaders) {
        let Some(request) = self.requests.get_mut(RequestKey { connection, serial }) else {
            return;
        };
        match trace_context::begin(trace_context::read(headers), self.capture.continuation) {
            Beginning::Continued(incoming) => {
                request.place.trace = incoming.trace;
                request.place.parent = Some(incoming.parent);
                request.place.sample_rate = incoming.sample_rate;
                request.sampled = incoming.sampled;
                request.decided = true;
            }
            Beginning::New { link } => {
                request.links.extend(link);
                decide(request, &self.capture, &mut self.ids);
            }
        }
    }

    /// The service began a call.
    pub fn call_opened(&mut self, party: &Party<'_>, serial: u64, at: Stamp) {
        let key = RequestKey { connection: party.connection, serial };
        let Mark { tid, owner, .. } = Mark::unpack(at.mark);
        if let Some(bridged) = self.bridged.get_mut(&party.pid) {
            let ports = Ports {
                local: party.addresses.local.port().unwrap_or(0),
                remote: party.addresses.remote.port().unwrap_or(0),
            };
            if serial == 0 && party.whole {
                bridged.connected(key.connection, at.time);
            }
            bridged.call_opened(key, ports, tid, at.time);
            self.calls.insert(key, OpenCall { parent: None, carried: None });
            return;
        }
        let parent = self.parent_of(&CallSite { pid: party.pid, tid, time: at.time, owner });
        match parent {
            Ok(Some(_)) => self.counters.calls_linked += 1,
            Ok(None) => {
                self.counters.calls_without_parent += 1;
                self.counters.calls_late += u64::from(owner != 0);
            }
            Err(Ambiguous) => self.counters.calls_ambiguous += 1,
        }
        let carried = party.carried.filter(|(sent, _)| *sent == at.time).map(|(_, carried)| carried);
        let parent = self.as_carried(parent.unwrap_or(None), carried);
        self.calls.insert(key, OpenCall { parent, carried });
    }

    /// A call's head is known: the trace context it carries.
    pub fn call_sent(&mut self, party: &Party<'_>, serial: u64, headers: &TraceHeaders) {
        let key = RequestKey { connection: party.connection, serial };
        let (Some(bridged), Some(call)) = (self.bridged.get_mut(&party.pid), self.calls.get_mut(&key)) else {
            return;
        };
        call.carried = trace_context::read(headers).map(|sent| Carried {
            trace: sent.trace,
            span: sent.parent,
            sampled: sent.sampled,
            is_ours: false,
        });
        if let Some(carried) = call.carried {
            bridged.call_carries(key, carried);
        }
    }

    /// An exchange of a connection on which the service answers is over.
    pub fn request_done(&mut self, party: &Party<'_>, mut exchange: Box<Exchange>) {
        let key = RequestKey { connection: party.connection, serial: exchange.serial };
        let request = self.requests.ended(key);
        let is_known = request.is_some();
        let (Some(request), Payload::Http(http)) = (request, &mut exchange.payload) else {
            // One that is not known was counted when it began.
            self.counters.served_statements += u64::from(is_known);
            if let Some(bridged) = self.bridged.get_mut(&party.pid) {
                bridged.request_lost(key);
            }
            return;
        };
        let http = std::mem::take(http);
        let (instance, addresses) = (Arc::clone(party.instance), party.addresses.clone());
        let answered = Box::new(Answered { instance, addresses, exchange, http, request });
        match self.bridged.get_mut(&party.pid) {
            None => {
                let mut answered = *answered;
                let route = answered.request.route.take().map(Named::Route);
                self.report_request(answered, route.as_ref(), Vec::new());
            }
            Some(bridged) => {
                let time = answered.exchange.closed.time;
                if let Some(joined) = bridged.request_done(key, answered) {
                    self.request_joined(party.pid, joined, time);
                }
            }
        }
    }

    /// A request's exchange is over, and nothing more will be known of it.
    /// `errors`: what went wrong in it, and in which span. Gives back whether it is reported.
    fn report_request(
        &mut self,
        answered: Answered,
        named: Option<&Named>,
        mut errors: Vec<(SpanId, ErrorEvent)>,
    ) -> bool {
        let Answered { instance, addresses, exchange, http, mut request } = answered;
        if !request.decided {
            decide(&mut request, &self.capture, &mut self.ids);
        }
        self.unlink_if_handed_over(&instance, &mut request, &exchange);
        self.take_panics(&mut request, exchange.ending);
        let (spans, statistics) = std::mem::replace(&mut request.buffer, SpanBuffer::new(self.limits)).end();
        request.spans.extend(spans);
        if !self.is_reported(&request, &exchange, &http) {
            for (span, mut error) in request.errors {
                error.within = Some(error_place(&request.place, span));
                self.publish_error(&instance, error);
            }
            return false;
        }
        for span in std::mem::take(&mut request.spans) {
            self.publish_span(&instance, span);
        }
        errors.splice(..0, std::mem::take(&mut request.errors));
        let is_failed = outcome::of_http_server(&exchange, &http) == Outcome::Failure;
        let parts = transaction::from_http(&exchange, http, named, &addresses, &self.rules);
        let start = self.clock.epoch(exchange.opened.time);
        let mut document = parts.into_transaction(request.place, start, duration(&exchange));
        document.spans_started = statistics.started;
        document.spans_dropped = statistics.dropped;
        document.dropped_spans = statistics.dropped_spans;
        document.links = request.links;
        // What the program recovered is an error only where its answer says so: it may panic for its own ends.
        for event in request.panics.into_iter().filter(|event| is_failed || !event.handled) {
            document.outcome = Outcome::Failure;
            errors.push((document.place.id, event));
        }
        let mut place = error_place(&document.place, document.place.id);
        (place.transaction_name, place.transaction_type) = (Some(document.name.clone()), Some(document.kind));
        for (parent, mut error) in errors {
            error.within = Some(ErrorPlace { parent, ..place.clone() });
            error.http = document.http.clone().map(Box::new);
            self.publish_error(&instance, error);
        }
        self.counters.transactions += 1;
        self.publish(&instance, Document::Transaction(document));
        true
    }

    /// A call of the service is over.
    pub fn call_done(&mut self, party: &Party<'_>, exchange: Box<Exchange>) {
        let key = RequestKey { connection: party.connection, serial: exchange.serial };
        let Some(call) = self.calls.remove(&key) else {
            return;
        };
        let parts = match &exchange.payload {
            _ if exchange.ending == Ending::Unfinished => {
                self.counters.unfinished += 1;
                None
            }
            Payload::Http(http) if http.method.is_empty() => {
                self.counters.calls_lost += 1;
                None
            }
            Payload::Http(http) => Some(span::from_http(&exchange, http, party.addresses)),
            Payload::Sql(sql) => Some(span::from_sql(&exchange, sql, party.addresses)),
            Payload::Command(command) => Some(span::from_command(&exchange, command, party.addresses)),
        };
        let is_dotnet = party.instance.agent_name == dotnet::AGENT_NAME;
        let parts = parts.map(|parts| if is_dotnet { parts.as_dotnet() } else { parts });
        let bridged = self.bridged.get_mut(&party.pid);
        let Some(parts) = parts else {
            if let Some(bridged) = bridged {
                bridged.call_lost(key);
            }
            return;
        };
        match (bridged, call.parent) {
            (Some(bridged), None) => {
                let called = Box::new(Called { exchange, parts, carried: call.carried });
                if let Some((called, known)) = bridged.call_done(key, called) {
                    self.call_joined(party.pid, *called, known);
                }
            }
            (_, Some(parent)) => self.linked(party.instance, &exchange, parts, parent, call.carried),
            (None, None) => {
                self.orphan(party.instance, self.orphan_span(&exchange, parts), &exchange, call.carried);
            }
        }
    }

    /// An attempt to connect failed.
    pub fn connect_failed(
        &mut self,
        instance: &Arc<ServiceInstance>,
        pid: u32,
        tid: u32,
        time: Nanos,
        errno: u32,
        to: &Endpoint,
    ) {
        let parent = self.parent_of(&CallSite { pid, tid, time, owner: 0 }).ok().flatten();
        let within = parent.as_ref().map(|parent| error_place(&parent.place, parent.place.id));
        let event = failure::of_connection(errno, to, self.ids.trace(), self.clock.epoch(time), within);
        let request = parent.filter(|parent| parent.sampled).and_then(|parent| self.requests.get_mut(parent.key));
        match request {
            Some(request) => request.errors.push((request.place.id, event)),
            None => self.publish_error(instance, event),
        }
    }

    /// Number of requests and calls open.
    pub fn open(&self) -> (usize, usize) {
        (self.requests.len(), self.calls.len())
    }

    fn parent_of(&self, call: &CallSite) -> Result<Option<Parent>, Ambiguous> {
        match find(call, &self.requests) {
            Evidence::Certain(key) => {
                Ok(self.requests.get(key).map(|request| Parent { key, place: request.place, sampled: request.sampled }))
            }
            Evidence::Ambiguous => Err(Ambiguous),
            Evidence::Nothing => Ok(None),
        }
    }

    /// Is there a document of this request?
    fn is_reported(&mut self, request: &OpenRequest, exchange: &Exchange, http: &Http) -> bool {
        let counter = if exchange.ending == Ending::Unfinished {
            &mut self.counters.unfinished
        } else if http.method.is_empty() {
            &mut self.counters.requests_lost
        } else if transaction::is_ignored(&http.target, &self.rules) {
            &mut self.counters.requests_ignored
        } else if !request.sampled {
            &mut self.counters.requests_unsampled
        } else {
            return true;
        };
        *counter += 1;
        false
    }

    /// The evidence of the thread holds only if the thread that read the request also answered it. If another did, the
    /// request was handed over, and what the reading thread called meanwhile may be anybody's.
    fn unlink_if_handed_over(
        &mut self,
        instance: &Arc<ServiceInstance>,
        request: &mut OpenRequest,
        exchange: &Exchange,
    ) {
        let answered_by = Mark::unpack(exchange.closed.mark).tid;
        let handed_over = request.thread.is_some_and(|tid| tid != answered_by);
        if !handed_over || exchange.ending != Ending::Complete {
            return;
        }
        let (merged, _) = std::mem::replace(&mut request.buffer, SpanBuffer::new(self.limits)).end();
        let mut spans = std::mem::take(&mut request.spans);
        spans.extend(merged);
        let mut errors = std::mem::take(&mut request.errors);
        for span in spans {
            let calls = span.composite.map_or(1, |composite| u64::from(composite.count));
            self.counters.calls_unlinked += calls;
            let error = errors.iter().position(|(of, _)| *of == span.place.id).map(|at| errors.swap_remove(at).1);
            self.exit_transaction(instance, span, None, error);
        }
        for (_, error) in errors {
            self.publish_error(instance, ErrorEvent { within: None, ..error });
        }
    }

    fn publish_span(&mut self, instance: &Arc<ServiceInstance>, span: Span) {
        self.counters.spans += 1;
        self.publish(instance, Document::Span(span));
    }

    fn publish_error(&mut self, instance: &Arc<ServiceInstance>, event: ErrorEvent) {
        self.counters.errors += 1;
        self.publish(instance, Document::Error(event));
    }

    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: Document) {
        self.out.push((Arc::clone(instance), document));
    }
}

/// Several requests could be the parent.
struct Ambiguous;

/// Decides whether a trace that begins here is recorded.
fn decide(request: &mut OpenRequest, capture: &Capture, ids: &mut Ids) {
    request.sampled = ids.unit() < capture.sample_rate;
    request.place.sample_rate = Some(trace_context::round_rate(capture.sample_rate));
    request.decided = true;
}

fn error_place(transaction: &Place, parent: SpanId) -> ErrorPlace {
    ErrorPlace {
        trace: transaction.trace,
        transaction: Some(transaction.id),
        parent,
        transaction_name: None,
        transaction_type: None,
        sampled: true,
    }
}

/// Nanoseconds from the first byte of the request to the end.
fn duration(exchange: &Exchange) -> u64 {
    exchange.closed.time.saturating_sub(exchange.opened.time)
}
