//! The server's answer to a command, packet by packet.
//!
//! Whether an EOF packet stands between definitions and rows is told by the packets themselves, so that a session that was
//! joined late is followed, too.

use super::command::Expects;
use super::packet::Packet;
use super::reply::{END, ERROR, LOCAL_INFILE, OK, read_end, read_error, read_ok};
use super::value::{length, number};
use crate::exchange::SqlError;

/// What each definition of a column begins with: the catalogue, always `def` ("Column Definition Packet").
const DEFINITION: &[u8] = b"\x03def";

/// Where an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    First,
    /// Definitions of a result's columns still to come.
    Columns(u64),
    /// All definitions have come.
    Defined,
    Rows,
    /// Definitions still to come of a prepared statement, and those after them.
    Preparing {
        left: u64,
        then: u64,
    },
    /// The EOF packet after such definitions is due, or there is none.
    Prepared {
        then: u64,
    },
}

/// What a packet means for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Continues,
    /// The client is to send a file first.
    AsksForFile,
    /// It is complete.
    Over,
    /// It cannot be part of it.
    Foreign,
}

/// An answer, as far as it has come.
#[derive(Debug)]
pub(super) struct Answer {
    expects: Expects,
    stage: Stage,
    /// Rows changed, summed over results; `None`: no result was of that kind.
    pub(super) affected: Option<u64>,
    pub(super) error: Option<SqlError>,
    /// Number of the statement it prepared.
    pub(super) prepared: Option<u32>,
}

impl Answer {
    pub(super) fn new(expects: Expects) -> Self {
        let stage = if expects == Expects::Rows { Stage::Rows } else { Stage::First };
        Answer { expects, stage, affected: None, error: None, prepared: None }
    }

    /// The answer to this kind of command.
    pub(super) fn expects(&self) -> Expects {
        self.expects
    }

    /// Takes the next packet. `classic`: the session has EOF packets, if that is known; `followed`: bytes have come
    /// after this packet.
    pub(super) fn take(&mut self, packet: &Packet<'_>, classic: &mut Option<bool>, followed: bool) -> Progress {
        if let Some(error) = read_error(packet) {
            return self.fail(error);
        }
        match self.stage {
            Stage::First => self.begin(packet),
            Stage::Columns(left) => self.define(packet, left),
            Stage::Defined => match read_end(packet) {
                Some(end) if end.classic => {
                    *classic = Some(true);
                    self.stage = Stage::Rows;
                    if end.opens_cursor() { self.end(end.has_more()) } else { Progress::Continues }
                }
                _ => {
                    *classic = Some(false);
                    self.stage = Stage::Rows;
                    self.row(packet)
                }
            },
            Stage::Rows => self.row(packet),
            Stage::Preparing { left, then } => self.describe(packet, left, then, *classic, followed),
            Stage::Prepared { then } => self.settle(packet, then, classic, followed),
        }
    }

    fn fail(&mut self, error: Option<SqlError>) -> Progress {
        let Some(error) = error else { return Progress::Continues };
        self.error = Some(error);
        Progress::Over
    }

    fn end(&mut self, more: bool) -> Progress {
        match more {
            true => {
                self.stage = Stage::First;
                Progress::Continues
            }
            false => Progress::Over,
        }
    }

    fn begin(&mut self, packet: &Packet<'_>) -> Progress {
        match (self.expects, packet.kind()) {
            (Expects::Text, _) => Progress::Over,
            (Expects::Welcome, Some(OK)) | (Expects::Ok, Some(OK | END)) => Progress::Over,
            // Another method, or more data for this one.
            (Expects::Welcome, Some(END | 0x01)) => Progress::Continues,
            (Expects::Prepared, Some(OK)) => self.prepare(packet),
            (Expects::Definitions, _) => match read_end(packet) {
                Some(_) => Progress::Over,
                None if packet.body.starts_with(DEFINITION) => Progress::Continues,
                None => Progress::Foreign,
            },
            (Expects::Results, Some(OK)) => match read_ok(packet) {
                Some(ok) => {
                    self.affected = Some(self.affected.unwrap_or(0).saturating_add(ok.affected));
                    self.end(ok.has_more())
                }
                None => Progress::Foreign,
            },
            (Expects::Results, Some(LOCAL_INFILE)) => Progress::AsksForFile,
            (Expects::Results, Some(0x01..)) => self.begin_rows(packet),
            _ => Progress::Foreign,
        }
    }

