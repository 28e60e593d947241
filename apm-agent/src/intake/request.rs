//! `context.request` and `context.response`: what was asked and answered.

use std::borrow::Cow;

use serde::Serialize;

use super::{Detail, headers::Headers, keyword};
use crate::build::{HttpContext, Url, sanitize::REDACTED};

/// `context` of a transaction, and of an error that hit it.
#[derive(Serialize)]
pub(super) struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
}

#[derive(Serialize)]
struct Request<'a> {
    method: Cow<'a, str>,
    url: UrlFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    http_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<Socket<'a>>,
}

#[derive(Serialize)]
struct Socket<'a> {
    remote_address: &'a str,
}

#[derive(Serialize)]
struct UrlFields<'a> {
    raw: Cow<'a, str>,
    full: Cow<'a, str>,
    protocol: Cow<'a, str>,
    hostname: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    pathname: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'a>>,
}

pub(super) fn context(http: &HttpContext, detail: Detail) -> Context<'_> {
    let headers = |list| Some(list).filter(|_| detail.has_headers()).and_then(Headers::new);
    let request = Request {
        method: keyword(&http.method),
        url: url(&http.url),
        headers: headers(http.headers.as_slice()),
        http_version: &http.version,
        body: http.body_redacted.then_some(REDACTED),
        socket: http.remote_address.as_deref().map(|remote_address| Socket { remote_address }),
    };
    let response = Response { status_code: http.status, headers: headers(http.response_headers.as_slice()) };
    Context {
        // A request whose head was lost has no method, and the server takes none without.
        request: (!http.method.is_empty()).then_some(request),
        response: (response.status_code.is_some() || response.headers.is_some()).then_some(response),
    }
}

fn url(url: &Url) -> UrlFields<'_> {
    UrlFields {
        raw: keyword(&url.raw),
        full: keyword(&url.full),
        protocol: keyword(&url.protocol),
        hostname: keyword(&url.hostname),
        port: url.port,
        pathname: keyword(&url.pathname),
        search: url.search.as_deref().map(keyword),
    }
}
