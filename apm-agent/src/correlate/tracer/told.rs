//! What run times say, joined with what the wire shows.

use std::sync::Arc;

use super::{
    super::Carried,
    super::bridged::{Answered, Bridged, Called, Held, Joined, Known, Put, Root, Told},
    Tracer, duration, error_place,
};
use crate::{
    bridge::{Context, Detail, Message, RequestEnded, Said, SpanEnded, SpanKind, Threw, Thrown},
    build::{
        Document, ErrorEvent, ErrorPlace, Place, activity, compression::SpanBuffer, failure, naming::Named, route, url,
    },
    correlate::{SpanId, trace_context},
    exchange::{Exchange, Nanos, Payload, SqlOperation},
    metadata::ServiceInstance,
    runtime::node,
};

impl Tracer {
    /// The run time of a process of `instance` said something. Nothing it said is heard before [`Said::Began`].
    pub fn told(&mut self, message: &Message, instance: &Arc<ServiceInstance>) {
        if let Said::Began(detail) = message.said {
            let requests = &self.requests;
            let bridged = self.bridged.entry(message.pid).or_insert_with(|| {
                let mut bridged = Bridged::new(Arc::clone(instance));
                for (key, open) in requests.of_process(message.pid) {
                    bridged.request_opened(key, open);
                }
                bridged
            });
            bridged.detail = detail;
        }
        match &message.said {
            Said::Panicked(panicked) => self.panicked(message.pid, panicked, message.time),
            Said::Recovered(recovered) => self.recovered(message.pid, *recovered, instance),
            Said::Failed(failed) => self.failed(message.pid, failed, message.time),
            Said::StatementFailed(failed) => {
                self.statement_done((message.pid, failed.goroutine), Some(&failed.thrown), message.time);
            }
            _ => self.told_of_ended(message),
        }
    }

    /// As [`Tracer::told`], of a process that may have ended since.
    pub fn told_of_ended(&mut self, message: &Message) {
        let (pid, time) = (message.pid, message.time);
        match &message.said {
            Said::Began(_)
            | Said::Metrics(_)
            | Said::Panicked(_)
            | Said::Recovered(_)
            | Said::Failed(_)
            | Said::StatementFailed(_) => {}
            Said::Ended => self.bridge_ended(pid),
            Said::RequestEnded(ended) => {
                self.heard(pid, time);
                let ready = self.bridged.get_mut(&pid).map(|bridged| bridged.request_ended(time, (**ended).clone()));
                for (time, (answered, ended)) in ready.into_iter().flatten() {
                    self.request_joined(pid, (answered, ended), time);
                }
            }
            Said::CallBegan(call) => {
                if let Some(bridged) = self.bridged.get_mut(&pid) {
                    bridged.call_began(time, *call);
                }
            }
            Said::SpanEnded(ended) => {
                self.heard(pid, time);
                match self.bridged.get_mut(&pid).map(|bridged| bridged.span_ended(ended.clone(), time)) {
                    Some(Told::Call(called, span)) => self.call_joined(pid, *called, Known::Span(span)),
                    Some(Told::NoCall(span)) => self.span_alone(pid, &span, time),
                    Some(Told::Waits) | None => {}
                }
            }
            Said::Logged(logged) => self.logged(pid, logged, time),
            Said::Threw(threw) => self.threw(pid, threw, time),
            Said::Heard => {
                self.heard(pid, time);
                self.alone(pid, time);
            }
            Said::Lost { messages } => self.counters.messages_lost += messages,
        }
    }

    /// Bytes of a connection of `pid` were lost.
    pub fn connection_doubted(&mut self, pid: u32, connection: u64) {
        if let Some(bridged) = self.bridged.get_mut(&pid) {
            bridged.doubt(connection);
        }
    }

    /// A connection of `pid` is closed.
    pub fn connection_closed(&mut self, pid: u32, connection: u64, time: Nanos) {
        if let Some(bridged) = self.bridged.get_mut(&pid) {
            bridged.closed(connection, time);
        }
    }

