//! The server's side of a session: each message answers the first awaited one, or there is a misunderstanding.

use super::flight::Awaited;
use super::framing::Message;
use super::message::{contradicts, ends_session, read_error, rows_of_tag};
use super::seek::Found;
use super::talk::Talk;
use crate::exchange::{Ending, Side, Signal, SqlOperation, Stamp};

/// What a message means for the first awaited one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// More of its answer is to come.
    Continues,
    /// Its answer is complete.
    Answered,
    /// It failed, and all up to the next Sync is skipped.
    Failed,
    /// It cannot be its answer.
    Foreign,
}

fn judge(front: &Awaited, kind: u8) -> Meaning {
    match (front, kind) {
        (Awaited::Connect(_), b'R' | b'K' | b'v') => Meaning::Continues,
        (Awaited::Connect(_), b'Z' | b'E') => Meaning::Answered,
        (Awaited::Query(_), b'T' | b'D' | b'C' | b'I' | b'E' | b'G' | b'H' | b'W' | b'd' | b'c') => Meaning::Continues,
        (Awaited::Function(_), b'V' | b'E') => Meaning::Continues,
        (Awaited::Query(_) | Awaited::Function(_) | Awaited::Sync, b'Z') => Meaning::Answered,
        (Awaited::Execute(_), b'D' | b'G' | b'H' | b'W' | b'd' | b'c') => Meaning::Continues,
        (Awaited::Execute(_), b'C' | b's' | b'I') => Meaning::Answered,
        (Awaited::Describe, b't') => Meaning::Continues,
        (Awaited::Describe, b'T' | b'n') => Meaning::Answered,
        (Awaited::Parse(_), b'1') | (Awaited::Bind, b'2') | (Awaited::Close, b'3') => Meaning::Answered,
        // The commit at a Sync can fail; the statements before it have had their answers.
        (Awaited::Sync, b'E') => Meaning::Continues,
        (Awaited::Parse(_) | Awaited::Bind | Awaited::Describe | Awaited::Execute(_) | Awaited::Close, b'E') => {
            Meaning::Failed
        }
        _ => Meaning::Foreign,
    }
}

/// May come at any time: NoticeResponse, ParameterStatus, NotificationResponse.
pub(super) fn is_asynchronous(kind: u8) -> bool {
    matches!(kind, b'N' | b'S' | b'A')
}

impl Talk {
    /// A message of the server.
    pub(super) fn answer(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        if is_asynchronous(message.kind) {
            return;
        }
        self.ready = message.kind == b'Z' && !self.unasked;
        self.answer_first(message, at, signals);
        self.settle_doubt(at, signals);
    }

    fn answer_first(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(front) = self.flight.front() else { return };
        let meaning = judge(front, message.kind);
        if meaning == Meaning::Foreign || !self.note(message) {
            return self.drift(at, signals);
        }
        self.flight.answering.get_or_insert(message.began.time);
        self.flight.answered = at;
        match meaning {
            Meaning::Answered => self.flight.finish_front(Ending::Complete, at, signals),
            Meaning::Failed => self.fail(message, at, signals),
            Meaning::Continues | Meaning::Foreign => {}
        }
        self.flight.settle(signals);
        match message.kind {
            b'Z' => self.note_ready(message),
            b'E' if ends_session(&read_error(message.body)) => self.end_session(at, signals),
            _ => {}
        }
    }

    /// Notes what a message says about the first exchange. False: it cannot be about it.
    fn note(&mut self, message: &Message<'_>) -> bool {
        let doubtful = self.doubtful;
        let Some(pending) = self.flight.front_mut().and_then(Awaited::pending) else { return true };
        match message.kind {
            b'C' => {
                let text = pending.statement.as_ref().map(|statement| statement.text.as_ref());
                if doubtful && pending.tags == 0 && text.is_some_and(|text| contradicts(text, message.body)) {
                    return false;
                }
                pending.tags += 1;
                let rows = rows_of_tag(message.body).filter(|_| !message.cut);
                pending.rows = match (pending.rows, rows) {
                    (Some(sum), Some(rows)) => Some(sum.saturating_add(rows)),
                    (sum, rows) => sum.or(rows),
                };
            }
            b'E' => pending.error = Some(read_error(message.body)),
            b'G' | b'H' | b'W' => {
                pending.operation = SqlOperation::Copy;
                pending.takes_data = message.kind == b'G';
                pending.data_ended &= pending.takes_data;
            }
            _ => {}
        }
        true
    }

