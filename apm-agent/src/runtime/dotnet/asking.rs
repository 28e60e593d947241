//! What a session asks the run time for: as little as correlation needs.
//!
//! The wire shows method, path, headers, statements, status and times. What it cannot show is asked for, one event a
//! request and one a call: each costs the process 2 to 5 µs (`../shared/reference/dotnet.md`). The specifications are
//! those of `DiagnosticSourceEventSource` (dotnet/runtime, `DsesFilterAndTransform.cs`): listener or `[AS]` activity
//! source, `/`, event, `:-`, and the properties to be told, each as `name=path`.

use std::{path::PathBuf, time::Duration};

use super::{CollectTracing, Provider};
use crate::bridge::Detail;

/// Largest buffer in the process, MiB. It is taken only as it fills, that is, when we do not read.
const BUFFER_MIB: u32 = 64;

/// `Events` and `IgnoreShortCutKeywords` of the event source.
const KEYWORDS: u64 = 0x802;

/// A keyword that no event has; no keyword at all would mean every event.
const NO_KEYWORD: u64 = 1 << 40;

/// `Keywords.JsonMessage` of `LoggingEventSource`.
const JSON_MESSAGE: u64 = 8;

/// `LogLevel.None`, which the filters know by its number only.
const NEVER: u32 = 6;

/// Loggers (and all whose names begin so) of ASP.NET Core and its HTTP clients.
pub(super) const SILENCED: [&str; 5] = [
    "Microsoft.AspNetCore.Server.Kestrel",
    "Microsoft.AspNetCore.Diagnostics",
    "Microsoft.AspNetCore.Hosting.Diagnostics",
    "Microsoft.AspNetCore.Mvc",
    "System.Net.Http.HttpClient",
];

/// `Error`.
const ERROR: u32 = 2;

/// `Informational`.
const LEVEL: u32 = 4;

/// Names under which properties are told; short, for they are sent with every event.
pub(super) mod key {
    /// `Activity.Id`: `00-TRACE-SPAN-FLAGS`.
    pub const ID: &str = "I";
    /// `Activity.ParentId`: as [`ID`], of the parent; nothing where there is none. (`ParentSpanId` would be a string of
    /// zeros then, which costs 600 bytes on the heap.)
    pub const PARENT: &str = "P";
    /// `Activity.HasRemoteParent`.
    pub const REMOTE_PARENT: &str = "R";
    /// `HttpContext.TraceIdentifier`: `CONNECTION:NUMBER`.
    pub const IDENTIFIER: &str = "N";
    /// `ConnectionInfo.RemotePort`.
    pub const PORT: &str = "C";
    /// `HttpRequest.RouteValues`.
    pub const ROUTE: &str = "V";
    /// `Exception.ToString()`.
    pub const EXCEPTION: &str = "E";
    /// `Activity.DisplayName`.
    pub const NAME: &str = "D";
    /// `Activity.Duration.Ticks`, 100 ns each.
    pub const DURATION: &str = "T";
    /// `Activity.Kind`.
    pub const KIND: &str = "K";
    /// `Activity.Status`.
    pub const STATUS: &str = "S";
    /// `Activity.TagObjects`.
    pub const TAGS: &str = "A";
    /// `HttpRequestMessage.Method`, `HttpRequest.Method`.
    pub const METHOD: &str = "M";
    /// `HttpRequestMessage.RequestUri`.
    pub const URL: &str = "U";
    /// `OperationId` of SqlClient's events.
    pub const OPERATION: &str = "O";
    /// `SqlCommand.CommandText`.
    pub const STATEMENT: &str = "Q";
    /// `SqlCommand.CommandType`.
    pub const COMMAND_TYPE: &str = "Y";
    /// `SqlConnection.DataSource`: `tcp:HOST,PORT`.
    pub const SERVER: &str = "H";
    /// `DbConnection.ToString()`: its class.
    pub const CONNECTION: &str = "J";
    /// `SqlConnection.Database`.
    pub const DATABASE: &str = "B";
    /// `HttpRequest.Path`.
    pub const PATH: &str = "U";
    /// `HttpRequest.QueryString`.
    pub const QUERY: &str = "G";
    /// `HttpRequest.Scheme`.
    pub const SCHEME: &str = "X";
    /// `HttpRequest.Protocol`.
    pub const PROTOCOL: &str = "Y";
    /// `HttpRequest.Headers`.
    pub const HEADERS: &str = "F";
    /// `HttpResponse.StatusCode`.
    pub const CODE: &str = "Z";
    /// `ConnectionInfo.RemoteIpAddress`.
    pub const PEER: &str = "L";
    /// `Activity.StartTimeUtc.Ticks`, 100 ns each since the year 1.
    pub const BEGAN: &str = "W";
}

