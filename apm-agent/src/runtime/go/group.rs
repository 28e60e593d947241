//! Names by which users mean hooks: one for each library, as Elastic's Go agent names its module for it where it has one.

use super::hook::{Hook, Part};

/// What functions of a library begin with, and its name.
const LIBRARIES: [(&str, &str); 12] = [
    ("database/sql.", "sql"),
    ("github.com/jackc/pgx/", "pgx"),
    ("github.com/redis/go-redis/", "goredis"),
    ("github.com/go-redis/redis/", "goredis"),
    ("go.mongodb.org/mongo-driver/", "mongo"),
    ("github.com/gin-gonic/gin.", "gin"),
    ("github.com/gorilla/mux.", "gorilla"),
    ("github.com/go-chi/chi/", "chi"),
    ("github.com/labstack/echo/", "echo"),
    ("github.com/valyala/fasthttp.", FASTHTTP),
    ("github.com/gofiber/fiber/", "fiber"),
    ("net/http.(*persistConn).", "http-client"),
];

/// The name of a hook's group.
pub(super) fn of(hook: &Hook) -> &'static str {
    let library = LIBRARIES.iter().find(|(begin, _)| hook.function.starts_with(begin)).map(|(_, name)| *name);
    match (hook.part, library) {
        // Of `database/sql`, for a library below it.
        (Part::Statements, _) => "sqlite",
        // Of whatever library: all can be left alone by `propagation`, too.
        (Part::TlsHeads | Part::Http2Heads | Part::GrpcHeads, _) => "propagation",
        (_, Some(name)) => name,
        (Part::Requests, None) => REQUESTS,
        (Part::Tls, None) => TLS,
        (Part::Http2, None) => "http2",
        (Part::Routes, None) => "servemux",
        (Part::Routers, None) => "routers",
        (Part::Panics, None) => "panics",
        (Part::Calls, None) => "calls",
        (Part::Http2Calls, None) => "http2-client",
        (Part::PlainText, None) => "tls-client",
        (Part::Fasthttp, None) => FASTHTTP,
        (Part::Ancestry, None) => "ancestry",
        (Part::Grpc | Part::GrpcCalls, None) => "grpc",
    }
}

/// Requests of `net/http`. Everything else hangs on them: they cannot be left alone, but `--go-probes=false` sets no
/// probe at all.
pub(super) const REQUESTS: &str = "http";

/// Requests over TLS and HTTP/1.
pub(super) const TLS: &str = "tls";

/// Requests of fasthttp.
const FASTHTTP: &str = "fasthttp";

#[cfg(test)]
mod tests {
    use super::{
        super::{hook::HOOKS, sqlite},
        *,
    };

    #[test]
    fn every_library_has_a_group_and_every_group_a_hook() {
        for (begin, _) in LIBRARIES {
            assert!(HOOKS.iter().any(|hook| hook.function.starts_with(begin)), "{begin}");
        }
        let calls = HOOKS.iter().filter(|hook| hook.part == Part::Calls);
        assert_eq!(calls.filter(|hook| of(hook) == "calls").count(), 0, "every library that calls has a name");
        assert!(sqlite::TEXTS.iter().chain(sqlite::STATEMENTS.iter().flatten()).all(|hook| of(hook) == "sqlite"));
        assert!(HOOKS.iter().all(|hook| (of(hook) == REQUESTS) == (hook.part == Part::Requests)));
    }
}