    /// The number of columns, and whether their definitions follow: MariaDB says so behind the number, MySQL before it.
    fn begin_rows(&mut self, packet: &Packet<'_>) -> Progress {
        let mut input = packet.body;
        let (defined, columns) = match (length(&mut input), input) {
            (Some(columns), []) => (true, columns),
            (Some(columns), [flag @ 0..=1]) => (*flag == 1, columns),
            (Some(1), mut rest) => match length(&mut rest) {
                Some(columns) if rest.is_empty() => (true, columns),
                _ => return Progress::Foreign,
            },
            _ => return Progress::Foreign,
        };
        if columns == 0 || packet.is_cut() {
            return Progress::Foreign;
        }
        self.stage = if defined { Stage::Columns(columns) } else { Stage::Defined };
        Progress::Continues
    }

    fn define(&mut self, packet: &Packet<'_>, left: u64) -> Progress {
        if !packet.body.starts_with(DEFINITION) {
            return Progress::Foreign;
        }
        self.stage = if left > 1 { Stage::Columns(left - 1) } else { Stage::Defined };
        Progress::Continues
    }

    fn row(&mut self, packet: &Packet<'_>) -> Progress {
        match read_end(packet) {
            Some(end) => self.end(end.has_more()),
            None => Progress::Continues,
        }
    }

    /// "COM_STMT_PREPARE_OK": number, columns, parameters.
    fn prepare(&mut self, packet: &Packet<'_>) -> Progress {
        let mut input = packet.body.get(1..).unwrap_or_default();
        let numbers = number::<4>(&mut input).zip(number::<2>(&mut input)).zip(number::<2>(&mut input));
        let Some(((id, columns), parameters)) = numbers.filter(|_| (12..=13).contains(&packet.length)) else {
            return Progress::Foreign;
        };
        self.prepared = Some(id as u32);
        let (left, then) = if parameters > 0 { (parameters, columns) } else { (columns, 0) };
        if left == 0 || packet.body.get(12) == Some(&0) {
            return Progress::Over;
        }
        self.stage = Stage::Preparing { left, then };
        Progress::Continues
    }

    fn describe(
        &mut self,
        packet: &Packet<'_>,
        left: u64,
        then: u64,
        classic: Option<bool>,
        followed: bool,
    ) -> Progress {
        if !packet.body.starts_with(DEFINITION) {
            return Progress::Foreign;
        }
        if left > 1 {
            self.stage = Stage::Preparing { left: left - 1, then };
            return Progress::Continues;
        }
        match (classic, then) {
            (Some(false), 0) => return Progress::Over,
            // Nobody knows, and nothing more has come.
            (None, 0) if !followed => return Progress::Over,
            (Some(false), _) => self.stage = Stage::Preparing { left: then, then: 0 },
            _ => self.stage = Stage::Prepared { then },
        }
        Progress::Continues
    }

    fn settle(&mut self, packet: &Packet<'_>, then: u64, classic: &mut Option<bool>, followed: bool) -> Progress {
        if read_end(packet).is_some_and(|end| end.classic) {
            *classic = Some(true);
            self.stage = Stage::Preparing { left: then, then: 0 };
            return if then == 0 { Progress::Over } else { Progress::Continues };
        }
        *classic = Some(false);
        self.describe(packet, then, 0, *classic, followed)
    }
}

/// A server's error, as it begins an answer.
pub(super) fn is_error(packet: &Packet<'_>) -> bool {
    packet.kind() == Some(ERROR) && packet.body.get(3) == Some(&b'#')
}

/// A definition of a column.
pub(super) fn is_definition(packet: &Packet<'_>) -> bool {
    packet.body.starts_with(DEFINITION)
}