    /// Everything ends: nobody will say more.
    pub fn finish(&mut self) {
        self.forget_hidden(None);
        self.forget_hidden_calls(None);
        self.forget_statements(None);
        self.forget_grpc_calls(None);
        let mut pids: Vec<u32> = self.bridged.keys().copied().collect();
        pids.sort_unstable();
        for pid in pids {
            self.bridge_ended(pid);
        }
    }

    /// Processes whose run times should tell more, since the last call.
    pub fn take_widened(&mut self) -> std::vec::Drain<'_, (u32, Detail)> {
        self.widened.drain(..)
    }

    /// What waits for the other half.
    pub fn waiting(&self) -> usize {
        self.bridged.values().map(Bridged::waiting).sum()
    }

    fn heard(&mut self, pid: u32, time: Nanos) {
        let ready = self.bridged.get_mut(&pid).map(|bridged| bridged.heard(time));
        for (called, known) in ready.into_iter().flatten() {
            self.call_joined(pid, *called, known);
        }
    }

    /// What has waited too long goes out as the wire shows it.
    fn alone(&mut self, pid: u32, time: Nanos) {
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        let alone = bridged.alone(time);
        for answered in alone.requests {
            self.counters.requests_alone += 1;
            self.report_request(answered, None, Vec::new());
        }
        for (called, known) in alone.calls {
            self.call_joined(pid, *called, known);
        }
        if let Some(bridged) = self.bridged.get(&pid)
            && bridged.detail.with(bridged.wants()) != bridged.detail
        {
            self.widened.push((pid, bridged.wants()));
        }
        for (told, ended, connected) in alone.unseen {
            self.counters.requests_unseen += 1;
            if let Some(answered) = self.by_its_word(pid, &ended, told).filter(|_| !connected) {
                self.request_joined(pid, (Box::new(answered), Some(ended)), told);
            } else if let Some(context) = ended.context {
                self.threw_in(pid, &context);
                self.close(pid, Root { id: context.span, reported: true }, told);
            }
        }
        for event in alone.exceptions {
            self.publish_error(&instance, event);
        }
        self.give_up_logged(pid, time);
    }

    fn bridge_ended(&mut self, pid: u32) {
        self.heard(pid, Nanos::MAX);
        self.alone(pid, Nanos::MAX);
        let Some(mut bridged) = self.bridged.remove(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        for held in bridged.tree.drain() {
            self.publish_held(&instance, held, None);
        }
    }

    /// A request is over on the wire, and the run time told of it (or need not).
    pub(super) fn request_joined(&mut self, pid: u32, (mut answered, ended): Joined, time: Nanos) {
        let Some(ended) = ended else {
            self.report_request(*answered, None, Vec::new());
            return;
        };
        let context = ended.context.filter(|context| agrees(&answered, context));
        if ended.context.is_some() && context.is_none() {
            self.counters.requests_alone += 1;
            self.report_request(*answered, None, Vec::new());
            return;
        }
        self.counters.requests_joined += 1;
        let named = named_by(&answered, &ended);
        let mut errors = Vec::new();
        if let Some(context) = context {
            if context.sampled {
                errors.extend(self.take_logged(pid, context.span));
            }
            let request = &mut answered.request;
            request.place = place(&context, request.place.sample_rate);
            (request.sampled, request.decided) = (context.sampled, true);
            let children = self.bridged.get_mut(&pid).map(|bridged| bridged.tree.take(context.span));
            let thrown = self.bridged.get_mut(&pid).map(|bridged| bridged.exceptions.take(context.span));
            errors.extend(thrown.into_iter().flatten().map(|event| (context.span, event)));
            for mut held in children.into_iter().flatten() {
                held.span.transaction = Some(context.span);
                errors.extend(held.error.map(|error| (held.span.place.id, error)));
                request.spans.extend(request.buffer.push(held.span, held.propagated));
            }
        }
        if let Some(thrown) = &ended.exception {
            errors.push((answered.request.place.id, self.thrown(thrown, false, time)));
        }
        let reported = self.report_request(*answered, named.as_ref(), errors);
        if let Some(context) = context {
            self.close(pid, Root { id: context.span, reported }, time);
        }
    }

    /// A call is over on the wire, and what the run time knows of it is known.
    pub(super) fn call_joined(&mut self, pid: u32, called: Called, known: Known) {
        let Called { exchange, parts, carried } = called;
        let Some(instance) = self.bridged.get(&pid).map(|bridged| Arc::clone(&bridged.instance)) else { return };
        let internal = match &known {
            Known::Internal => true,
            Known::Announced { shared, .. } => *shared && is_housekeeping(&exchange),
            Known::Span(_) | Known::Nothing => false,
        };
        if internal || is_session_start(&exchange) {
            self.counters.calls_internal += 1;
            return;
        }
        let (context, id) = match &known {
            Known::Announced { call, .. } => {
                (call.within.map(|within| (within.trace, within.span, within.sampled)), None)
            }
            Known::Span(span) if activity::is_more_than_http(span) => {
                return self.span_alone(pid, span, exchange.closed.time);
            }
            Known::Span(span) => {
                let context = span.context;
                let parent = context.parent.map(|parent| (context.trace, parent, context.sampled));
                (parent, Some(context.span))
            }
            Known::Nothing if carried.is_some_and(|carried| !carried.sampled) => {
                self.counters.requests_unsampled += 1;
                return;
            }
            Known::Nothing | Known::Internal => (None, None),
        };
        let Some((trace, parent, sampled)) = context else {
            self.counters.calls_without_parent += 1;
            let span = self.orphan_span(&exchange, parts);
            self.orphan(&instance, span, &exchange, carried);
            return;
        };
        self.counters.calls_linked += 1;
        if !sampled {
            return;
        }
        let id = id.unwrap_or_else(|| self.ids.span());
        let propagated = parts.propagated;
        let sample_rate = Some(trace_context::round_rate(self.capture.sample_rate));
        let place = Place { trace, id, parent: Some(parent), sample_rate };
        let start = self.clock.epoch(exchange.opened.time);
        let mut span = parts.into_span(place, None, start, duration(&exchange));
        if let Known::Span(ended) = &known {
            activity::complete(&mut span, ended);
            span.name = activity::own_name(ended).map_or(span.name, str::to_owned);
        }
        // The run time's exception has a stack; the database's words are the same.
        let error = self.exception_in(pid, id).or_else(|| self.database_failure(&exchange));
        self.hold(pid, &instance, parent, Held { span, propagated, error });
    }

    /// An exception that is worth a report: it goes with the request or call that it hit.
    fn threw(&mut self, pid: u32, threw: &Threw, time: Nanos) {
        if threw.context.is_some_and(|context| !context.sampled) {
            return;
        }
        let mut event = self.thrown(&threw.thrown, threw.handled, time);
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        let ready = match threw.context {
            // Told when the request was over: hapi logs so, and what it left running may throw.
            Some(context) if let Some(root) = bridged.tree.root_of(context.span).filter(|root| root.reported) => {
                event.within = Some(within_request(&Place { id: root.id, ..place(&context, None) }, context.span));
                vec![event]
            }
            Some(context) => {
                // Its process may die before it answers: then there is no transaction, and its trace is known all the
                // same.
                let within = within_request(&place(&context, None), context.span);
                event.within = Some(ErrorPlace { transaction: None, ..within });
                bridged.exceptions.put(context.span, event, time)
            }
            None => vec![event],
        };
        for event in ready {
            self.publish_error(&instance, event);
        }
    }

    /// Reports what was thrown in a request that the wire did not show.
    fn threw_in(&mut self, pid: u32, context: &Context) {
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        for mut event in bridged.exceptions.take(context.span) {
            event.within = Some(within_request(&place(context, None), context.span));
            self.publish_error(&instance, event);
        }
    }

    /// What was thrown in a call, where it ended with an exception.
    fn exception_in(&mut self, pid: u32, span: SpanId) -> Option<ErrorEvent> {
        self.bridged.get_mut(&pid)?.exceptions.take(span).into_iter().next()
    }

    fn thrown(&mut self, thrown: &Thrown, handled: bool, time: Nanos) -> ErrorEvent {
        let time = self.clock.epoch(time);
        failure::of_exception(thrown, handled, self.capture.stack_trace_limit, self.ids.trace(), time, None)
    }

    /// A span of the run time that no call on the wire is: the program's own, or a call the wire cannot read.
    fn span_alone(&mut self, pid: u32, ended: &SpanEnded, time: Nanos) {
        let Some(instance) = self.bridged.get(&pid).map(|bridged| Arc::clone(&bridged.instance)) else { return };
        let (id, start) = (ended.context.span, self.clock.epoch(time.saturating_sub(ended.duration)));
        let sample_rate = Some(trace_context::round_rate(self.capture.sample_rate));
        let parent = ended.context.parent.filter(|_| !activity::is_transaction(ended));
        let Some(parent) = parent else {
            return self.root_alone(pid, &instance, ended, time);
        };
        if ended.context.sampled {
            let span = activity::span(ended, start, None, sample_rate);
            let error = self.exception_in(pid, id);
            self.hold(pid, &instance, parent, Held { span, propagated: false, error });
        }
        let late = self.bridged.get_mut(&pid).map(|bridged| bridged.tree.below(id, parent, time));
        for (held, root) in late.into_iter().flatten() {
            if root.reported {
                self.publish_held(&instance, held, Some(root.id));
            }
        }
    }

    /// A span that is the first of its process: a transaction, and a call besides if it is one.
    fn root_alone(&mut self, pid: u32, instance: &Arc<ServiceInstance>, ended: &SpanEnded, time: Nanos) {
        let start = self.clock.epoch(time.saturating_sub(ended.duration));
        let sample_rate = Some(trace_context::round_rate(self.capture.sample_rate));
        if matches!(ended.kind, SpanKind::Client | SpanKind::Producer) && !ended.remote_parent {
            let span = activity::span(ended, start, None, sample_rate);
            let Context { trace, span: id, sampled, .. } = ended.context;
            let carried = Carried { trace, span: id, sampled, is_ours: false };
            self.counters.calls_without_parent += 1;
            self.exit_transaction(instance, span, Some(carried), None);
            return;
        }
        let root = Root { id: ended.context.span, reported: ended.context.sampled };
        let children = self.bridged.get_mut(&pid).map(|bridged| bridged.tree.take(root.id)).unwrap_or_default();
        if !root.reported {
            self.counters.requests_unsampled += 1;
            return self.close(pid, root, time);
        }
        let mut document = activity::transaction(ended, start, sample_rate, &self.rules);
        let mut buffer = SpanBuffer::new(self.limits);
        let mut ready = Vec::new();
        for mut held in children {
            held.span.transaction = Some(root.id);
            if let Some(mut error) = held.error {
                error.within = Some(error_place(&document.place, held.span.place.id));
                self.publish_error(instance, error);
            }
            ready.extend(buffer.push(held.span, held.propagated));
        }
        let (rest, statistics) = buffer.end();
        for span in ready.into_iter().chain(rest) {
            self.publish_span(instance, span);
        }
        document.spans_started = statistics.started;
        document.spans_dropped = statistics.dropped;
        document.dropped_spans = statistics.dropped_spans;
        self.counters.transactions += 1;
        self.publish(instance, Document::Transaction(document));
        self.close(pid, root, time);
    }

    fn hold(&mut self, pid: u32, instance: &Arc<ServiceInstance>, parent: SpanId, held: Held) {
        match self.bridged.get_mut(&pid).map(|bridged| bridged.tree.put(parent, held)) {
            Some(Put::Late(held, root)) if root.reported => self.publish_held(instance, *held, Some(root.id)),
            Some(Put::Full(held)) => self.publish_held(instance, *held, None),
            Some(Put::Kept | Put::Late(..)) | None => {}
        }
    }

    /// A transaction ended: what comes later below it goes out by itself.
    fn close(&mut self, pid: u32, root: Root, time: Nanos) {
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        bridged.tree.close(root, time);
        let late = bridged.tree.take(root.id);
        self.tell_logged(pid, &instance, root.id);
        for held in late {
            self.publish_held(&instance, held, Some(root.id));
        }
    }

    fn publish_held(&mut self, instance: &Arc<ServiceInstance>, held: Held, transaction: Option<SpanId>) {
        self.counters.spans_without_transaction += u64::from(transaction.is_none());
        let mut span = held.span;
        span.transaction = transaction;
        let within = transaction.map(|id| error_place(&Place { id, ..span.place }, span.place.id));
        self.publish_span(instance, span);
        if let Some(mut error) = held.error {
            error.within = within;
            self.publish_error(instance, error);
        }
    }
}