/// Names of events and sources.
pub(super) mod name {
    pub const HOSTING: &str = "Microsoft.AspNetCore";
    pub const REQUEST_ENDED: &str = "Microsoft.AspNetCore.Hosting.EndRequest";
    pub const REQUEST_FAILED: &str = "Microsoft.AspNetCore.Hosting.UnhandledException";
    pub const PAGE_SHOWN: &str = "Microsoft.AspNetCore.Diagnostics.UnhandledException";
    pub const HANDLED: &str = "Microsoft.AspNetCore.Diagnostics.HandledException";
    pub const NPGSQL: &str = "Npgsql";
    pub const HTTP: &str = "System.Net.Http";
    pub const SQL_CLIENT: &str = "SqlClientDiagnosticListener";
    pub const HTTP_CLIENT: &str = "HttpHandlerDiagnosticListener";
    pub const ENTITY_FRAMEWORK: &str = "Microsoft.EntityFrameworkCore";
}

/// What a run time is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted<'a> {
    /// Major version of the run time.
    pub major: u32,
    /// Rate with which traces that begin in the process are sampled.
    pub sample_rate: f64,
    /// Activity sources of the program to listen to where not all of them can be (.NET 8).
    pub sources: &'a [String],
    /// The program has a database inside, which no wire shows: `sqlite`. Its commands come from Entity Framework.
    pub embedded: Option<&'static str>,
    /// What the wire cannot show and is asked for too.
    pub detail: Detail,
    /// How often its counters are told; `None`: never.
    pub metrics_interval: Option<Duration>,
    /// Errors the program logs are told.
    pub log_errors: bool,
    /// Everything the program logs is told.
    pub logs: bool,
}

/// Activity sources that .NET's own libraries use for experiments: they say nothing Elastic would report.
const EXPERIMENTS: [&str; 3] =
    ["Experimental.System.Net.Http.Connections", "Experimental.System.Net.Sockets", "Experimental.System.Net.Security"];

/// Libraries with activities of their own.
const LIBRARIES: [&str; 3] = ["RabbitMQ.Client.Publisher", "RabbitMQ.Client.Subscriber", "MySqlConnector"];

