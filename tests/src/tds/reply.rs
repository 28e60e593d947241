//! What the server answers: options of the login, then tokens ([MS-TDS] 2.2.7).

use super::request::{Kind, Request};

/// `Latin1_General_CI_AS` by its sort order, 52 (2.2.5.1.2): a client then needs no culture data.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

/// Any eight bytes name a transaction.
const TRANSACTION: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

/// Status bits of DONE, DONEINPROC and DONEPROC (2.2.7.6).
const DONE_MORE: u16 = 0x01;
const DONE_ERROR: u16 = 0x02;
const DONE_COUNT: u16 = 0x10;
const DONE_ATTENTION: u16 = 0x20;

/// Token types.
const RETURN_STATUS: u8 = 0x79;
const COLUMNS: u8 = 0x81;
const ERROR: u8 = 0xaa;
const LOGIN_ACKNOWLEDGED: u8 = 0xad;
const ROW: u8 = 0xd1;
const ENVIRONMENT: u8 = 0xe3;
const DONE: u8 = 0xfd;
const DONE_PROCEDURE: u8 = 0xfe;
const DONE_IN_PROCEDURE: u8 = 0xff;

/// Answer to PRELOGIN (2.2.6.5): version 15, no encryption, no multiple active result sets.
pub fn prelogin() -> Vec<u8> {
    const NO_ENCRYPTION: u8 = 2;
    let options: [(u8, &[u8]); 4] = [(0, &[15, 0, 0x07, 0xd0, 0, 0]), (1, &[NO_ENCRYPTION]), (2, &[0]), (4, &[0])];
    let mut offset = u16::try_from(options.len() * 5 + 1).unwrap_or_default();
    let (mut table, mut values) = (Vec::new(), Vec::new());
    for (option, value) in options {
        let length = u16::try_from(value.len()).unwrap_or_default();
        table.push(option);
        table.extend(offset.to_be_bytes());
        table.extend(length.to_be_bytes());
        values.extend(value);
        offset += length;
    }
    table.push(0xff);
    [table, values].concat()
}

/// Answer to LOGIN7: everybody may enter; TDS 7.4.
pub fn login() -> Vec<u8> {
    let mut body = vec![1, 0x74, 0, 0, 4];
    body.extend(short_text("Made for the test"));
    body.extend([15, 0, 0x07, 0xd0]);
    let mut reply = Reply::default();
    reply.environment(1, &short_text("shop"), &short_text("master"));
    reply.environment(7, &short_bytes(&COLLATION), &[0]);
    reply.sized(LOGIN_ACKNOWLEDGED, &body);
    reply.done(DONE, 0, 0);
    reply.0
}

/// Tokens, one after the other.
#[derive(Debug, Default)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// Says that the session is as new.
    pub fn reset_connection(&mut self) {
        self.environment(18, &[0], &[0]);
    }

    /// Answer to ATTENTION: nothing runs any more.
    pub fn attention(mut self) -> Vec<u8> {
        self.done(DONE, DONE_ATTENTION, 0);
        self.0
    }

    /// Answer to a request.
    pub fn answer(mut self, request: &Request) -> Vec<u8> {
        let word = request.text.split_whitespace().next().unwrap_or_default();
        if request.kind == Kind::Transaction {
            self.transaction(word);
        } else if request.text.contains("missing_table") {
            self.error("Invalid object name 'missing_table'.");
        } else if request.kind == Kind::Procedure || word.eq_ignore_ascii_case("SELECT") {
            self.row(&format!("item {}", request.number.unwrap_or_default()));
            self.end(request.kind, DONE_COUNT, 1);
        } else if ["INSERT", "UPDATE", "DELETE"].iter().any(|other| word.eq_ignore_ascii_case(other)) {
            self.end(request.kind, DONE_COUNT, 1);
        } else {
            self.end(request.kind, 0, 0);
        }
        self.0
    }

    fn transaction(&mut self, word: &str) {
        let name = short_bytes(&TRANSACTION);
        match word {
            "begin" => self.environment(8, &name, &[0]),
            "commit" => self.environment(9, &[0], &name),
            _ => self.environment(10, &[0], &name),
        }
        self.done(DONE, 0, 0);
    }

    /// One column, `name`, and one row.
    fn row(&mut self, value: &str) {
        const NVARCHAR: u8 = 0xe7;
        const LONGEST: [u8; 2] = 200_u16.to_le_bytes();
        const NULLABLE: [u8; 2] = 1_u16.to_le_bytes();
        self.0.push(COLUMNS);
        self.0.extend(1_u16.to_le_bytes());
        self.0.extend(0_u32.to_le_bytes());
        self.0.extend(NULLABLE);
        self.0.push(NVARCHAR);
        self.0.extend(LONGEST);
        self.0.extend(COLLATION);
        self.0.extend(short_text("name"));
        self.sized(ROW, &utf16(value));
    }

    /// Error 208, the one that an unknown table gives: severity 16, state 1, line 1.
    fn error(&mut self, message: &str) {
        let mut body = 208_i32.to_le_bytes().to_vec();
        body.extend([1, 16]);
        body.extend(u16::try_from(message.len()).unwrap_or_default().to_le_bytes());
        body.extend(utf16(message));
        body.extend(short_text("test"));
        body.extend(short_text(""));
        body.extend(1_u32.to_le_bytes());
        self.sized(ERROR, &body);
        self.done(DONE, DONE_ERROR, 0);
    }

    /// Ends a statement; one in a procedure ends with the procedure's status too.
    fn end(&mut self, kind: Kind, status: u16, rows: u64) {
        if kind == Kind::Batch {
            return self.done(DONE, status, rows);
        }
        self.done(DONE_IN_PROCEDURE, status | DONE_MORE, rows);
        self.0.push(RETURN_STATUS);
        self.0.extend(0_i32.to_le_bytes());
        self.done(DONE_PROCEDURE, 0, 0);
    }

    fn done(&mut self, token: u8, status: u16, rows: u64) {
        const COMMAND: [u8; 2] = [0, 0];
        self.0.push(token);
        self.0.extend(status.to_le_bytes());
        self.0.extend(COMMAND);
        self.0.extend(rows.to_le_bytes());
    }

    /// ENVCHANGE (2.2.7.9), both values with their lengths before them.
    fn environment(&mut self, kind: u8, new: &[u8], old: &[u8]) {
        self.sized(ENVIRONMENT, &[&[kind], new, old].concat());
    }

    fn sized(&mut self, token: u8, body: &[u8]) {
        self.0.push(token);
        self.0.extend(u16::try_from(body.len()).unwrap_or_default().to_le_bytes());
        self.0.extend(body);
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Text after its number of letters, in one byte.
fn short_text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or_default()];
    bytes.extend(utf16(text));
    bytes
}

/// Bytes after their number, in one byte.
fn short_bytes(value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(value.len()).unwrap_or_default()], value].concat()
}
