//! HTTP requests the service answered become transactions.

use super::{
    EpochMicros, HttpContext, Outcome, Place, Transaction,
    destination::Addresses,
    grpc,
    naming::{self, Named},
    outcome,
    rules::Rules,
    sanitize, url,
};
use crate::exchange::{Exchange, Http};

/// All of a transaction that its exchange decides. Its place in the trace and its times are the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestParts {
    /// As in [`Transaction::name`].
    pub name: String,
    /// As in [`Transaction::kind`].
    pub kind: &'static str,
    /// As in [`Transaction::result`].
    pub result: Option<String>,
    /// As in [`Transaction::outcome`].
    pub outcome: Outcome,
    /// As in [`Transaction::http`].
    pub http: HttpContext,
}

/// A request for this target gives no transaction, and no spans below one (`transaction_ignore_urls`).
pub fn is_ignored(target: &str, rules: &Rules) -> bool {
    rules.ignore_urls.matches(url::path(target))
}

/// Describes a request. `named`: what it is named by, where somebody knows it.
pub fn from_http(
    exchange: &Exchange,
    http: Http,
    named: Option<&Named>,
    addresses: &Addresses,
    rules: &Rules,
) -> RequestParts {
    let url = url::of_server(&http, addresses);
    RequestParts {
        name: match http.grpc {
            Some(_) => naming::group(url.pathname.clone(), rules),
            None => naming::transaction(&http.method, named, &url.pathname, rules),
        },
        kind: if matches!(named, Some(Named::Operation(_))) { "graphql" } else { "request" },
        result: match http.grpc {
            Some(grpc) => grpc.code.map(grpc::code_name),
            None => http.status.map(result),
        },
        outcome: outcome::of_http_server(exchange, &http),
        http: HttpContext {
            method: http.method,
            version: http.version.to_owned(),
            url,
            headers: sanitize::headers(http.headers, rules),
            body_redacted: http.has_request_body,
            remote_address: addresses.remote.ip(),
            status: http.status,
            response_headers: sanitize::headers(http.response_headers, rules),
        },
    }
}

/// `HTTP 2xx` for 200.
fn result(status: u16) -> String {
    format!("HTTP {}xx", status / 100)
}

impl RequestParts {
    /// Puts the request into its trace. `duration` is in nanoseconds.
    pub fn into_transaction(self, place: Place, start: EpochMicros, duration: u64) -> Transaction {
        Transaction {
            place,
            name: self.name,
            kind: self.kind,
            result: self.result,
            outcome: self.outcome,
            start,
            duration,
            spans_started: 0,
            spans_dropped: 0,
            dropped_spans: Vec::new(),
            links: Vec::new(),
            http: Some(self.http),
            otel: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        build::{destination::Endpoint, sample},
        config::Capture,
        exchange::{Ending, Payload},
    };

    fn parts(http: Http, ending: Ending) -> RequestParts {
        let addresses =
            Addresses { remote: Endpoint::Ip("[::ffff:10.1.2.3]:999".parse().unwrap()), ..Addresses::default() };
        let exchange = sample::exchange(ending, Payload::Http(Http::default()));
        from_http(&exchange, http, None, &addresses, &Rules::new(&Capture::default()))
    }

    #[test]
    fn describes_a_request() {
        let mut http = sample::http("/a?b", &[("Host", "h"), ("Authorization", "x")]);
        http.has_request_body = true;
        http.response_headers = vec![("Set-Cookie".into(), "a=b".into())];
        let parts = parts(http, Ending::Complete);
        assert_eq!((parts.name.as_str(), parts.result.as_deref()), ("GET unknown route", Some("HTTP 2xx")));
        assert_eq!(parts.outcome, Outcome::Success);
        assert_eq!(parts.http.remote_address.as_deref(), Some("10.1.2.3"));
        assert_eq!(parts.http.headers[1].1, sanitize::REDACTED);
        assert_eq!(parts.http.response_headers[0].1, sanitize::REDACTED);
        assert!(parts.http.body_redacted);
        let transaction = parts.into_transaction(sample::place(1, None), 5, 6);
        assert_eq!((transaction.kind, transaction.start, transaction.duration), ("request", 5, 6));
    }

    #[test]
    fn claims_nothing_without_a_status() {
        let http = Http { status: None, ..sample::http("/", &[]) };
        let parts = parts(http, Ending::Lost);
        assert_eq!((parts.result, parts.outcome, parts.http.status), (None, Outcome::Unknown, None));
    }

    #[test]
    fn ignores_by_path_without_query() {
        let rules = Rules::new(&Capture { ignore_urls: vec!["/health*".into()], ..Capture::default() });
        assert!(is_ignored("/healthz?full", &rules));
        assert!(is_ignored("http://h/healthz", &rules));
        assert!(!is_ignored("/x?/healthz", &rules));
    }
}
