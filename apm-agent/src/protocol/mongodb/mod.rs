//! MongoDB and what speaks its wire protocol (FerretDB, Amazon DocumentDB, Azure Cosmos DB).
//!
//! Specification: MongoDB manual, "MongoDB Wire Protocol"; the BSON specification 1.1.
//!
//! **Exchanges.** One per command, also for one that is not answered (`moreToCome`), which is over when it was sent; of an
//! exhaust cursor the first answer counts. What drivers say to begin, watch and end a session (`hello`, `saslStart`, …) is
//! followed and is none.
//!
//! **States.** Each answer names the message it answers, so that nothing depends on order; one that comes before its
//! question is held for a second. A side whose place is lost, or that was joined late, is followed again from the first write
//! that begins with a message.
//!
//! **Statements** are those of the commands that Elastic's agents tell of (`find`, `aggregate`, `count`, `distinct`,
//! `mapReduce`), as MongoDB Extended JSON; nothing of documents that are written.
//!
//! **Not followed:** encrypted sessions. Of compressed messages no more is known than that they passed: neither name nor
//! outcome (those that await no answer are `Lost` when the session ends).
//!
//! **Memory per connection:** kept part of one message per side ≤ 41 KB; statements in flight ≤ 4 MiB, 1,024 answers awaited;
//! 64 held answers. Typically a few KB.

mod bson;
mod command;
mod message;
mod recognise;
mod session;
#[cfg(test)]
mod tests;

use super::{Conversation, Join, Protocol, Verdict};

/// MongoDB.
pub struct MongoDb;

impl Protocol for MongoDb {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn title(&self) -> &'static str {
        "MongoDB"
    }

    fn coverage(&self) -> &'static str {
        "Commands with database and collection (OP_MSG, OP_QUERY), the text of those that read, document sequences, \
         unacknowledged writes, errors. Compressed messages by their times alone. Not encrypted sessions."
    }

    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict {
        recognise::recognise(client, server, join)
    }

    fn conversation(&self, join: Join) -> Box<dyn Conversation> {
        Box::new(session::Session::new(join))
    }
}
