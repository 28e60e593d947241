//! Where a call went: its address, and the service behind it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{Destination, ServiceTarget};

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Ip(SocketAddr),
    /// Unix socket: its path, or `@name` for an abstract one. Empty when the socket has no name.
    Unix(String),
    /// Nobody told us.
    #[default]
    Unknown,
}

impl Endpoint {
    /// The address without port: an IP (IPv4 also where it came mapped into IPv6), or a socket's path.
    pub fn address(&self) -> Option<String> {
        match self {
            Endpoint::Ip(address) => Some(canonical(address.ip()).to_string()),
            Endpoint::Unix(path) if !path.is_empty() => Some(path.clone()),
            Endpoint::Unix(_) | Endpoint::Unknown => None,
        }
    }

    /// The IP address in text, if there is one.
    pub fn ip(&self) -> Option<String> {
        match self {
            Endpoint::Ip(_) => self.address(),
            Endpoint::Unix(_) | Endpoint::Unknown => None,
        }
    }

    /// The port, if there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Endpoint::Ip(address) => Some(address.port()),
            Endpoint::Unix(_) | Endpoint::Unknown => None,
        }
    }
}

/// `127.0.0.1:80`, `[::1]:80`, `/run/postgresql/.s.PGSQL.5432`, or nothing.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(address) => write!(f, "{}", SocketAddr::new(canonical(address.ip()), address.port())),
            Endpoint::Unix(path) => f.write_str(path),
            Endpoint::Unknown => Ok(()),
        }
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Both ends of a connection, seen from the watched process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Own end.
    pub local: Endpoint,
    /// The peer.
    pub remote: Endpoint,
    /// The connection is encrypted.
    pub encrypted: bool,
}

/// What a call's context says of the service called, in the order in which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called<'a> {
    /// A database: its name, when it is known.
    Database(Option<&'a str>),
    /// A message queue: its name, when it is known.
    Queue(Option<&'a str>),
    /// `host:port` of a URL, the port always written.
    Url(&'a str),
    /// Nothing is known but the kind of the call.
    Nothing,
}

/// The service called: type from the span's subtype, else its type; name from the context.
/// A database or queue without a name never falls through to a URL.
pub fn service_target(kind: &str, subtype: &str, called: Called<'_>) -> ServiceTarget {
    let name = match called {
        Called::Database(name) | Called::Queue(name) => name,
        Called::Url(name) => Some(name),
        Called::Nothing => None,
    };
    let target_kind = if subtype.is_empty() { kind } else { subtype };
    ServiceTarget { kind: target_kind.to_owned(), name: name.filter(|name| !name.is_empty()).map(str::to_owned) }
}

/// The deprecated resource text of a target, which feeds the service map: `postgresql/shop`, `example.com:443`.
/// `kind` is the span's type.
pub fn resource(kind: &str, target: &ServiceTarget) -> String {
    match &target.name {
        None => target.kind.clone(),
        Some(name) if target.kind.is_empty() || ["external", "storage"].contains(&kind) => name.clone(),
        Some(name) => format!("{}/{name}", target.kind),
    }
}

/// Destination of a database call. For a unix socket the address is its path, as Go's drivers report it, without port.
pub fn of_database(system: &str, database: Option<&str>, remote: &Endpoint) -> Destination {
    Destination {
        address: remote.address(),
        port: remote.port(),
        target: service_target("db", system, Called::Database(database)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::build::url;

    fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
        value.pointer(path).and_then(Value::as_str)
    }

    /// The vectors' spans set by hand (`context.service`) are the user's business; those that are no exit spans get no
    /// target, and every span we make is an exit span. The rest is ours.
    #[test]
    fn agrees_with_elastics_inference_vectors() {
        let vectors = include_str!("../../tests/data/vectors/json-specs/service_resource_inference.json");
        let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
        let mut checked = 0;
        for vector in &vectors {
            let span = &vector["span"];
            if text(span, "/exit") != Some("true") || span.pointer("/context/service").is_some() {
                continue;
            }
            let (kind, subtype) = (text(span, "/type").unwrap(), text(span, "/subtype").unwrap_or_default());
            let host_port = text(span, "/context/http/url").map(url::host_and_port);
            let called = match (span.pointer("/context/db"), span.pointer("/context/message"), &host_port) {
                (Some(db), _, _) => Called::Database(text(db, "/instance")),
                (None, Some(message), _) => Called::Queue(text(message, "/queue/name")),
                (None, None, Some(name)) => Called::Url(name),
                (None, None, None) => Called::Nothing,
            };
            let target = service_target(kind, subtype, called);
            let why = text(vector, "/failure_message").unwrap();
            assert_eq!(Some(target.kind.as_str()), text(vector, "/expected_service_target/type"), "{why}");
            assert_eq!(target.name.as_deref(), text(vector, "/expected_service_target/name"), "{why}");
            assert_eq!(Some(resource(kind, &target).as_str()), text(vector, "/expected_resource"), "{why}");
            checked += 1;
        }
        assert_eq!((vectors.len(), checked), (16, 13));
    }

    #[test]
    fn shows_endpoints() {
        let mapped = Endpoint::Ip("[::ffff:10.0.0.7]:5432".parse().unwrap());
        assert_eq!((mapped.address().unwrap(), mapped.to_string()), ("10.0.0.7".into(), "10.0.0.7:5432".into()));
        assert_eq!(Endpoint::Ip("[::1]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(Endpoint::Unix(String::new()).address(), None);
        let socket = of_database("postgresql", Some("shop"), &Endpoint::Unix("/run/.s.PGSQL.5432".into()));
        assert_eq!((socket.address.as_deref(), socket.port), (Some("/run/.s.PGSQL.5432"), None));
    }
}
