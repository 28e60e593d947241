//! How a session begins: the server greets, the client answers, and authentication follows.
//!
//! Source: MySQL internals manual, "Protocol::HandshakeV10", "Protocol::HandshakeResponse41"; MariaDB knowledge base,
//! "Connecting".

use super::value::{length, number, shown, take, text_to_nul};

/// What both sides must be able to do for it to count ("Capability Flags").
pub(super) mod capability {
    pub(in super::super) const CONNECT_WITH_DB: u64 = 1 << 3;
    pub(in super::super) const COMPRESS: u64 = 1 << 5;
    pub(in super::super) const PROTOCOL_41: u64 = 1 << 9;
    pub(in super::super) const SSL: u64 = 1 << 11;
    pub(in super::super) const SECURE_CONNECTION: u64 = 1 << 15;
    pub(in super::super) const PLUGIN_AUTH_LENENC: u64 = 1 << 21;
    pub(in super::super) const DEPRECATE_EOF: u64 = 1 << 24;
    pub(in super::super) const ZSTD_COMPRESSION: u64 = 1 << 26;
    pub(in super::super) const QUERY_ATTRIBUTES: u64 = 1 << 27;
}

/// The version of the protocol.
pub(super) const VERSION: u8 = 10;
/// Longest version a server is believed to have.
pub(super) const VERSION_BYTES: usize = 80;

/// What the server can do, from its greeting. `None`: it is none.
pub(super) fn server_capabilities(body: &[u8]) -> Option<u64> {
    let mut input = body;
    if number::<1>(&mut input)? != u64::from(VERSION) || text_to_nul(&mut input)?.len() > VERSION_BYTES {
        return None;
    }
    // Thread and scramble, a NUL.
    take(&mut input, 4 + 8 + 1)?;
    let low = number::<2>(&mut input)?;
    // Character set and status.
    take(&mut input, 1 + 2);
    Some(number::<2>(&mut input).unwrap_or(0) << 16 | low)
}

/// The client's answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Response {
    /// What it can do.
    pub(super) capabilities: u64,
    /// It asks for TLS, and says all else in there.
    pub(super) encrypts: bool,
    pub(super) user: Option<String>,
    pub(super) database: Option<String>,
}

/// `None`: it is none of protocol 4.1.
pub(super) fn read_response(body: &[u8]) -> Option<Response> {
    let mut input = body;
    let capabilities = number::<4>(&mut input)?;
    if capabilities & capability::PROTOCOL_41 == 0 {
        return None;
    }
    // Longest packet, character set, reserve.
    take(&mut input, 4 + 1 + 23)?;
    let mut response = Response { capabilities, ..Response::default() };
    if input.is_empty() {
        response.encrypts = capabilities & capability::SSL != 0;
        return response.encrypts.then_some(response);
    }
    response.user = shown(text_to_nul(&mut input)?);
    // What follows is not needed to go on.
    response.database = read_database(input, capabilities);
    Some(response)
}

/// After the answer to the scramble, which is passed over.
fn read_database(mut input: &[u8], capabilities: u64) -> Option<String> {
    if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
        let count = length(&mut input)?;
        take(&mut input, count)?;
    } else if capabilities & capability::SECURE_CONNECTION != 0 {
        let count = number::<1>(&mut input)?;
        take(&mut input, count)?;
    } else {
        text_to_nul(&mut input)?;
    }
    if capabilities & capability::CONNECT_WITH_DB == 0 {
        return None;
    }
    shown(text_to_nul(&mut input).unwrap_or(input))
}

/// User and database of COM_CHANGE_USER, after its command byte.
pub(super) fn read_change_user(body: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let mut input = body;
    let user = shown(text_to_nul(&mut input)?);
    let count = number::<1>(&mut input)?;
    take(&mut input, count)?;
    Some((user, shown(text_to_nul(&mut input).unwrap_or(input))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_greetings() {
        let body = b"\x0a8.0.35\0\x01\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\xdf\x15";
        assert_eq!(server_capabilities(body), Some(0xdfff_ffff));
        for wrong in [&b"\x098.0\0"[..], b"\x0a8.0", b"", &[b"\x0a", &[b'1'; 100][..], &[0; 40]].concat()] {
            assert_eq!(server_capabilities(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn reads_responses() {
        let begin = |capabilities: u64| [&(capabilities as u32).to_le_bytes()[..], &[0; 28]].concat();
        use capability::*;
        let tls = read_response(&begin(PROTOCOL_41 | SSL)).expect("a response");
        assert!(tls.encrypts && tls.user.is_none());
        let capabilities = PROTOCOL_41 | CONNECT_WITH_DB;
        for (extra, auth) in [(PLUGIN_AUTH_LENENC, &b"\x03abc"[..]), (SECURE_CONNECTION, b"\x03abc"), (0, b"abc\0")] {
            let bytes = [&begin(capabilities | extra), &b"ann\0"[..], auth, b"shop\0"].concat();
            let response = read_response(&bytes).expect("a response");
            assert_eq!((response.user.as_deref(), response.database.as_deref()), (Some("ann"), Some("shop")));
        }
        assert_eq!(read_response(&begin(PROTOCOL_41)), None, "no user");
        assert_eq!(read_response(&begin(0)), None, "before 4.1");
        assert_eq!(read_response(b"\0\0"), None);
    }

    #[test]
    fn reads_a_change_of_user() {
        let read = read_change_user(b"bob\0\x02xyother\0rest");
        assert_eq!(read, Some((Some("bob".into()), Some("other".into()))));
        assert_eq!(read_change_user(b"bob\0\x00\0"), Some((Some("bob".into()), None)));
        assert_eq!(read_change_user(b"bob"), None);
    }
}
