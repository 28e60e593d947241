//! Success or failure of an exchange.
//!
//! A status or an error the peer sent decides. Without one the ending decides, and only where it leaves no doubt: what
//! was lost on the way, or was still open when watching ended, is [`Outcome::Unknown`], never a guess.

use super::{Outcome, grpc};
use crate::exchange::{Ending, Exchange, Http, Side, SqlError};

/// Outcome of a request as the server that answered it counts it: failure from status 500 on; of gRPC by its code.
///
/// Without a status: the server closed the connection instead of answering (a crash, a handler that gave up), which
/// every caller sees as an error: failure. When the client went away, or nobody knows who closed, nobody can tell what
/// the answer would have been: unknown.
pub fn of_http_server(exchange: &Exchange, http: &Http) -> Outcome {
    match (http.grpc.and_then(|grpc| grpc.code), http.status, exchange.ending) {
        (Some(code), ..) => grpc::server_outcome(code),
        (None, Some(status), _) => failure_from(status >= 500),
        (None, None, Ending::Aborted { by: Some(Side::Server) }) => Outcome::Failure,
        (None, None, _) => Outcome::Unknown,
    }
}

/// Outcome of an HTTP call as its caller counts it: failure from status 400 on, and when it was aborted.
pub fn of_http_client(exchange: &Exchange, http: &Http) -> Outcome {
    match (http.status, exchange.ending) {
        (Some(status), _) => failure_from(status >= 400),
        (None, Ending::Aborted { .. }) => Outcome::Failure,
        (None, _) => Outcome::Unknown,
    }
}

/// Outcome of a database call: failure when the server answered an error or the call was aborted.
pub fn of_database(exchange: &Exchange, error: Option<&SqlError>) -> Outcome {
    match (error, exchange.ending) {
        (Some(_), _) | (None, Ending::Aborted { .. }) => Outcome::Failure,
        (None, Ending::Complete) => Outcome::Success,
        (None, Ending::Lost | Ending::Unfinished) => Outcome::Unknown,
    }
}

fn failure_from(failed: bool) -> Outcome {
    match failed {
        true => Outcome::Failure,
        false => Outcome::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::sample, exchange::Payload};

    fn word(outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Unknown => "unknown",
        }
    }

    fn http(status: Option<u16>, ending: Ending) -> (Exchange, Http) {
        let exchange = sample::exchange(ending, Payload::Http(Http::default()));
        (exchange, Http { status, ..Http::default() })
    }

    /// The table under `HTTP transaction and span outcome`: status, client, server. -1 stands for a connection that
    /// failed without an answer.
    #[test]
    fn agrees_with_elastics_http_table() {
        let feature = include_str!("../../tests/data/gherkin/outcome.feature");
        let scenario = feature.split("Scenario").find(|text| text.contains("HTTP transaction and span")).unwrap();
        let rows: Vec<Vec<&str>> = scenario
            .lines()
            .filter(|line| line.trim_start().starts_with('|'))
            .map(|line| line.trim().trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 8, "a header and seven rows");
        for row in &rows[1..] {
            let status = row[0].parse::<u16>().ok();
            let ending = match status {
                Some(_) => Ending::Complete,
                None => Ending::Aborted { by: Some(Side::Server) },
            };
            let (exchange, http) = http(status, ending);
            assert_eq!(word(of_http_client(&exchange, &http)), row[1], "client, status {}", row[0]);
            assert_eq!(word(of_http_server(&exchange, &http)), row[2], "server, status {}", row[0]);
        }
    }

    #[test]
    fn never_guesses_what_was_not_seen() {
        for ending in [Ending::Lost, Ending::Unfinished] {
            let (exchange, http) = http(None, ending);
            assert_eq!(of_http_client(&exchange, &http), Outcome::Unknown);
            assert_eq!(of_http_server(&exchange, &http), Outcome::Unknown);
        }
        for by in [Some(Side::Client), None] {
            let (exchange, http) = http(None, Ending::Aborted { by });
            assert_eq!(of_http_server(&exchange, &http), Outcome::Unknown);
            assert_eq!(of_http_client(&exchange, &http), Outcome::Failure);
        }
        let (exchange, http) = http(Some(200), Ending::Lost);
        assert_eq!(of_http_server(&exchange, &http), Outcome::Success);
    }

    #[test]
    fn database_calls_fail_by_error_or_abort() {
        let outcome = |ending, error: Option<SqlError>| {
            of_database(&sample::exchange(ending, Payload::Http(Http::default())), error.as_ref())
        };
        let error = SqlError { code: "42P01".into(), message: "no table".into(), severity: "ERROR".into() };
        assert_eq!(outcome(Ending::Complete, None), Outcome::Success);
        assert_eq!(outcome(Ending::Complete, Some(error.clone())), Outcome::Failure);
        assert_eq!(outcome(Ending::Lost, Some(error)), Outcome::Failure);
        assert_eq!(outcome(Ending::Aborted { by: None }, None), Outcome::Failure);
        assert_eq!(outcome(Ending::Lost, None), Outcome::Unknown);
        assert_eq!(outcome(Ending::Unfinished, None), Outcome::Unknown);
    }
}
