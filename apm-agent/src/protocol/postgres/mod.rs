//! PostgreSQL, frontend/backend protocol 3.x.
//!
//! Specification: PostgreSQL documentation, chapter "Frontend/Backend Protocol" (versions 9 to 17 speak it alike).
//!
//! **Exchanges.** One for the session's start-up (`Connect`), one per simple query however many statements it has
//! (rows summed), one per Execute, one per function call (`Other`); Parse or Describe without an Execute up to the
//! next Sync or Flush is a `Prepare`. COPY turns its query into a `Copy`. Close, Sync and CancelRequest are none.
//! What a pipeline skips after an error was never executed: it ends `Aborted` by the server, without an error.
//! An Execute is over with its CommandComplete (or what stands for it), a simple query with ReadyForQuery.
//!
//! **States.** Greeting (start-up packet, refused encryption) → session → over. Each client message that must be
//! answered is queued; each server message must answer the first of the queue, else all in flight ends as `Lost`
//! and the session is picked up again at an idle point: the server's last word is ReadyForQuery, nothing is awaited,
//! and the client begins with a plausible message. So do late joins. Until then only the answers are in doubt: whole
//! questions are reported, as `Lost` (see [`doubt`]). After a gap in the server's stream the end of an
//! answer is searched for (see [`seek`]); after one in the client's, names of statements are forgotten.
//! Server bytes that come before what they answer are held.
//!
//! **Statements** are reported only when they are certain: what was prepared unseen, or may have been replaced unseen,
//! is unknown.
//!
//! **Not followed:** encrypted sessions (they end as opaque), protocol 2, replication streams (one open `Copy`), errors
//! of the implicit commit at Sync (the statement's own answer came before), DEALLOCATE inside functions,
//! a client that joined late and always has several requests in flight (its first pairs are checked only by their
//! command tags).
//!
//! **Memory per connection:** kept part of one message per side ≤ 41 KB + 4 KB; names ≤ 2 × (4 MiB, 1024 entries);
//! statements in flight ≤ 4 MiB, 16,384 answers awaited (about 3 MiB), 1,024 questions in doubt; held answers ≤ 32 KiB. Typically a few KB.
//! Rows, copy data and passwords are counted down and never kept.

mod answer;
mod doubt;
mod flight;
mod framing;
mod message;
mod names;
mod recognise;
mod seek;
mod session;
mod talk;
#[cfg(test)]
mod tests;

use super::{Conversation, Join, Protocol, Verdict};

/// PostgreSQL.
pub struct Postgres;

impl Protocol for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn title(&self) -> &'static str {
        "PostgreSQL"
    }

    fn coverage(&self) -> &'static str {
        "Simple and extended protocol, pipelines, prepared statements, portals with row limits, COPY, errors with SQLSTATE, \
         session start-up. Not encrypted sessions without a TLS probe, nor replication streams."
    }

    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict {
        recognise::recognise(client, server, join)
    }

    fn conversation(&self, join: Join) -> Box<dyn Conversation> {
        Box::new(session::Session::new(join))
    }
}
