//! HTTP/1.0 and HTTP/1.1, as a passive observer of both directions.
//!
//! Specification: RFC 9112 (messages), RFC 9110 (semantics), RFC 8297 (103). Followed: keep-alive, pipelining, fixed,
//! chunked (extensions, trailers) and close-delimited bodies, answers without body (HEAD, 1xx, 204, 304),
//! `Expect: 100-continue`, upgrades (101, 2xx to CONNECT), every form of target, obsolete line folding, bare line feeds,
//! answers that come before their question.
//!
//! States of a direction: at or in a head → in a body → at the next head; after something that was not seen or not
//! understood: searching for the beginning of a message, or in a chunked body whose framing is lost. Where framing is
//! lost, the beginning and the end of a write are evidence: messages begin where writes begin, and the kernel always
//! captures a write's last bytes, so the last chunk of a body is seen.
//!
//! The i-th answer belongs to the i-th question. Once bytes were missed the count is not certain any more: then an
//! exchange is reported only where no second one could have been meant, under the assumption that the client does not
//! pipeline. A joined connection whose client does pipeline may so give the first answer seen to a wrong question.
//!
//! A client's close is recorded and decided upon by what follows: the rest of the answer (a half-close), or the server's
//! close, a failure or the end of watching. The caller must therefore end every conversation with one of those.
//!
//! Not handled: HTTP/0.9, HTTP/2 (its preface is refused), what follows an upgrade, content of bodies.
//!
//! Memory per connection: two heads of at most 32 KiB while they arrive in pieces, at most 256 questions without answer
//! (each of at most 32 KiB head, together at most 1 MiB), 64 KiB of early answers and 64 KiB of what follows an upgrade
//! request.

mod body;
mod conversation;
mod direction;
mod head;
mod held;
mod pending;
mod recognise;
mod reply;
mod request;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use super::{Conversation, Join, Protocol, Verdict};

/// HTTP/1.x
pub struct Http1;

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http1"
    }

    fn title(&self) -> &'static str {
        "HTTP/1.x"
    }

    fn coverage(&self) -> &'static str {
        "Requests and responses of HTTP/1.0 and 1.1 with keep-alive, pipelining, chunked and close-delimited bodies, \
         interim responses and aborts are followed, up to an upgrade. Bodies and upgraded connections are not read."
    }

    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict {
        recognise::judge(client, server, join)
    }

    fn conversation(&self, join: Join) -> Box<dyn Conversation> {
        Box::new(conversation::Http1Conversation::new(join))
    }
}
