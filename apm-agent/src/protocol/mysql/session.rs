//! Follows a connection: greeting, then commands and their answers; holds answers that come before their questions; finds
//! its place again after losses.

use super::answer::{Answer, Progress};
use super::command::{Command, Expects, LAST_PREPARED, Subject, read};
use super::greeting::{capability, read_response, server_capabilities};
use super::packet::{Framer, Packet};
use super::question::{Question, database_after};
use super::recognise::{judge_sealed, weigh_client};
use super::reply::end_at;
use crate::exchange::{Ending, Nanos, Side, Signal, SqlOperation, Stamp};
use crate::protocol::early::Early;
use crate::protocol::flight::{Flight, Pending};
use crate::protocol::statement::{Statement, Table};
use crate::protocol::{Conversation, Evidence, Join, Verdict, report_skipped};

/// Most answers awaited.
const AWAITED: usize = 1024;
/// Most bytes of statements in flight.
const TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Last bytes kept of a server's stream whose place is lost.
const TAIL_BYTES: usize = 16;
/// Silence of the server after which a client that pipelines has nothing in flight unseen.
const QUIET_NANOS: Nanos = 100_000_000;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server's greeting is to come.
    Greeting,
    /// The client's answer is to come.
    Response,
    /// Commands and answers.
    Session,
    /// Nothing more is to be seen.
    Over,
}

/// A connection's conversation.
pub(super) struct Session {
    phase: Phase,
    client: Framer,
    server: Framer,
    early: Early,
    flight: Flight<Question>,
    statements: Table,
    /// The statement that was prepared last, as far as the client knows.
    last_prepared: Option<Statement>,
    user: Option<String>,
    database: Option<String>,
    capabilities: u64,
    /// Texts have attributes in front; EOF packets are in use: as far as it is known.
    attributes: Option<bool>,
    classic: Option<bool>,
    /// The place in a stream is lost. Of the server's the last bytes are kept.
    client_lost: bool,
    server_lost: Option<Vec<u8>>,
    /// The place was found by idleness alone: an answer could be one too early.
    doubtful: bool,
    /// The client was seen to send commands before earlier ones were answered.
    pipelines: bool,
    asked: Nanos,
    heard: Nanos,
    skipped: u64,
}

impl Session {
    pub(super) fn new(join: Join) -> Self {
        let late = join == Join::Late;
        Session {
            phase: if late { Phase::Session } else { Phase::Greeting },
            client: Framer::default(),
            server: Framer::default(),
            early: Early::default(),
            flight: Flight::default(),
            statements: Table::default(),
            last_prepared: None,
            user: None,
            database: None,
            capabilities: 0,
            attributes: None,
            classic: None,
            client_lost: late,
            server_lost: late.then(Vec::new),
            doubtful: late,
            pipelines: false,
            asked: 0,
            heard: 0,
            skipped: 0,
        }
    }

    // What ends.

    fn finish(&mut self, pending: Pending<Question>, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        let (user, database) = (self.user.clone(), self.database.clone());
        pending.finish(ending, at, signals, |question| question.into_payload(ending, user, database));
    }

    fn finish_all(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        while let Some(pending) = self.flight.pop() {
            let subject = pending.asked.subject.clone();
            self.finish(pending, ending, at, signals);
            if ending == Ending::Lost {
                self.note_unknown(&subject);
            }
        }
    }

    fn end(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        self.finish_all(ending, at, signals);
        self.skipped += self.early.len() as u64;
        report_skipped(&mut self.skipped, signals);
        *self = Session { phase: Phase::Over, ..Session::new(Join::Start) };
    }

