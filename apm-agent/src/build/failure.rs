//! Failed connection attempts and errors of databases become error events.

use super::{EpochMicros, ErrorEvent, ErrorPlace, destination::Endpoint};
use crate::{
    correlate::TraceId,
    exchange::{Sql, SqlError},
};

/// Names of the errors connect(2) gives, by Linux's number on x86-64 and arm64 (`asm-generic/errno.h`).
const NAMES: &[(u32, &str)] = &[
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (11, "EAGAIN"),
    (13, "EACCES"),
    (22, "EINVAL"),
    (24, "EMFILE"),
    (32, "EPIPE"),
    (91, "EPROTOTYPE"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (102, "ENETRESET"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
];

/// Name of an errno, `errno 71` for one that connect(2) does not give.
pub fn errno_name(errno: u32) -> String {
    match NAMES.iter().find(|(number, _)| *number == errno) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("errno {errno}"),
    }
}

/// An attempt to connect that failed: `connect ECONNREFUSED 127.0.0.1:5432`, as libuv words it.
pub fn of_connection(
    errno: u32,
    to: &Endpoint,
    id: TraceId,
    time: EpochMicros,
    within: Option<ErrorPlace>,
) -> ErrorEvent {
    let name = errno_name(errno);
    let message = format!("connect {name} {to}").trim_end().to_owned();
    ErrorEvent { id, time, within, culprit: None, kind: name.clone(), message, code: Some(name), handled: true }
}

/// An error a database answered; `None` when the round trip had none. The class is the product and the severity, so
/// that errors group by what they are; the code is the SQLSTATE.
pub fn of_sql(sql: &Sql, id: TraceId, time: EpochMicros, within: Option<ErrorPlace>) -> Option<ErrorEvent> {
    let SqlError { code, message, severity } = sql.error.as_ref()?;
    Some(ErrorEvent {
        id,
        time,
        within,
        culprit: None,
        kind: format!("{} {severity}", sql.system).trim_end().to_owned(),
        message: message.clone(),
        code: Some(code.clone()).filter(|code| !code.is_empty()),
        handled: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::sample;

    #[test]
    fn words_failed_connections() {
        let error = |errno, to: Endpoint| of_connection(errno, &to, TraceId(1), 2, None);
        let refused = error(111, Endpoint::Ip("127.0.0.1:5432".parse().unwrap()));
        assert_eq!(refused.message, "connect ECONNREFUSED 127.0.0.1:5432");
        assert_eq!((refused.kind.as_str(), refused.code.as_deref()), ("ECONNREFUSED", Some("ECONNREFUSED")));
        assert_eq!(error(2, Endpoint::Unix("/run/x".into())).message, "connect ENOENT /run/x");
        assert_eq!(error(71, Endpoint::Unknown).message, "connect errno 71");
    }

    #[test]
    fn knows_the_numbers_of_this_system() {
        for (number, name) in
            [(libc::ECONNREFUSED, "ECONNREFUSED"), (libc::ETIMEDOUT, "ETIMEDOUT"), (libc::EAGAIN, "EAGAIN")]
        {
            assert_eq!(errno_name(number as u32), name);
        }
    }

    #[test]
    fn words_database_errors() {
        let mut sql = sample::sql("SELECT 1");
        assert_eq!(of_sql(&sql, TraceId(1), 2, None), None);
        sql.error = Some(SqlError { code: "42P01".into(), message: "no such table".into(), severity: "ERROR".into() });
        let error = of_sql(&sql, TraceId(1), 2, sample::error().within).unwrap();
        assert_eq!((error.kind.as_str(), error.code.as_deref()), ("postgresql ERROR", Some("42P01")));
        assert_eq!(error.message, "no such table");
        assert!(error.within.is_some());
    }
}