/// The session to ask for.
pub(super) fn session(wanted: &Wanted) -> CollectTracing {
    CollectTracing {
        buffer_mib: BUFFER_MIB,
        rundown: false,
        stack_walk: false,
        providers: [Some(diagnostic_source(wanted)), wanted.metrics_interval.map(counters), logging(wanted)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn diagnostic_source(wanted: &Wanted) -> Provider {
    Provider {
        name: "Microsoft-Diagnostics-DiagnosticSource".into(),
        keywords: KEYWORDS,
        level: LEVEL,
        arguments: format!("FilterAndPayloadSpecs=\"{}\"", specifications(wanted).join("\n")),
    }
}

/// What is logged as an error, with its template and exception. Loggers on which nothing is told are silenced
/// altogether: on any other a scope costs an event at its beginning and one at its end, and these have one for each
/// request or call. What the server and its error pages log is the exception that is told of anyhow.
///
/// When all logs are wanted, the program's own filters say what is logged, and nothing is silenced.
fn logging(wanted: &Wanted) -> Option<Provider> {
    let (level, filters) = match (wanted.logs, wanted.log_errors) {
        (true, _) => (LEVEL, "UseAppFilters".to_owned()),
        (false, true) => {
            let silenced = SILENCED.iter().map(|logger| format!(";{logger}:{NEVER}"));
            (ERROR, format!("*:Error{}", silenced.collect::<String>()))
        }
        (false, false) => return None,
    };
    Some(Provider {
        name: "Microsoft-Extensions-Logging".into(),
        keywords: JSON_MESSAGE,
        level,
        arguments: format!("FilterSpecs=\"{filters}\""),
    })
}

/// 27 small events an interval. They have no keyword; the other events of the source have one each, and are not wanted.
fn counters(interval: Duration) -> Provider {
    Provider {
        name: super::counters::PROVIDER.into(),
        keywords: NO_KEYWORD,
        level: LEVEL,
        arguments: format!("EventCounterIntervalSec={}", interval.as_secs_f64()),
    }
}

/// .NET 9 and later look for the most fitting specification of an activity; .NET 8 takes the first that wants the event,
/// so that a `*` there would double the events of the sources named before it.
fn knows_rest(wanted: &Wanted) -> bool {
    wanted.major >= 9
}

fn specifications(wanted: &Wanted) -> Vec<String> {
    let request = format!(
        "{}=*Activity.Id;{}=*Activity.ParentId;{}=httpContext.TraceIdentifier;{}=httpContext.Connection.RemotePort;\
         {}=*Activity.StartTimeUtc.Ticks;{}=httpContext.Request.RouteValues.*Enumerate",
        key::ID,
        key::PARENT,
        key::IDENTIFIER,
        key::PORT,
        key::BEGAN,
        key::ROUTE
    );
    let request = if wanted.detail.requests { format!("{request};{}", facts()) } else { request };
    let hosting = |event: &str, more: &str| format!("{}/{event}:-{request}{more}", name::HOSTING);
    let exception = format!(";{}=exception", key::EXCEPTION);
    let whole = format!(
        "{}=Id;{}=ParentId;{}=HasRemoteParent;{}=DisplayName;{}=Duration.Ticks;{}=Kind;{}=Status;{}=TagObjects.*Enumerate",
        key::ID,
        key::PARENT,
        key::REMOTE_PARENT,
        key::NAME,
        key::DURATION,
        key::KIND,
        key::STATUS,
        key::TAGS
    );
    let sampler = sampler(wanted);
    let mut all = vec![
        // Makes the server begin an activity for each request, and record it: the flag goes on to other services.
        format!("[AS]{}/Start{sampler}:-", name::HOSTING),
        hosting(name::REQUEST_ENDED, ""),
        hosting(name::REQUEST_FAILED, &exception),
        hosting(name::PAGE_SHOWN, &exception),
        hosting(name::HANDLED, &exception),
        match wanted.detail.statements {
            true => format!("[AS]{}/Stop:-{whole}", name::NPGSQL),
            // Only whose it is: its own id would have to be put together.
            false => format!("[AS]{}/Start-Propagate:-{}=ParentId", name::NPGSQL, key::PARENT),
        },
        format!("[AS]{}/Stop{sampler}:-{whole}", name::HTTP),
        // What a call ended with that had no answer, and whose it was: activities of .NET 8 do not say.
        format!(
            "{}/System.Net.Http.Exception:-{}=*Activity.Id;{}=Exception;{}=Request.Method.Method;\
             {}=Request.RequestUri.AbsoluteUri",
            name::HTTP_CLIENT,
            key::ID,
            key::EXCEPTION,
            key::METHOD,
            key::URL
        ),
    ];
    all.extend(sql_client());
    if wanted.embedded.is_some() {
        all.extend(entity_framework());
    }
    if knows_rest(wanted) {
        all.extend(EXPERIMENTS.iter().map(|source| format!("[AS]{source}/Start-Propagate:-")));
        all.push(format!("[AS]*/Stop{sampler}:-{whole}"));
    } else {
        let named = LIBRARIES.iter().copied().chain(wanted.sources.iter().map(String::as_str));
        all.extend(named.map(|source| format!("[AS]{source}/Stop:-{whole}")));
    }
    all
}

/// What a transaction needs beside its place.
fn facts() -> String {
    format!(
        "{}=httpContext.Request.Method;{}=httpContext.Request.Path.Value;{}=httpContext.Request.QueryString.Value;\
         {}=httpContext.Request.Scheme;{}=httpContext.Request.Protocol;{}=httpContext.Request.Headers.*Enumerate;\
         {}=httpContext.Response.StatusCode;{}=httpContext.Connection.RemoteIpAddress",
        key::METHOD,
        key::PATH,
        key::QUERY,
        key::SCHEME,
        key::PROTOCOL,
        key::HEADERS,
        key::CODE,
        key::PEER
    )
}

/// Traces that begin here are sampled with the user's rate, others as their caller decided, and what is within them like
/// them: else the flag that goes on to the next service would say that an unsampled trace is recorded. .NET 8 knows no
/// samplers.
fn sampler(wanted: &Wanted) -> String {
    if knows_rest(wanted) { format!("-ParentRatioSampler({})", wanted.sample_rate) } else { String::new() }
}

/// Databases inside the program, by the assembly of their provider.
const EMBEDDED: [(&str, &str); 2] = [("Microsoft.Data.Sqlite.dll", "sqlite"), ("System.Data.SQLite.dll", "sqlite")];

/// The database inside the program, by the files it has mapped.
pub(super) fn embedded(mapped: &[PathBuf]) -> Option<&'static str> {
    let is = |file: &PathBuf, name: &str| file.file_name().is_some_and(|found| found == name);
    EMBEDDED.iter().find(|(name, _)| mapped.iter().any(|file| is(file, name))).map(|(_, system)| *system)
}

/// Commands of Entity Framework Core. Asked for only where no wire shows them: they would be told twice.
fn entity_framework() -> impl Iterator<Item = String> {
    let told = format!(
        "{}=*Activity.Id;{}=Command.CommandText;{}=Command.Connection.Database;{}=Command.Connection;{}=Duration.Ticks",
        key::ID,
        key::STATEMENT,
        key::DATABASE,
        key::CONNECTION,
        key::DURATION
    );
    ["Executed", "Error"]
        .into_iter()
        .map(move |outcome| format!("{0}/{0}.Database.Command.Command{outcome}:-{told}", name::ENTITY_FRAMEWORK))
}

/// SqlClient speaks TDS, mostly encrypted: everything comes from its events.
fn sql_client() -> impl Iterator<Item = String> {
    let begins = format!(
        "{}=OperationId;{}=*Activity.Id;{}=Command.CommandText;{}=Command.CommandType;\
         {}=Command.Connection.DataSource;{}=Command.Connection.Database",
        key::OPERATION,
        key::ID,
        key::STATEMENT,
        key::COMMAND_TYPE,
        key::SERVER,
        key::DATABASE
    );
    let ends = format!("{}=OperationId", key::OPERATION);
    let fails = format!("{}=OperationId;{}=Exception", key::OPERATION, key::EXCEPTION);
    ["Microsoft.Data.SqlClient", "System.Data.SqlClient"].into_iter().flat_map(move |library| {
        [("Before", &begins), ("After", &ends), ("Error", &fails)]
            .map(|(moment, told)| format!("{}/{library}.WriteCommand{moment}:-{told}", name::SQL_CLIENT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted<'_> = Wanted {
        major: 10,
        sample_rate: 1.0,
        sources: &[],
        embedded: None,
        metrics_interval: Some(Duration::from_secs(30)),
        log_errors: true,
        logs: false,
        detail: Detail { requests: false, statements: false, connections: false },
    };

    fn asked(major: u32) -> Vec<String> {
        specifications(&Wanted { major, sample_rate: 0.5, sources: &["Shop".to_owned()], ..ALL })
    }

    #[test]
    fn asks_for_all_sources_only_where_that_doubles_nothing() {
        let (old, new) = (asked(8), asked(10));
        let sampled = "-ParentRatioSampler(0.5):-";
        for source in ["Microsoft.AspNetCore/Start", "System.Net.Http/Stop", "*/Stop"] {
            assert!(new.iter().any(|line| line.starts_with(&format!("[AS]{source}{sampled}"))), "{source}");
        }
        assert!(!old.iter().any(|line| line.contains('*') && line.starts_with("[AS]*")));
        assert!(old.iter().any(|line| line.starts_with("[AS]Shop/Stop")));
        assert!(old.iter().any(|line| line == "[AS]Microsoft.AspNetCore/Start:-"));
    }

    #[test]
    fn asks_for_counters_only_where_there_are_metrics() {
        let counters = |metrics_interval| {
            let session = session(&Wanted { metrics_interval, ..ALL });
            session.providers.into_iter().find(|provider| provider.name == "System.Runtime")
        };
        assert_eq!(counters(None), None);
        let arguments = counters(ALL.metrics_interval).map(|provider| provider.arguments);
        assert_eq!(arguments.as_deref(), Some("EventCounterIntervalSec=30"));
    }

    #[test]
    fn asks_for_logged_errors_only_and_not_for_scopes_of_requests() {
        assert_eq!(logging(&Wanted { log_errors: false, ..ALL }), None);
        let filters = |logs| logging(&Wanted { logs, ..ALL }).map(|provider| provider.arguments);
        assert_eq!(filters(true).as_deref(), Some("FilterSpecs=\"UseAppFilters\""));
        assert!(filters(false).is_some_and(|filters| filters.starts_with("FilterSpecs=\"*:Error;Microsoft.AspNet")));
    }

    #[test]
    fn entity_framework_is_asked_only_for_databases_inside() {
        let mapped = ["/app/Shop.dll", "/app/Microsoft.Data.Sqlite.dll"].map(PathBuf::from);
        assert_eq!((embedded(&mapped), embedded(&mapped[..1])), (Some("sqlite"), None));
        let lines = |embedded| {
            let asked = specifications(&Wanted { embedded, ..ALL });
            asked.iter().filter(|line| line.contains("EntityFrameworkCore")).count()
        };
        assert_eq!((lines(None), lines(Some("sqlite"))), (0, 2));
    }

    #[test]
    fn fits_into_a_message() {
        let detail = Detail { requests: true, statements: true, ..Detail::default() };
        let session = session(&Wanted { detail, embedded: Some("sqlite"), ..ALL });
        assert!(!session.stack_walk && !session.rundown);
        // UTF-16, in a message of at most 64 KiB.
        assert!(session.providers[0].arguments.len() * 2 < 32 * 1024);
        assert!(!session.providers[0].arguments.trim_matches('"').contains("\n\n"));
    }
}