    fn depart(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Lost, at, signals);
        signals.push(Signal::Opaque);
    }

    /// It is no longer known which answer belongs to which command: wait for the client to speak to an idle server.
    fn lose_server(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.finish_all(Ending::Lost, at, signals);
        self.skipped += std::mem::take(&mut self.early).len() as u64;
        self.server_lost = Some(Vec::new());
        self.server = Framer::default();
        (self.doubtful, self.phase) = (true, Phase::Session);
    }

    fn lose_client(&mut self) {
        self.client = Framer::default();
        self.client_lost = true;
        self.doubtful = true;
        // Another user or database may have been chosen, statements closed and others prepared.
        (self.user, self.database) = (None, None);
        self.statements.clear();
        self.last_prepared = None;
        if let Some(pending) = self.flight.front_mut() {
            pending.asked.takes_file = false;
            pending.asked.expected = None;
        }
    }

    fn lose_both(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.lose_server(at, signals);
        self.lose_client();
    }

    // The client's side.

    fn feed_client(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        if self.phase == Phase::Greeting && judge_sealed(bytes) == Verdict::Yes {
            // What the server can do was said before; the client asks for nothing that it cannot.
            (self.capabilities, self.phase) = (u64::MAX, Phase::Response);
        }
        if self.phase == Phase::Greeting {
            // The greeting comes first.
            self.lose_both(at, signals);
        }
        if self.client_lost && !self.may_resume(input, at) {
            self.skipped += bytes.len() as u64;
            return;
        }
        self.read_client(&mut input, at, signals);
        self.release_early(at, signals);
    }

    /// The client begins to speak with a command, and nothing else is under way: its place is known again.
    fn may_resume(&mut self, bytes: &[u8], at: Stamp) -> bool {
        let quiet = at.time.saturating_sub(self.heard) >= QUIET_NANOS;
        let idle = self.flight.is_empty() && self.early.is_empty() && self.server.at_boundary();
        let resumes = idle && (quiet || !self.pipelines) && weigh_client(bytes) != Evidence::Against;
        self.client_lost = !resumes;
        resumes
    }

    fn read_client(&mut self, input: &mut &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut client = std::mem::take(&mut self.client);
        while let Some(packet) = client.step(input, at) {
            match self.phase {
                Phase::Response => self.respond(&packet, at, signals),
                Phase::Session => self.ask(&packet, at, signals),
                Phase::Greeting | Phase::Over => return,
            }
            if self.client_lost {
                self.skipped += input.len() as u64;
                return;
            }
        }
        self.client = client;
    }

    fn respond(&mut self, packet: &Packet<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(response) = read_response(packet.body) else { return self.depart(at, signals) };
        if response.encrypts {
            return self.depart(at, signals);
        }
        self.capabilities &= response.capabilities;
        self.attributes = Some(self.capabilities & capability::QUERY_ATTRIBUTES != 0);
        self.classic = Some(self.capabilities & capability::DEPRECATE_EOF == 0);
        (self.user, self.database) = (response.user, response.database);
        self.phase = Phase::Session;
        self.await_answer(packet, Expects::Welcome, Some(SqlOperation::Connect), Subject::Nothing, at, signals);
    }

    fn ask(&mut self, packet: &Packet<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        if self.continues(packet) {
            return;
        }
        if self.is_compressed() {
            return self.depart(at, signals);
        }
        let command = if packet.sequence == 0 { read(packet, self.attributes) } else { None };
        if command.is_none() {
            return self.lose_client();
        }
        self.note_pipelining(at, signals);
        match command {
            Some(Command::Asks { expects, operation, subject }) => {
                self.await_answer(packet, expects, operation, subject, at, signals);
            }
            Some(Command::Closes(id)) => self.statements.remove(&id.to_le_bytes()),
            Some(Command::Resets) => {
                self.statements.clear();
                self.await_answer(packet, Expects::Ok, None, Subject::Nothing, at, signals);
            }
            Some(Command::Departs) => self.depart(at, signals),
            Some(Command::Silent) | None => {}
        }
    }

    /// The packet is part of the command that is being answered: of a file, or of authentication.
    fn continues(&mut self, packet: &Packet<'_>) -> bool {
        let Some(pending) = self.flight.front_mut() else { return false };
        let question = &mut pending.asked;
        let authenticates = question.answer.expects() == Expects::Welcome && packet.sequence != 0;
        if !question.takes_file && !authenticates {
            return false;
        }
        question.takes_file &= packet.length > 0;
        question.expected = Some(packet.next);
        true
    }

    /// A second command in flight makes the idle moment by which the place was found worthless.
    fn note_pipelining(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        let later = std::mem::replace(&mut self.asked, at.time) != at.time;
        let full = self.flight.len() >= AWAITED || self.flight.bytes() >= TEXT_BYTES;
        if full || (self.doubtful && later && !self.flight.is_empty() && self.server_lost.is_none()) {
            self.pipelines = true;
            self.lose_server(at, signals);
        } else if self.server_lost.is_some() {
            // What was asked before is answered, or its answer cannot be told.
            self.finish_all(Ending::Lost, at, signals);
            self.server_lost = None;
            self.server = Framer::default();
            report_skipped(&mut self.skipped, signals);
            self.doubtful = true;
        }
    }

    fn await_answer(
        &mut self,
        packet: &Packet<'_>,
        expects: Expects,
        operation: Option<SqlOperation>,
        subject: Subject,
        at: Stamp,
        signals: &mut Vec<Signal>,
    ) {
        let statement = match &subject {
            Subject::Text(statement) => statement.clone(),
            Subject::Prepared(LAST_PREPARED) => self.last_prepared.clone(),
            Subject::Prepared(id) => self.statements.get(&id.to_le_bytes()),
            _ => None,
        };
        if operation == Some(SqlOperation::Prepare) {
            self.last_prepared.clone_from(&statement);
        }
        if let Subject::Session { .. } = subject {
            self.statements.clear();
        }
        let bytes = statement.as_ref().map_or(0, |statement| statement.text.len());
        let expected = (expects != Expects::Welcome).then_some(packet.next);
        let answer = Answer::new(expects);
        let question = Question { operation, subject, statement, answer, expected, takes_file: false };
        match operation {
            Some(_) => self.flight.open(packet.began, at.time, bytes, question, signals),
            None => self.flight.open_silent(packet.began, question),
        }
    }

    // The server's side.

    fn feed_server(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        let mut server = std::mem::take(&mut self.server);
        self.heard = at.time;
        loop {
            if self.phase == Phase::Over {
                return;
            }
            if self.server_lost.is_some() {
                return self.look_for_end(input, at, signals);
            }
            if self.is_early(input) {
                if self.doubtful || !self.early.hold(input, at) {
                    self.skipped += input.len() as u64;
                    self.lose_server(at, signals);
                }
                break;
            }
            let Some(packet) = server.step(&mut input, at) else { break };
            match self.phase {
                Phase::Greeting => self.greet(&packet, at, signals),
                _ => self.answer(&packet, !input.is_empty(), at, signals),
            }
        }
        if self.server_lost.is_none() {
            self.server = server;
        }
    }

    fn greet(&mut self, packet: &Packet<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        match server_capabilities(packet.body) {
            Some(capabilities) => (self.capabilities, self.phase) = (capabilities, Phase::Response),
            None => self.depart(at, signals),
        }
    }

    fn is_early(&self, input: &[u8]) -> bool {
        let unasked = self.flight.front().is_none_or(|pending| pending.asked.takes_file);
        !input.is_empty() && self.phase != Phase::Greeting && (unasked || !self.early.is_empty())
    }

    /// Hands on answers that were held, once there is a question.
    fn release_early(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        let waits = self.flight.front().is_none_or(|pending| pending.asked.takes_file);
        if self.early.is_empty() || waits || self.phase == Phase::Over {
            return;
        }
        let early = std::mem::take(&mut self.early);
        if early.is_stale(at) {
            self.skipped += early.len() as u64;
            return report_skipped(&mut self.skipped, signals);
        }
        for (piece, stamp) in early.pieces() {
            self.feed_server(piece, stamp, signals);
        }
    }

    fn answer(&mut self, packet: &Packet<'_>, followed: bool, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(pending) = self.flight.front_mut() else { return };
        let question = &mut pending.asked;
        if question.expected.is_some_and(|expected| expected != packet.sequence) {
            return self.lose_server(at, signals);
        }
        pending.response_start.get_or_insert(packet.began.time);
        question.expected = question.expected.map(|_| packet.next);
        match question.answer.take(packet, &mut self.classic, followed) {
            Progress::Continues => {}
            Progress::AsksForFile => question.takes_file = true,
            Progress::Over => self.answered(at, signals),
            Progress::Foreign => self.lose_server(at, signals),
        }
    }

    /// The first command is answered. What it changes of the session counts from the next one on.
    fn answered(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(pending) = self.flight.pop() else { return };
        let question = &pending.asked;
        let (expects, statement) = (question.answer.expects(), question.statement.clone());
        let (failed, prepared) = (question.answer.error.is_some(), question.answer.prepared);
        let subject = question.subject.clone();
        self.finish(pending, Ending::Complete, at, signals);
        if let (Some(id), Some(statement)) = (prepared, &statement) {
            self.statements.insert(&id.to_le_bytes(), statement.clone());
        }
        match subject {
            Subject::Database(database) if !failed => self.database = database,
            Subject::Session { user, database } if !failed => (self.user, self.database) = (user, database),
            Subject::Text(_) if expects == Expects::Results => match statement {
                Some(statement) => self.note_use(&statement.text, failed),
                None => self.database = None,
            },
            _ => {}
        }
        self.doubtful &= !self.flight.is_empty();
        if expects == Expects::Welcome && !failed && self.is_compressed() {
            self.depart(at, signals);
        }
    }

    /// From the end of authentication on all is compressed.
    fn is_compressed(&self) -> bool {
        self.capabilities & (capability::COMPRESS | capability::ZSTD_COMPRESSION) != 0
    }

    /// `USE` changes the session's database; among other statements it may have.
    fn note_use(&mut self, text: &str, failed: bool) {
        match database_after(text) {
            Some(None) => self.database = None,
            Some(name) if !failed => self.database = name,
            Some(Some(_)) | None => {}
        }
    }

    /// Whether a command succeeded is not known, nor is what it changes.
    fn note_unknown(&mut self, subject: &Subject) {
        match subject {
            Subject::Text(Some(statement)) if database_after(&statement.text).is_none() => {}
            Subject::Nothing | Subject::Prepared(_) => {}
            Subject::Database(_) | Subject::Text(_) => self.database = None,
            Subject::Session { .. } => (self.user, self.database) = (None, None),
        }
    }

    /// The place is lost. If one answer with rows is due, its end may still be recognised.
    fn look_for_end(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        self.skipped += bytes.len() as u64;
        let Some(tail) = &mut self.server_lost else { return };
        tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        let ended = end_at(tail).is_some_and(|end| !end.has_more());
        let rows =
            |pending: &Pending<Question>| matches!(pending.asked.answer.expects(), Expects::Results | Expects::Rows);
        if ended && self.flight.len() == 1 && self.flight.front().is_some_and(rows) {
            if let Some(pending) = self.flight.front_mut() {
                pending.asked.answer.affected = None;
            }
            self.server_lost = None;
            report_skipped(&mut self.skipped, signals);
            self.answered(at, signals);
        }
    }

    // Gaps.

    fn gap_client(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        match self.phase {
            Phase::Greeting | Phase::Response => self.lose_both(at, signals),
            _ if self.client_lost => {}
            _ if self.client.skip(length) => {
                self.read_client(&mut [].as_slice(), at, signals);
                self.release_early(at, signals);
            }
            _ => self.lose_client(),
        }
        if self.client_lost && self.server_lost.is_some() {
            // The end that comes may be that of an answer to what was not seen.
            self.finish_all(Ending::Lost, at, signals);
        }
    }

    fn gap_server(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.phase == Phase::Greeting || self.phase == Phase::Response {
            return self.lose_both(at, signals);
        }
        if let Some(tail) = &mut self.server_lost {
            tail.clear();
        } else if self.early.is_empty() && self.server.skip(length) {
            self.feed_server(&[], at, signals);
        } else if self.early.is_empty() && self.flight.len() == 1 && !self.client_lost {
            // Of one answer the end may be recognised.
            self.server = Framer::default();
            self.server_lost = Some(Vec::new());
            self.doubtful = true;
        } else {
            self.lose_server(at, signals);
        }
    }
}

impl Conversation for Session {
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            _ if self.phase == Phase::Over || bytes.is_empty() => {}
            Side::Client => self.feed_client(bytes, at, signals),
            Side::Server => self.feed_server(bytes, at, signals),
        }
    }

    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            _ if self.phase == Phase::Over || length == 0 => {}
            Side::Client => self.gap_client(length, at, signals),
            Side::Server => self.gap_server(length, at, signals),
        }
    }

    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Aborted { by }, at, signals);
    }

    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Unfinished, at, signals);
    }
}
