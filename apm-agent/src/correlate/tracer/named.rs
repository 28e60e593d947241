//! Requests that their run time names.

use std::borrow::Cow;

use apm_common::{
    event::{ROUTER_CHI, ROUTER_GORILLA, ROUTER_GRPC, ROUTER_SERVE_MUX},
    propagation::{begun, sampled_below},
};

use super::Tracer;
use crate::{
    correlate::{TraceId, named::Name, trace_context},
    exchange::Nanos,
};

/// Most bytes of a route.
const LONGEST_ROUTE: usize = 1024;

impl Tracer {
    /// The run time of `pid` begins at `time` to handle a request that came on a connection. If a trace begins with it, that is the
    /// one which the kernel programs write into its calls.
    pub fn request_handled(&mut self, pid: u32, name: u64, connection: u64, time: Nanos) {
        let found = self.requests.names.handled((pid, name), connection);
        match found.and_then(|key| self.requests.get_mut(key)) {
            Some(request) => {
                request.name = name;
                if request.place.parent.is_none() {
                    let begun = begun(self.ids.secret(), time, pid, name);
                    request.place.trace = TraceId::of_halves(begun.trace);
                    request.place.sample_rate = Some(trace_context::round_rate(self.capture.sample_rate));
                    request.sampled = begun.lot < sampled_below(self.capture.sample_rate);
                    request.decided = true;
                }
                self.counters.requests_named += 1;
            }
            None => self.counters.requests_unplaced += 1,
        }
    }

    /// A part of the route of a request is known, in the words of the router that found it. The last router to find one
    /// has the last word: one may stand in a route of another.
    pub fn request_routed(&mut self, name: Name, router: u32, part: u32, pattern: &str) {
        if router == ROUTER_GRPC {
            return self.request_is_grpc(name);
        }
        let Some(request) = self.requests.names.get(name).and_then(|key| self.requests.get_mut(key)) else { return };
        let before = request.route.take().filter(|_| part > 0);
        request.route = route(router, before, pattern);
    }
}

/// The route as Elastic's agent names it, without the method. `before`: the parts that came before this one.
fn route(router: u32, before: Option<String>, pattern: &str) -> Option<String> {
    match router {
        // `[METHOD ][HOST]/[PATH]`: the method is in front of all names, and Elastic's have no host.
        ROUTER_SERVE_MUX => pattern.find('/').and_then(|path| pattern.get(path..)).map(str::to_owned),
        ROUTER_GORILLA => Some(without_expressions(pattern)),
        ROUTER_CHI => {
            let whole = before.unwrap_or_default() + pattern;
            (whole.len() <= LONGEST_ROUTE).then(|| without_mounts(&whole))
        }
        _ => Some(pattern.to_owned()),
    }
}

/// A template of gorilla/mux without the expressions that its variables must match: `/{id:[0-9]+}` is `/{id}`.
fn without_expressions(template: &str) -> String {
    let (mut route, mut depth, mut is_name) = (String::with_capacity(template.len()), 0_usize, true);
    for letter in template.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 1 => is_name = false,
            _ => {}
        }
        is_name |= depth == 0;
        if is_name {
            route.push(letter);
        }
    }
    route
}

/// A pattern of chi without the wildcards where other routers are mounted, and without a slash at its end, as chi's
/// `RoutePattern` has it.
fn without_mounts(pattern: &str) -> String {
    let mut route = Cow::Borrowed(pattern);
    while route.contains("/*/") {
        route = Cow::Owned(route.replace("/*/", "/"));
    }
    match route.as_ref() {
        "/" => route.into_owned(),
        route => {
            let route = route.strip_suffix("//").unwrap_or(route);
            route.strip_suffix('/').unwrap_or(route).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use apm_common::event::ROUTER_PLAIN;

    use super::*;

    #[test]
    fn routes_are_named_as_elastic_does() {
        for (router, pattern, wanted) in [
            (ROUTER_SERVE_MUX, "GET shop.example/items/{id}", Some("/items/{id}")),
            (ROUTER_SERVE_MUX, "/", Some("/")),
            (ROUTER_SERVE_MUX, "nothing", None),
            (ROUTER_PLAIN, "/users/:id", Some("/users/:id")),
            (ROUTER_GORILLA, "/users/{id:[0-9]{1,3}}/{name}", Some("/users/{id}/{name}")),
            (ROUTER_GORILLA, "/plain:colon/}/{", Some("/plain:colon/}/{")),
            (ROUTER_CHI, "/users/", Some("/users")),
            (ROUTER_CHI, "/", Some("/")),
        ] {
            assert_eq!(route(router, None, pattern).as_deref(), wanted, "{pattern}");
        }
        let parts = ["/api/*", "/v1/*", "/users/{id}"];
        let whole = parts.iter().fold(None, |before, part| route(ROUTER_CHI, before, part));
        assert_eq!(whole.as_deref(), Some("/api/v1/users/{id}"));
        assert_eq!(route(ROUTER_CHI, Some("/x".repeat(LONGEST_ROUTE)), "/y"), None);
    }
}
