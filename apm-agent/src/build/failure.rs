//! Failed connection attempts, errors of databases and exceptions become error events.

use super::{EpochMicros, ErrorEvent, ErrorLog, ErrorPlace, destination::Endpoint};
use crate::{
    bridge::{Logged, Thrown},
    correlate::TraceId,
    exchange::SqlError,
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
    ErrorEvent { kind: name.clone(), message, code: Some(name), ..ErrorEvent::new(id, time, within) }
}

/// An error a database (`system`) answered. The class is the product and the severity, so that errors group by what they
/// are; the code is the SQLSTATE.
pub fn of_database(
    system: &str,
    error: &SqlError,
    id: TraceId,
    time: EpochMicros,
    within: Option<ErrorPlace>,
) -> ErrorEvent {
    let SqlError { code, message, severity } = error;
    ErrorEvent {
        kind: format!("{system} {severity}").trim_end().to_owned(),
        message: message.clone(),
        code: Some(code.clone()).filter(|code| !code.is_empty()),
        ..ErrorEvent::new(id, time, within)
    }
}

/// Culprit of an exception with no frame of the user's own, as Elastic's .NET agent has it.
const UNKNOWN_CULPRIT: &str = "ElasticApm.UnknownCulprit";

/// An exception. `limit`: most frames of each stack (`stack_trace_limit`). Where the run time names no culprit it is that
/// of Elastic's .NET agent: the class of the first frame, of all of them, that is not a library's.
pub fn of_exception(
    thrown: &Thrown,
    handled: bool,
    limit: usize,
    id: TraceId,
    time: EpochMicros,
    within: Option<ErrorPlace>,
) -> ErrorEvent {
    let own = thrown.frames.iter().find(|frame| !frame.library && frame.class.is_some());
    let by_class = || own.and_then(|frame| frame.class.as_deref()).unwrap_or(UNKNOWN_CULPRIT);
    let culprit = thrown.culprit.as_deref().unwrap_or_else(by_class);
    let culprit = Some(culprit.to_owned()).filter(|culprit| !culprit.is_empty());
    let Thrown { kind, message, code, module, frames, causes, .. } = limited(thrown, limit);
    ErrorEvent { culprit, kind, message, code, module, handled, frames, causes, ..ErrorEvent::new(id, time, within) }
}

/// What the program logged as an error.
pub fn of_log(logged: &Logged, limit: usize, id: TraceId, time: EpochMicros) -> ErrorEvent {
    let log = ErrorLog {
        message: logged.message.clone(),
        param_message: logged.template.clone(),
        level: Some(logged.level.clone()),
        logger_name: Some(logged.logger.clone()),
    };
    let event = match &logged.thrown {
        Some(thrown) => of_exception(thrown, true, limit, id, time, None),
        None => ErrorEvent::new(id, time, None),
    };
    ErrorEvent { log: Some(log), ..event }
}

fn limited(thrown: &Thrown, limit: usize) -> Thrown {
    Thrown {
        kind: thrown.kind.clone(),
        message: thrown.message.clone(),
        code: thrown.code.clone(),
        culprit: thrown.culprit.clone(),
        module: thrown.module.clone(),
        frames: thrown.frames.iter().take(limit).cloned().collect(),
        causes: thrown.causes.iter().map(|cause| limited(cause, limit)).collect(),
    }
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
        let error = SqlError { code: "42P01".into(), message: "no such table".into(), severity: "ERROR".into() };
        let error = of_database("postgresql", &error, TraceId(1), 2, sample::error().within);
        assert_eq!((error.kind.as_str(), error.code.as_deref()), ("postgresql ERROR", Some("42P01")));
        assert_eq!(error.message, "no such table");
        assert!(error.within.is_some());
    }

    #[test]
    fn describes_exceptions() {
        let error = |thrown: &Thrown, limit| of_exception(thrown, false, limit, TraceId(1), 2, None);
        let whole = error(&sample::thrown(), usize::MAX);
        assert_eq!((whole.kind.as_str(), whole.message.as_str()), ("Shop.Broken", "no order"));
        assert_eq!((whole.culprit.as_deref(), whole.handled), (Some("Shop.Orders"), false));
        assert_eq!((&whole.frames, &whole.causes), (&sample::thrown().frames, &sample::thrown().causes));
        let cut = error(&sample::thrown(), 1);
        assert_eq!((cut.frames.len(), cut.culprit.as_deref()), (1, Some("Shop.Orders")));
        let bare = error(&sample::thrown(), 0);
        assert!(bare.frames.is_empty() && bare.causes[0].frames.is_empty() && bare.causes[0].causes.len() == 1);
        let unknown = Thrown { frames: vec![], ..sample::thrown() };
        assert_eq!(error(&unknown, 9).culprit.as_deref(), Some("ElasticApm.UnknownCulprit"));
        let named = |culprit: &str| Thrown { culprit: Some(culprit.into()), ..sample::thrown() };
        assert_eq!(error(&named("place (orders.js)"), 9).culprit.as_deref(), Some("place (orders.js)"));
        assert_eq!(error(&named(""), 9).culprit, None);
        let coded = Thrown { code: Some("ENOENT".into()), ..sample::thrown() };
        assert_eq!(error(&coded, 9).code.as_deref(), Some("ENOENT"));
    }
}