/// Place of an error in a request of which no more is at hand.
fn within_request(request: &Place, parent: SpanId) -> ErrorPlace {
    ErrorPlace { transaction_type: Some("request"), ..error_place(request, parent) }
}

fn place(context: &Context, sample_rate: Option<f64>) -> Place {
    Place { trace: context.trace, id: context.span, parent: context.parent, sample_rate }
}

/// The run time continued the trace that the wire shows, if it shows one.
fn agrees(answered: &Answered, context: &Context) -> bool {
    match answered.request.place.parent {
        Some(parent) => answered.request.place.trace == context.trace && context.parent == Some(parent),
        None => true,
    }
}

/// What a driver of Redis says when a session begins.
const REDIS_START: [&str; 3] = ["HELLO", "AUTH", "CLIENT"];

/// A session began, as it should: the driver's affair, of which Elastic's .NET agent tells nothing either.
fn is_session_start(exchange: &Exchange) -> bool {
    match &exchange.payload {
        Payload::Sql(sql) => sql.operation == SqlOperation::Connect && sql.error.is_none(),
        Payload::Command(command) => {
            command.system == "redis" && REDIS_START.contains(&command.name.as_str()) && command.error.is_none()
        }
        Payload::Http(_) => false,
    }
}

/// How the reset of a session begins that has prepared statements to keep (Npgsql,
/// `NpgsqlConnector.GenerateResetMessage`).
const NPGSQL_RESET: &str = "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;";

/// What a driver sends in one write with the program's statement, and which costs no round trip of its own: the reset of
/// a pooled session, the beginning of a transaction.
fn is_housekeeping(exchange: &Exchange) -> bool {
    let Payload::Sql(sql) = &exchange.payload else { return false };
    let statement = sql.statement.as_deref().unwrap_or_default().trim_start();
    let word = statement.split(|one: char| !one.is_ascii_alphabetic()).next().unwrap_or_default();
    ["DISCARD", "BEGIN"].iter().any(|housekeeping| word.eq_ignore_ascii_case(housekeeping))
        || statement.starts_with(NPGSQL_RESET)
}

/// The request's route or operation: as the run time names it; else the path (Elastic's .NET agent does so, that for
/// Node.js does not), unless nothing was found at that path.
fn named_by(answered: &Answered, ended: &RequestEnded) -> Option<Named> {
    let path = url::path(&answered.http.target);
    let named = ended.route.as_ref().and_then(|known| route::name(known, path));
    let found = ended.route.is_some() || answered.http.status != Some(404);
    let by_path = found && answered.instance.agent_name != node::AGENT_NAME;
    named.or_else(|| by_path.then(|| Named::Route(path.to_owned())))
}
