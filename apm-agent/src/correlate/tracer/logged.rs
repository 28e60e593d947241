//! What programs log as errors, in its place in the trace.

use std::sync::Arc;

use super::Tracer;
use crate::{
    bridge::Logged,
    build::{Document, EpochMicros, ErrorEvent, ErrorPlace, LogEvent, failure},
    correlate::SpanId,
    exchange::Nanos,
    metadata::ServiceInstance,
};

impl Tracer {
    /// An error waits for the end of its transaction, whose id its span does not tell. Outside a trace, and when the
    /// transaction has ended, it goes out at once.
    pub(super) fn logged(&mut self, pid: u32, logged: &Logged, time: Nanos) {
        if self.capture.log_sending
            && let Some(bridged) = self.bridged.get(&pid)
        {
            let instance = Arc::clone(&bridged.instance);
            self.publish(&instance, Document::Log(log_event(logged, self.clock.epoch(time))));
        }
        if !logged.is_error || !self.capture.log_errors {
            return;
        }
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        let (limit, at) = (self.capture.stack_trace_limit, self.clock.epoch(time));
        let mut error = failure::of_log(logged, limit, self.ids.trace(), at);
        let Some(context) = logged.context else { return self.publish_error(&instance, error) };
        error.within = Some(ErrorPlace {
            trace: context.trace,
            transaction: None,
            parent: context.span,
            transaction_name: None,
            transaction_type: None,
            sampled: context.sampled,
        });
        if let Some(root) = bridged.tree.root_of(context.span) {
            return self.publish_logged(&instance, error, root.id);
        }
        if let Some(oldest) = bridged.logs.keep(time, context.span, error) {
            self.publish_error(&instance, oldest);
        }
    }

    /// Errors logged in a transaction that is about to be reported, each with its span.
    pub(super) fn take_logged(&mut self, pid: u32, transaction: SpanId) -> Vec<(SpanId, ErrorEvent)> {
        let bridged = self.bridged.get_mut(&pid);
        bridged.map(|bridged| bridged.logs.take(transaction, &bridged.tree)).unwrap_or_default()
    }

    /// The transaction has ended: what was logged in it and is not out yet.
    pub(super) fn tell_logged(&mut self, pid: u32, instance: &Arc<ServiceInstance>, transaction: SpanId) {
        for (_, error) in self.take_logged(pid, transaction) {
            self.publish_logged(instance, error, transaction);
        }
    }

    /// What has waited too long goes out with its trace and span alone.
    pub(super) fn give_up_logged(&mut self, pid: u32, now: Nanos) {
        let Some(bridged) = self.bridged.get_mut(&pid) else { return };
        let instance = Arc::clone(&bridged.instance);
        for error in bridged.logs.give_up(now) {
            self.publish_error(&instance, error);
        }
    }

    fn publish_logged(&mut self, instance: &Arc<ServiceInstance>, mut error: ErrorEvent, transaction: SpanId) {
        if let Some(place) = &mut error.within {
            place.transaction = Some(transaction);
        }
        self.publish_error(instance, error);
    }
}

/// The record itself. Its transaction is not waited for: trace and span say where it belongs.
fn log_event(logged: &Logged, time: EpochMicros) -> LogEvent {
    LogEvent {
        time,
        within: logged.context.map(|context| (context.trace, context.span)),
        level: logged.level.clone(),
        logger: logged.logger.clone(),
        message: logged.message.clone(),
        thrown: logged.thrown.clone(),
    }
}
