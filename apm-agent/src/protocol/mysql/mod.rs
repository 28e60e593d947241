//! MySQL and MariaDB, classic protocol (protocol version 10, 4.1 and later).
//!
//! Specification: MySQL internals manual, "Client/Server Protocol"; MariaDB knowledge base, "Clients & Utilities",
//! "MariaDB Client/Server Protocol".
//!
//! **Exchanges.** One for the session's start-up and one for a change of user (`Connect`), one per COM_QUERY however many
//! statements it has (rows changed are summed over results), one per COM_STMT_PREPARE (`Prepare`), per COM_STMT_EXECUTE,
//! per COM_STMT_FETCH, and per COM_PING (`Ping`). Other commands are followed and are none.
//!
//! **States.** Greeting → the client's response → session → over. Each command that is answered is queued; packets of the
//! server must be the answer to the first of the queue and be numbered as such, else all in flight ends as `Lost` and the
//! session is picked up again with the next command that begins a write at an idle point. So do late joins. After a gap
//! amid rows the end of the rows is recognised by their last packet, or else the answer is `Lost`.
//! Server bytes that come before what they answer are held.
//!
//! **Statements** are reported only when they are certain: what was prepared unseen is unknown.
//!
//! **Not followed:** encrypted and compressed sessions and replication streams (they end as opaque), the X protocol,
//! protocol 3.2; a client that joined late and always has several commands in flight has its first pairs unchecked.
//! MariaDB is called `mysql`, as its drivers are by Elastic's agents.
//!
//! **Memory per connection:** kept part of one packet per side ≤ 42 KB; prepared statements ≤ 4 MiB, 1024 entries;
//! statements in flight ≤ 4 MiB, 1,024 answers awaited; held answers ≤ 32 KiB. Typically a few KB. Rows, files, parameters and
//! passwords are counted down and never kept beyond their packet.

mod answer;
mod command;
mod greeting;
mod packet;
mod question;
mod recognise;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod value;

use super::{Conversation, Join, Protocol, Verdict};

/// MySQL and MariaDB.
pub struct MySql;

impl Protocol for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn title(&self) -> &'static str {
        "MySQL, MariaDB"
    }

    fn coverage(&self) -> &'static str {
        "Queries, several statements and results at once, prepared statements, cursors, LOCAL INFILE, changes of user, \
         errors with SQLSTATE, session start-up. Not encrypted or compressed sessions, nor replication streams."
    }

    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict {
        recognise::recognise(client, server, join)
    }

    fn conversation(&self, join: Join) -> Box<dyn Conversation> {
        Box::new(session::Session::new(join))
    }
}
