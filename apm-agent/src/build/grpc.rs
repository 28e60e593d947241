//! gRPC: status, outcome, and calls.

use super::{
    Destination, HttpCall, Outcome,
    destination::{self, Addresses, Called},
    span::CallParts,
    url,
};
use crate::exchange::Http;

/// Names of `google.rpc.Code`, as `codes.Code.String` of grpc-go has them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Codes by which a server fails: the others are the client's affair (Elastic's `apmgrpc`, and its specification's
/// table of outcomes).
const FAILURES: [u32; 8] = [2, 4, 8, 9, 10, 13, 14, 15];

/// Name of a code.
pub fn code_name(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| CODES.get(code));
    known.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

/// Outcome of a request as the server that answered it counts it.
pub fn server_outcome(code: u32) -> Outcome {
    if FAILURES.contains(&code) { Outcome::Failure } else { Outcome::Success }
}

/// Describes a call of a method, such as `/shop.Shop/Order`. `host`: whom it was meant for, by the caller's word. `code`:
/// `None` is an error of which none is known.
pub fn call(method: &str, host: &str, code: Option<u32>, addresses: &Addresses) -> CallParts {
    // Elastic's agent tells the peer that was reached.
    let host = addresses.remote.ip().is_none().then(|| ("Host".to_owned(), host.to_owned()));
    let http = Http { target: method.to_owned(), headers: Vec::from_iter(host), ..Http::default() };
    let url = url::of_call(&http, addresses);
    CallParts {
        name: method.to_owned(),
        kind: "external",
        subtype: "grpc".into(),
        action: String::new(),
        outcome: if code == Some(0) { Outcome::Success } else { Outcome::Failure },
        destination: Destination {
            target: destination::service_target("external", "grpc", Called::Url(&url.host_and_port())),
            address: Some(url.host),
            port: Some(url.port),
        },
        db: None,
        http: Some(HttpCall { url: url.full, method: "POST".to_owned(), status: None }),
        propagated: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::build::destination::Endpoint;

    /// The table under `gRPC transaction and span outcome`: status, client, server.
    #[test]
    fn agrees_with_elastics_table() {
        let feature = include_str!("../../tests/data/gherkin/outcome.feature");
        let scenario = feature.split("Scenario").find(|text| text.contains("gRPC transaction and span")).unwrap();
        let mut checked = 0;
        for line in scenario.lines().filter(|line| line.trim_start().starts_with('|')).skip(1) {
            let row: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let plain = |name: &str| name.replace('_', "").to_lowercase();
            // The specification spells it with two letters.
            let is_it = |name: &&str| plain(name) == plain(row[0]).replace("cancelled", "canceled");
            let Some(code) = CODES.iter().position(is_it) else { continue };
            let code = u32::try_from(code).unwrap();
            let word = |outcome| if outcome == Outcome::Failure { "failure" } else { "success" };
            let client = call("/a/B", "h:1", Some(code), &Addresses::default()).outcome;
            assert_eq!((word(client), word(server_outcome(code))), (row[1], row[2]), "{}", row[0]);
            checked += 1;
        }
        assert_eq!(checked, CODES.len());
    }

    #[test]
    fn names_codes() {
        assert_eq!((code_name(5), code_name(17)), ("NotFound".to_owned(), "Code(17)".to_owned()));
    }

    #[test]
    fn describes_a_call() {
        let types: Value =
            serde_json::from_str(include_str!("../../tests/data/vectors/json-specs/span_types.json")).unwrap();
        let reached =
            Addresses { remote: Endpoint::Ip("[::1]:50051".parse().unwrap()), encrypted: true, ..Addresses::default() };
        let parts = call("/shop.Shop/Order", "shop:50051", Some(5), &reached);
        assert_eq!((parts.name.as_str(), parts.outcome), ("/shop.Shop/Order", Outcome::Failure));
        assert!(types[parts.kind]["subtypes"][parts.subtype.as_ref()].is_object());
        assert_eq!((parts.destination.address.as_deref(), parts.destination.port), (Some("::1"), Some(50051)));
        assert_eq!(parts.destination.target.name.as_deref(), Some("[::1]:50051"));
        assert_eq!(parts.http.unwrap().url, "https://[::1]:50051/shop.Shop/Order");
        let lost = call("/shop.Shop/Order", "shop:50051", None, &Addresses::default());
        assert_eq!(lost.destination.target.name.as_deref(), Some("shop:50051"));
        assert_eq!(lost.outcome, Outcome::Failure);
    }
}
