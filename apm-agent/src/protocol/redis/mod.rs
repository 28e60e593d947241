//! Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly), RESP2 and RESP3.
//!
//! Specification: Redis documentation, "Redis serialization protocol specification", "Redis pipelining", "Pub/sub".
//!
//! **Exchanges.** One per command, in a pipeline and between MULTI and EXEC, too. A subscription is over with the last
//! message that confirms it; what is published is none.
//!
//! **States.** Commands are queued, and each value of the server answers the first of the queue; pushes answer nothing but
//! subscriptions. An answer that nothing was asked for is held for a second. After a loss, and on a connection that was
//! joined late, the queue is believed as long as the client does not pipeline; if it does, commands are reported as `Lost`
//! (neither answer nor error is certain) until both sides were quiet.
//!
//! **Names only:** arguments are never kept, nor what errors repeat of them. A redirection to another node of a cluster
//! is no error.
//!
//! **Not followed:** encrypted sessions, MONITOR's output, replication and sessions with `CLIENT REPLY` (they end as opaque),
//! RESP3's streamed values.
//!
//! **Memory per connection:** one line of each side ≤ 512 bytes; 16,384 answers awaited of up to 64 bytes of name; 256
//! held answers of up to 512 bytes. Typically below 1 KB.

mod line;
mod recognise;
mod reply;
mod request;
mod session;
#[cfg(test)]
mod tests;

use super::{Conversation, Join, Protocol, Verdict};

/// Redis.
pub struct Redis;

impl Protocol for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn title(&self) -> &'static str {
        "Redis"
    }

    fn coverage(&self) -> &'static str {
        "Commands by name, RESP2 and RESP3, pipelines (a call per command), transactions, subscriptions, pushes, errors. \
         Arguments are never told. Not encrypted sessions, nor MONITOR and replication streams."
    }

    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict {
        recognise::recognise(client, server, join)
    }

    fn conversation(&self, join: Join) -> Box<dyn Conversation> {
        Box::new(session::Session::new(join))
    }
}
