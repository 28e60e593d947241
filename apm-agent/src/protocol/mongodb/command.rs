//! What a message asks, and what one answers.
//!
//! Source: MongoDB manual, "MongoDB Wire Protocol", "Database Commands"; MongoDB's specification "Command Logging and
//! Monitoring" (what drivers tell of).

use super::bson::{Fields, extended_json, int, text};
use super::message::{Message, operation};
use crate::exchange::SqlError;

/// Flags of OP_MSG.
const CHECKSUM: i32 = 1;
const MORE_TO_COME: i32 = 1 << 1;

/// What drivers say to begin, watch and end a session, and tell nobody of: it is followed, and is no exchange.
const SESSION: [&str; 9] =
    ["endSessions", "hello", "ismaster", "isMaster", "saslStart", "saslContinue", "authenticate", "getnonce", "logout"];

/// Commands whose first value is the name of a collection.
const ON_COLLECTION: [&str; 27] = [
    "aggregate",
    "collMod",
    "collStats",
    "compact",
    "convertToCapped",
    "count",
    "create",
    "createIndexes",
    "dataSize",
    "delete",
    "distinct",
    "drop",
    "dropIndexes",
    "dropSearchIndex",
    "createSearchIndexes",
    "find",
    "findAndModify",
    "findandmodify",
    "geoNear",
    "geoSearch",
    "insert",
    "killCursors",
    "listIndexes",
    "mapReduce",
    "reIndex",
    "update",
    "validate",
];

/// Commands whose text is told: the default of Elastic's `mongodb_capture_statement_commands`.
const TOLD: [&str; 5] = ["find", "aggregate", "count", "distinct", "mapReduce"];

/// A command.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// Its name; empty: compressed.
    pub(super) name: String,
    pub(super) database: Option<String>,
    pub(super) collection: Option<String>,
    /// Its text, and whether that is cut.
    pub(super) statement: Option<(String, bool)>,
    /// The server answers it.
    pub(super) answered: bool,
    /// It belongs to the session.
    pub(super) silent: bool,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answered {
    /// It worked, or not.
    Result(Option<SqlError>),
    /// It cannot be read.
    Unknown,
}

/// Reads a client's message. `None`: it makes no sense.
pub(super) fn read_request(message: &Message<'_>) -> Option<Asked> {
    match message.header.operation {
        operation::MSG => {
            let flags = int(&mut { message.body })?;
            let asked = read_command(document_of(message.body)?, None)?;
            Some(Asked { answered: flags & MORE_TO_COME == 0, ..asked })
        }
        operation::QUERY => {
            let mut input = message.body.get(4..)?;
            let name = String::from_utf8_lossy(text(&mut input)?).into_owned();
            let (database, collection) = name.split_once('.')?;
            let document = input.get(8..)?;
            if collection == "$cmd" {
                return read_command(document, Some(database));
            }
            let (database, collection) = (Some(database.to_owned()), Some(collection.to_owned()));
            Some(Asked { name: "find".to_owned(), database, collection, answered: true, ..Asked::default() })
        }
        operation::COMPRESSED => Some(Asked { answered: true, ..Asked::default() }),
        operation::GET_MORE => Some(Asked { answered: true, silent: true, ..Asked::default() }),
        _ => Some(Asked { silent: true, ..Asked::default() }),
    }
}

/// The first document of OP_MSG's sections.
fn document_of(body: &[u8]) -> Option<&[u8]> {
    let mut input = body.get(4..)?;
    loop {
        let (kind, rest) = input.split_first()?;
        match kind {
            0 => return Some(rest),
            1 => input = rest.get(usize::try_from(int(&mut { rest })?).ok()?.max(5)..)?,
            _ => return None,
        }
    }
}

fn read_command(document: &[u8], database: Option<&str>) -> Option<Asked> {
    let mut fields = Fields::of(document);
    let first = fields.next()?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if first.name.is_empty() || first.name.len() > 64 || !first.name.iter().all(plain) {
        return None;
    }
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = shown(first.name);
    let collection = first.string().filter(|_| ON_COLLECTION.contains(&name.as_str())).map(shown);
    let mut asked = Asked { database: database.map(str::to_owned), collection, answered: true, ..Asked::default() };
    for field in fields {
        match field.name {
            b"$db" => asked.database = field.string().map(shown),
            b"collection" if name == "getMore" => asked.collection = field.string().map(shown),
            _ => {}
        }
    }
    asked.silent = SESSION.contains(&name.as_str());
    if TOLD.contains(&name.as_str()) {
        let (text, whole) = extended_json(document);
        asked.statement = Some((text, !whole));
    }
    asked.name = name;
    Some(asked)
}

/// Reads a server's message. `None`: it makes no sense.
pub(super) fn read_answer(message: &Message<'_>) -> Option<Answered> {
    let document = match message.header.operation {
        operation::MSG => document_of(message.body)?,
        operation::REPLY => message.body.get(20..)?,
        operation::COMPRESSED => return Some(Answered::Unknown),
        _ => return None,
    };
    let mut error = SqlError { code: String::new(), message: String::new(), severity: String::new() };
    let (mut ok, mut number) = (None, None);
    for field in Fields::of(document) {
        let text = || String::from_utf8_lossy(field.string().unwrap_or_default()).into_owned();
        match field.name {
            b"ok" => ok = field.number(),
            b"errmsg" | b"$err" => error.message = text(),
            b"codeName" => error.code = text(),
            b"code" => number = field.number(),
            _ => {}
        }
    }
    let failed = ok.map_or(!error.message.is_empty(), |ok| ok == 0.0);
    if let Some(number) = number.filter(|_| error.code.is_empty()) {
        error.code = number.to_string();
    }
    // A long answer ends with `ok`, behind what was kept; errors are short.
    Some(Answered::Result(failed.then_some(error)))
}

/// OP_MSG with flags that exist, and a document.
pub(super) fn is_plausible(message: &Message<'_>) -> bool {
    let flags = int(&mut { message.body }).unwrap_or(0);
    let known = flags & 0xffff & !(CHECKSUM | MORE_TO_COME) == 0;
    match message.header.operation {
        operation::MSG => {
            known && document_of(message.body).is_some_and(|document| Fields::of(document).next().is_some())
        }
        _ => true,
    }
}
