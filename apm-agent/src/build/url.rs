//! URLs of requests, from the request target (RFC 9112 section 3.2) and the headers that name the host.

use super::{
    Url,
    destination::{Addresses, Endpoint},
};
use crate::exchange::Http;

/// A request target taken apart.
struct Target<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// URL of an outgoing call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallUrl {
    /// Whole URL without user info.
    pub full: String,
    /// Host, and port when one was written, as the caller wrote it.
    pub written: String,
    /// Host without brackets.
    pub host: String,
    /// Port, the scheme's own when none was written.
    pub port: u16,
}

impl CallUrl {
    /// `host:port`, brackets around an IPv6 address.
    pub fn host_and_port(&self) -> String {
        join_host_port(&self.host, self.port)
    }
}

/// Value of the first header of that name; names ignore case.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// URL of a request as its first client meant it: proxies' headers (`Forwarded`, `X-Forwarded-*`) count first, then
/// the target and `Host`, then our own address.
pub fn of_server(http: &Http, addresses: &Addresses) -> Url {
    let target = read_target(&http.target);
    let protocol = forwarded_protocol(&http.headers)
        .or(target.scheme.map(str::to_ascii_lowercase))
        .unwrap_or_else(|| scheme(addresses.encrypted).to_owned());
    let authority = forwarded_host(&http.headers)
        .or(target.authority.map(without_user))
        .or_else(|| header(&http.headers, "host").filter(|host| !host.is_empty()))
        .map_or_else(|| ip_text(&addresses.local), str::to_owned);
    let (hostname, port) = split_authority(&authority);
    let query = target.query.map_or_else(String::new, |query| format!("?{query}"));
    Url {
        full: format!("{protocol}://{authority}{}{query}", target.path),
        raw: raw(&http.target, &target),
        protocol,
        hostname: hostname.to_owned(),
        port,
        pathname: target.path.to_owned(),
        search: target.query.filter(|query| !query.is_empty()).map(str::to_owned),
    }
}

/// The target as sent, but for the credentials an absolute one may hold.
fn raw(sent: &str, target: &Target<'_>) -> String {
    match target.authority {
        Some(authority) if authority.contains('@') => sent.replacen(authority, without_user(authority), 1),
        Some(_) | None => sent.to_owned(),
    }
}

/// Path of a request target, for names and for `transaction_ignore_urls`.
pub fn path(target: &str) -> &str {
    read_target(target).path
}

/// URL of an outgoing call: from an absolute target, else from `Host`, else from the peer's address.
pub fn of_call(http: &Http, addresses: &Addresses) -> CallUrl {
    let target = read_target(&http.target);
    let scheme = target.scheme.map_or_else(|| scheme(addresses.encrypted).to_owned(), str::to_ascii_lowercase);
    let written = target
        .authority
        .map(without_user)
        .or_else(|| header(&http.headers, "host").filter(|host| !host.is_empty()))
        .map_or_else(|| ip_text(&addresses.remote), str::to_owned);
    let (host, port) = split_authority(&written);
    let (host, port) = (host.to_owned(), port.unwrap_or_else(|| default_port(&scheme)));
    let query = target.query.map_or_else(String::new, |query| format!("?{query}"));
    CallUrl { full: format!("{scheme}://{written}{}{query}", target.path), written, host, port }
}

/// `host:port` of an absolute URL, the scheme's own port filled in.
pub fn host_and_port(url: &str) -> String {
    let target = read_target(url);
    let (host, port) = split_authority(without_user(target.authority.unwrap_or_default()));
    join_host_port(host, port.unwrap_or_else(|| default_port(target.scheme.unwrap_or_default())))
}

fn read_target(target: &str) -> Target<'_> {
    if let Some((scheme, rest)) = target.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (path, query) = split_query(rest);
        return Target { scheme: Some(scheme), authority: Some(authority), path, query };
    }
    if target.starts_with('/') || target == "*" || target.is_empty() {
        let (path, query) = split_query(target);
        return Target { scheme: None, authority: None, path: if path == "*" { "" } else { path }, query };
    }
    // The authority form of CONNECT: a host and a port, and nothing else.
    Target { scheme: None, authority: Some(target), path: "", query: None }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

fn is_scheme(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic()) && text.bytes().all(allowed)
}

fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Host without brackets, and the port when one is written.
fn split_authority(authority: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        // More colons without brackets: a bare IPv6 address.
        Some((host, _)) if host.contains(':') => (authority, None),
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

/// `host:port`, brackets around an IPv6 address.
pub fn join_host_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn ip_text(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Ip(_) => endpoint.to_string(),
        Endpoint::Unix(_) | Endpoint::Unknown => "localhost".to_owned(),
    }
}

fn scheme(encrypted: bool) -> &'static str {
    if encrypted { "https" } else { "http" }
}

fn default_port(scheme: &str) -> u16 {
    if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }
}

/// First element of a list header: the proxy nearest to the client.
fn first_of(value: &str) -> &str {
    value.split(',').next().unwrap_or_default().trim()
}

/// Value of a parameter in the first element of `Forwarded` (RFC 7239 section 4).
fn forwarded<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let parameters = first_of(header(headers, "forwarded")?).split(';');
    let value = parameters
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?
        .1;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

