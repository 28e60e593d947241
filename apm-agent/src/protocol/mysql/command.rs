//! What a client asks for.
//!
//! Source: MySQL internals manual, "Command Phase"; MariaDB knowledge base, "2 - Text protocol", "3 - Binary protocol".

use super::greeting::read_change_user;
use super::packet::Packet;
use super::value::{length, number, shown, take, text};
use crate::exchange::SqlOperation;
use crate::protocol::statement::Statement;

/// Answer that is due to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// Authentication, up to OK or an error.
    Welcome,
    /// OK or an error.
    Ok,
    /// Results, one or several.
    Results,
    /// A statement's number, its parameters and columns.
    Prepared,
    /// Rows of an open cursor.
    Rows,
    /// Definitions of columns.
    Definitions,
    /// One packet of text.
    Text,
}

/// What a command is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    Nothing,
    /// This text.
    Text(Option<Statement>),
    /// A prepared statement.
    Prepared(u32),
    /// The session's database.
    Database(Option<String>),
    /// The session's user and database.
    Session {
        user: Option<String>,
        database: Option<String>,
    },
}

/// A command that is to be followed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// It is answered. With an operation it is an exchange.
    Asks { expects: Expects, operation: Option<SqlOperation>, subject: Subject },
    /// A prepared statement is closed; no answer.
    Closes(u32),
    /// All prepared statements are gone. OK.
    Resets,
    /// No answer.
    Silent,
    /// From here on the server sends its log (replication), or something else that nobody follows.
    Departs,
}

/// Prepared statement "the last one that was prepared" (MariaDB).
pub(super) const LAST_PREPARED: u32 = u32::MAX;

/// Reads a command. `attributes`: texts have attributes in front; `None`: it is not known. `None`: it is no command.
pub(super) fn read(packet: &Packet<'_>, attributes: Option<bool>) -> Option<Command> {
    let (&code, body) = packet.body.split_first()?;
    if !is_plausible(code, packet) {
        return None;
    }
    let asks = |expects, operation, subject| Command::Asks { expects, operation, subject };
    let id = || number::<4>(&mut { body }).map(|id| id as u32);
    Some(match code {
        0x03 => asks(Expects::Results, Some(SqlOperation::Query), Subject::Text(query(body, packet, attributes))),
        0x16 => {
            let statement = Statement::of(body, packet.is_cut());
            asks(Expects::Prepared, Some(SqlOperation::Prepare), Subject::Text(Some(statement)))
        }
        0x17 | 0xfa => asks(Expects::Results, Some(SqlOperation::Query), Subject::Prepared(id()?)),
        0x1c => asks(Expects::Rows, Some(SqlOperation::Query), Subject::Prepared(id()?)),
        0x0e => asks(Expects::Ok, Some(SqlOperation::Ping), Subject::Nothing),
        0x11 => {
            let (user, database) = read_change_user(body).unwrap_or_default();
            asks(Expects::Welcome, Some(SqlOperation::Connect), Subject::Session { user, database })
        }
        0x02 => asks(Expects::Ok, None, Subject::Database(shown(body))),
        0x04 => asks(Expects::Definitions, None, Subject::Nothing),
        0x09 => asks(Expects::Text, None, Subject::Nothing),
        0x0a => asks(Expects::Results, None, Subject::Nothing),
        0x05..=0x08 | 0x0c | 0x0d | 0x1a | 0x1b => asks(Expects::Ok, None, Subject::Nothing),
        0x19 => Command::Closes(id()?),
        0x1f => Command::Resets,
        0x01 | 0x18 => Command::Silent,
        _ => Command::Departs,
    })
}

/// The command exists, and has a length that it can have.
pub(super) fn is_plausible(code: u8, packet: &Packet<'_>) -> bool {
    match code {
        // COM_QUIT, COM_STATISTICS, COM_PROCESS_INFO, COM_DEBUG, COM_PING, COM_RESET_CONNECTION.
        0x01 | 0x09 | 0x0a | 0x0d | 0x0e | 0x1f => packet.length == 1,
        // COM_INIT_DB, COM_QUERY, COM_FIELD_LIST, COM_CREATE_DB, COM_DROP_DB, COM_STMT_PREPARE.
        0x02..=0x06 | 0x16 => packet.length > 1,
        // COM_REFRESH, COM_SHUTDOWN.
        0x07 | 0x08 => packet.length <= 2,
        // COM_PROCESS_KILL, COM_STMT_CLOSE, COM_STMT_RESET.
        0x0c | 0x19 | 0x1a => packet.length == 5,
        // COM_CHANGE_USER.
        0x11 => packet.length >= 4,
        // COM_STMT_EXECUTE: its iterations are always one. They may not have come yet.
        0x17 => packet.length >= 10 && packet.body.get(6..10).is_none_or(|iterations| iterations == [1, 0, 0, 0]),
        // COM_STMT_BULK_EXECUTE.
        0xfa => packet.length >= 7,
        // COM_STMT_SEND_LONG_DATA.
        0x18 => packet.length >= 7,
        // COM_SET_OPTION.
        0x1b => packet.length == 3,
        // COM_STMT_FETCH.
        0x1c => packet.length == 9,
        // COM_BINLOG_DUMP, COM_REGISTER_SLAVE, COM_BINLOG_DUMP_GTID, COM_CLONE, COM_SUBSCRIBE_GROUP_REPLICATION_STREAM.
        0x12 | 0x15 | 0x1e | 0x20 | 0x21 => true,
        _ => false,
    }
}