    fn fail(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let names = &mut self.names;
        let (error, synced) = self.flight.fail_segment(read_error(message.body), at, signals, |name| {
            // A named one is the old one or none. The unnamed one is gone, and can only be used after another Parse.
            if !name.is_empty() {
                names.forget_statement(name);
            }
        });
        self.names.forget_portals();
        if !synced {
            self.skipping = true;
            self.failed = error;
        }
    }

    fn note_ready(&mut self, message: &Message<'_>) {
        self.flight.answering = None;
        if message.body == b"I" && self.flight.is_empty() && self.group.is_none() {
            self.names.forget_portals();
        }
    }

    /// The server closes after a fatal error.
    fn end_session(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        let by = Some(Side::Server);
        if let Some(Awaited::Query(pending) | Awaited::Function(pending)) = self.flight.front()
            && pending.error.is_some()
        {
            self.flight.finish_front(Ending::Complete, at, signals);
        }
        self.flight.finish_all(Ending::Aborted { by }, at, signals);
    }

    /// The server's stream was lost and found again at a ReadyForQuery. With one ReadyForQuery to come this is it, and
    /// what stands before it is the last answer; else it is not known whose answers were lost.
    pub(super) fn resynchronise(&mut self, found: &Found, signals: &mut Vec<Signal>) {
        self.ready = true;
        self.answer_by_end(found, signals);
        self.settle_doubt(found.ready, signals);
    }

    fn answer_by_end(&mut self, found: &Found, signals: &mut Vec<Signal>) {
        if self.client_lost && self.flight.is_empty() {
            return;
        }
        if self.client_lost || self.flight.readies() != 1 {
            return self.drift(found.ready, signals);
        }
        let mut segment = Vec::new();
        while let Some(awaited) = self.flight.pop() {
            let last = awaited.ends_ready();
            segment.push(awaited);
            if last {
                break;
            }
        }
        self.finish_lost_segment(segment, found, signals);
    }

    fn finish_lost_segment(&mut self, segment: Vec<Awaited>, found: &Found, signals: &mut Vec<Signal>) {
        let total =
            segment.iter().filter(|awaited| !matches!(awaited, Awaited::Sync)).filter_map(Awaited::exchange).count();
        let mut number = 0;
        for mut awaited in segment {
            if let Awaited::Parse(name) = &awaited
                && matches!(found.before, None | Some((b'E', _)))
            {
                self.names.forget_statement(name);
            }
            let simple = matches!(awaited, Awaited::Query(_));
            let connect = matches!(awaited, Awaited::Connect(_));
            let Some(pending) = awaited.pending() else { continue };
            number += 1;
            let ending = match &found.before {
                // A session that is ready has been let in.
                _ if connect => Ending::Complete,
                Some((b'C', tag)) if number == total && pending.operation != SqlOperation::Prepare => {
                    let several = simple && pending.statement.as_ref().is_none_or(|s| s.cut || is_several(&s.text));
                    pending.rows = rows_of_tag(tag).filter(|_| !several);
                    Ending::Complete
                }
                Some((b's' | b'I', _)) if number == total => Ending::Complete,
                Some((b'E', body)) if total == 1 => {
                    pending.error = Some(read_error(body));
                    Ending::Complete
                }
                _ => {
                    (pending.rows, pending.error) = (None, None);
                    Ending::Lost
                }
            };
            let closed = if awaited.ends_ready() { found.ready } else { found.answered };
            self.flight.finish_single(awaited, ending, closed, signals);
        }
        self.flight.answering = None;
    }
}

/// The text may hold more than one statement, and so more than one command tag.
fn is_several(text: &str) -> bool {
    text.trim_end().trim_end_matches(';').contains(';')
}
