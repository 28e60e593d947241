//! Where calls go: below their transaction, or into one of their own.

use std::sync::Arc;

use super::{Parent, Tracer, duration, error_place};
use crate::{
    build::{Document, ErrorEvent, Place, Span, Transaction, failure, span::CallParts},
    config::Orphans,
    correlate::{Carried, SpanId, TraceId, trace_context},
    exchange::{Exchange, Payload},
    metadata::ServiceInstance,
};

impl Tracer {
    pub(super) fn linked(
        &mut self,
        instance: &Arc<ServiceInstance>,
        exchange: &Exchange,
        parts: CallParts,
        parent: Parent,
        carried: Option<Carried>,
    ) {
        let propagated = parts.propagated || carried.is_some();
        let mut place = self.place_below(&parent);
        // The same trace: `call_opened` saw to that.
        place.id = carried.map_or(place.id, |carried| carried.span);
        let start = self.clock.epoch(exchange.opened.time);
        let span = parts.into_span(place, Some(parent.place.id), start, duration(exchange));
        let error = if parent.sampled { self.database_failure(exchange) } else { None };
        match self.requests.get_mut(parent.key) {
            Some(request) => {
                let ready = request.buffer.push(span, propagated);
                request.spans.extend(ready);
                request.errors.extend(error.map(|error| (place.id, error)));
            }
            // The request has been answered already; its thread did more afterwards.
            None if parent.sampled => {
                self.publish_span(instance, span);
                if let Some(mut error) = error {
                    error.within = Some(error_place(&parent.place, place.id));
                    self.publish_error(instance, error);
                }
            }
            None => {}
        }
    }

    /// The parent of a call, unless the call carried another trace than that is known to be part of: what began the trace,
    /// or continued it, was lost on the way to us. What was sent is what is reported.
    pub(super) fn as_carried(&mut self, parent: Option<Parent>, carried: Option<Carried>) -> Option<Parent> {
        let is_other = parent.zip(carried).is_some_and(|(below, carried)| below.place.trace != carried.trace);
        self.counters.calls_carrying_another_trace += u64::from(is_other);
        parent.filter(|_| !is_other)
    }

    fn place_below(&mut self, parent: &Parent) -> Place {
        Place {
            trace: parent.place.trace,
            id: self.ids.span(),
            parent: Some(parent.place.id),
            sample_rate: parent.place.sample_rate,
        }
    }

    pub(super) fn orphan_span(&self, exchange: &Exchange, parts: CallParts) -> Span {
        let nowhere = Place { trace: TraceId(0), id: SpanId(0), parent: None, sample_rate: None };
        parts.into_span(nowhere, None, self.clock.epoch(exchange.opened.time), duration(exchange))
    }

    pub(super) fn orphan(
        &mut self,
        instance: &Arc<ServiceInstance>,
        span: Span,
        exchange: &Exchange,
        carried: Option<Carried>,
    ) {
        let error = self.database_failure(exchange);
        self.exit_transaction(instance, span, carried, error);
    }

    /// A call with no certain parent: a transaction of its own with the call as its only span, or nothing by setting.
    /// What the call carried to another service stays its place: somebody may be its child.
    pub(super) fn exit_transaction(
        &mut self,
        instance: &Arc<ServiceInstance>,
        mut span: Span,
        carried: Option<Carried>,
        error: Option<ErrorEvent>,
    ) {
        if self.capture.orphans == Orphans::Drop {
            self.counters.orphans_dropped += 1;
            return;
        }
        let is_sampled = match carried {
            Some(carried) if carried.is_ours => carried.sampled,
            _ => self.ids.unit() < self.capture.sample_rate,
        };
        if !is_sampled {
            self.counters.requests_unsampled += 1;
            return;
        }
        let sample_rate = Some(trace_context::round_rate(self.capture.sample_rate));
        let trace = carried.map_or_else(|| self.ids.trace(), |carried| carried.trace);
        let place = Place { trace, id: self.ids.span(), parent: None, sample_rate };
        let id = carried.map_or_else(|| self.ids.span(), |carried| carried.span);
        span.place = Place { id, parent: Some(place.id), ..place };
        span.transaction = Some(place.id);
        let id = span.place.id;
        let document = Transaction {
            place,
            name: span.name.clone(),
            kind: "exit",
            result: None,
            outcome: span.outcome,
            start: span.start,
            duration: span.duration,
            spans_started: 1,
            spans_dropped: 0,
            dropped_spans: Vec::new(),
            links: Vec::new(),
            http: None,
            otel: None,
        };
        self.publish_span(instance, span);
        self.publish(instance, Document::Transaction(document));
        if let Some(mut error) = error {
            error.within = Some(error_place(&place, id));
            self.publish_error(instance, error);
        }
    }

    /// The error a database answered; where it happened is the caller's to say.
    pub(super) fn database_failure(&mut self, exchange: &Exchange) -> Option<ErrorEvent> {
        let (system, error) = match &exchange.payload {
            Payload::Sql(sql) => (sql.system, sql.error.as_ref()?),
            Payload::Command(command) => (command.system, command.error.as_ref()?),
            Payload::Http(_) => return None,
        };
        let time = self.clock.epoch(exchange.closed.time);
        Some(failure::of_database(system, error, self.ids.trace(), time, None))
    }
}