/// The text of COM_QUERY.
fn query(body: &[u8], packet: &Packet<'_>, attributes: Option<bool>) -> Option<Statement> {
    // No text begins with these bytes; with parameters it is not told apart.
    let begins = attributes.unwrap_or_else(|| body.starts_with(b"\0\x01"));
    let text = if begins { after_attributes(body)? } else { body };
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    Some(Statement::of(text, packet.is_cut()))
}

/// What follows the attributes of a query ("COM_QUERY" with CLIENT_QUERY_ATTRIBUTES).
fn after_attributes(body: &[u8]) -> Option<&[u8]> {
    let mut input = body;
    let count = length(&mut input)?;
    // Sets of them: always one.
    length(&mut input)?;
    if count == 0 {
        return Some(input);
    }
    let nulls = take(&mut input, count.div_ceil(8))?;
    if number::<1>(&mut input)? != 1 {
        return None;
    }
    let types = (0..count)
        .map_while(|_| {
            let kind = number::<2>(&mut input)?;
            text(&mut input)?;
            Some(kind as u8)
        })
        .collect::<Vec<_>>();
    for (index, kind) in types.iter().enumerate() {
        let null = nulls.get(index / 8).is_some_and(|bits| bits >> (index % 8) & 1 != 0);
        if !null {
            pass_value(*kind, &mut input)?;
        }
    }
    (types.len() as u64 == count).then_some(input)
}

/// A value in the binary protocol.
fn pass_value(kind: u8, input: &mut &[u8]) -> Option<()> {
    let size = match kind {
        0x01 => 1,
        0x02 | 0x0d => 2,
        0x03 | 0x04 | 0x09 => 4,
        0x05 | 0x08 => 8,
        0x06 => 0,
        // Texts and times have their length in front.
        _ => length(input)?,
    };
    take(input, size).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Packet<'_> {
        Packet { sequence: 0, next: 1, body, length: body.len() as u64, began: Default::default() }
    }

    fn text_of(body: &[u8], attributes: Option<bool>) -> Option<String> {
        match read(&packet(body), attributes) {
            Some(Command::Asks { subject: Subject::Text(statement), .. }) => Some(statement?.text.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_texts_with_and_without_attributes() {
        assert_eq!(text_of(b"\x03SELECT 1", Some(false)).as_deref(), Some("SELECT 1"));
        assert_eq!(text_of(b"\x03SELECT 1", None).as_deref(), Some("SELECT 1"));
        assert_eq!(text_of(b"\x03\0\x01SELECT 1", Some(true)).as_deref(), Some("SELECT 1"));
        assert_eq!(text_of(b"\x03\0\x01SELECT 1", None).as_deref(), Some("SELECT 1"));
        let parameters = b"\x03\x03\x01\x02\x01\xfe\0\x01a\x03\0\x01b\x08\0\x01c\x02hi\x01\0\0\0\0\0\0\0SELECT 1";
        assert_eq!(text_of(parameters, Some(true)).as_deref(), Some("SELECT 1"));
        assert_eq!(text_of(b"\x03\x03\x01\x02\x01\xfe", Some(true)), None);
    }

    #[test]
    fn knows_what_is_answered() {
        assert_eq!(read(&packet(b"\x19\x07\0\0\0"), None), Some(Command::Closes(7)));
        assert_eq!(read(&packet(b"\x01"), None), Some(Command::Silent));
        assert_eq!(read(&packet(b"\x1f"), None), Some(Command::Resets));
        assert_eq!(read(&packet(b"\x12abc"), None), Some(Command::Departs));
        let execute = read(&packet(b"\x17\x07\0\0\0\0\x01\0\0\0"), None);
        let Some(Command::Asks { expects: Expects::Results, subject, .. }) = execute else { panic!("{execute:?}") };
        assert_eq!(subject, Subject::Prepared(7));
        for wrong in [&b"\x17\x07\0\0\0\0\x02\0\0\0"[..], b"\x03", b"\x0e\0", b"\x00", b"\x55abc", b""] {
            assert_eq!(read(&packet(wrong), None), None, "{wrong:?}");
        }
    }
}