fn forwarded_host(headers: &[(String, String)]) -> Option<&str> {
    forwarded(headers, "host")
        .or_else(|| header(headers, "x-forwarded-host").map(first_of).filter(|host| !host.is_empty()))
}

fn forwarded_protocol(headers: &[(String, String)]) -> Option<String> {
    let named = ["x-forwarded-proto", "x-forwarded-protocol", "x-url-scheme"];
    let switched = ["front-end-https", "x-forwarded-ssl"];
    forwarded(headers, "proto")
        .or_else(|| named.iter().find_map(|name| header(headers, name)).map(first_of))
        .filter(|protocol| is_scheme(protocol))
        .map(str::to_ascii_lowercase)
        .or_else(|| {
            let on = |name: &&str| header(headers, name).is_some_and(|value| value.eq_ignore_ascii_case("on"));
            switched.iter().any(on).then(|| "https".to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::sample;

    fn addresses() -> Addresses {
        Addresses {
            local: Endpoint::Ip("127.0.0.1:8080".parse().unwrap()),
            remote: Endpoint::Ip("[::1]:9000".parse().unwrap()),
            encrypted: false,
        }
    }

    fn server(target: &str, headers: &[(&str, &str)]) -> Url {
        of_server(&sample::http(target, headers), &addresses())
    }

    #[test]
    fn takes_the_parts_of_an_origin_form_target() {
        let url = server("/a/b?c=d&e", &[("HOST", "shop.example:81")]);
        assert_eq!(url.full, "http://shop.example:81/a/b?c=d&e");
        assert_eq!(
            (url.raw.as_str(), url.pathname.as_str(), url.search.as_deref()),
            ("/a/b?c=d&e", "/a/b", Some("c=d&e"))
        );
        assert_eq!((url.protocol.as_str(), url.hostname.as_str(), url.port), ("http", "shop.example", Some(81)));
    }

    #[test]
    fn prefers_what_proxies_say() {
        let full = |headers: &[(&str, &str)]| server("/", headers).full;
        let host = ("host", "inner");
        assert_eq!(full(&[host, ("Forwarded", "proto=https;host=\"outer:444\", host=other")]), "https://outer:444/");
        assert_eq!(full(&[host, ("X-Forwarded-Host", "a, b"), ("X-Forwarded-Proto", "HTTPS")]), "https://a/");
        assert_eq!(full(&[host, ("X-Url-Scheme", "https")]), "https://inner/");
        assert_eq!(full(&[host, ("Front-End-Https", "on")]), "https://inner/");
        assert_eq!(full(&[host, ("X-Forwarded-Ssl", "off")]), "http://inner/");
        assert_eq!(full(&[host, ("X-Forwarded-Proto", "<bad>")]), "http://inner/");
    }

    #[test]
    fn takes_every_form_of_target() {
        let absolute = server("https://u:p@h:5/x?", &[]);
        assert_eq!((absolute.full.as_str(), absolute.raw.as_str()), ("https://h:5/x?", "https://h:5/x?"));
        assert_eq!(server("https://h:5/x?", &[]).search, None);
        assert_eq!(server("*", &[("Host", "h")]).full, "http://h");
        assert_eq!(server("h:443", &[]).hostname, "h");
        assert_eq!(server("/", &[]).full, "http://127.0.0.1:8080/");
        assert_eq!(server("/", &[("Host", "[::1]:3")]).hostname, "::1");
        assert_eq!(server("/go?to=http://x", &[("Host", "h")]).pathname, "/go");
        assert_eq!(path("/a?b"), "/a");
    }

    #[test]
    fn names_calls_by_host() {
        let call = |target: &str, headers: &[(&str, &str)]| of_call(&sample::http(target, headers), &addresses());
        let url = call("/x?y", &[("Host", "api.example")]);
        assert_eq!((url.full.as_str(), url.written.as_str()), ("http://api.example/x?y", "api.example"));
        assert_eq!((url.host.as_str(), url.port, url.host_and_port().as_str()), ("api.example", 80, "api.example:80"));
        assert_eq!(call("/", &[]).full, "http://[::1]:9000/");
        assert_eq!(call("/", &[]).host_and_port(), "[::1]:9000");
        let proxied = call("https://user:secret@far.example/x", &[("Host", "proxy")]);
        assert_eq!((proxied.full.as_str(), proxied.port), ("https://far.example/x", 443));
        assert_eq!(call("far.example:443", &[]).full, "http://far.example:443");
        assert_eq!(call("/", &[("Host", "h:99999")]).port, 80);
    }

    proptest::proptest! {
        /// Any target and any host: no panic, and the parts stay parts of what was sent.
        #[test]
        fn takes_any_target(target in "[a-z:/@?#%.\\[\\]0-9 é*]{0,40}", host in "[a-z:.\\[\\]@0-9 é]{0,20}") {
            let http = sample::http(&target, &[("Host", &host)]);
            let url = of_server(&http, &addresses());
            assert!(target.contains(&url.pathname) && url.full.starts_with(&format!("{}://", url.protocol)));
            let call = of_call(&http, &addresses());
            assert!(call.host_and_port().ends_with(&format!(":{}", call.port)));
            host_and_port(&target);
        }
    }
}
