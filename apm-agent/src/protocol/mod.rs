//! Protocol parsers: one file each and one line in [`PROTOCOLS`].
//!
//! A parser is passive: it sees both directions of a connection, perhaps joined late, perhaps with gaps, perhaps
//! hostile bytes. It never fails and never panics: what it does not understand it skips, and says so with
//! [`Signal::Resynchronised`]. It knows bytes and time, and nothing of processes, sockets or Elastic.
//!
//! To add one: a file here that implements [`Protocol`], a line in [`PROTOCOLS`], transcripts in
//! `tests/transcripts/<name>/`, a fuzz target in `apm-agent/fuzz/`, a row in the README's matrix
//! (`cargo xtask matrix`). A test walks the list and fails if a piece is missing.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use crate::exchange::{Side, Signal, Stamp};

mod early;
mod flight;
pub mod http1;
pub mod mongodb;
pub mod mysql;
pub mod postgres;
pub mod redis;
mod statement;

/// Every protocol, in the order in which they are asked for an opinion: those with the clearest first bytes first.
pub static PROTOCOLS: &[&dyn Protocol] =
    &[&http1::Http1, &postgres::Postgres, &mysql::MySql, &redis::Redis, &mongodb::MongoDb];

/// What a protocol says about the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Certainly not this protocol.
    No,
    /// Could be; more bytes will tell.
    Maybe,
    /// It is.
    Yes,
}

/// What a side's bytes say of a protocol in which a connection was joined late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// These are none of its messages.
    Against,
    /// They could be.
    Weak,
    /// They are.
    Strong,
}

/// How a parser meets its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// From its first byte.
    Start,
    /// Later: bytes have passed unseen, in both directions.
    Late,
}

/// A protocol: how to recognise it, and how to follow a conversation in it.
pub trait Protocol: Sync {
    /// Name in lower case, also that of its transcripts and fuzz target.
    fn name(&self) -> &'static str;

    /// Title in the README's matrix.
    fn title(&self) -> &'static str;

    /// What is followed and what is not, one sentence each, for the README's matrix.
    fn coverage(&self) -> &'static str;

    /// Judges the first bytes seen of each side (each possibly empty). Must be cheap, and strict: a wrong `Yes` costs
    /// the whole connection.
    fn recognise(&self, client: &[u8], server: &[u8], join: Join) -> Verdict;

    /// Starts following a conversation.
    fn conversation(&self, join: Join) -> Box<dyn Conversation>;
}

/// One connection's conversation. Memory is bounded by the implementation, which states the bound in its header.
pub trait Conversation: Send {
    /// Bytes passed, in order for their side. The sides may be slightly out of order against each other: an answer can
    /// come before the question it answers, when different threads read and write.
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>);

    /// `length` bytes passed unseen.
    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>);

    /// A side will send no more (`Some`: end of file, shutdown, close by that side), or the connection failed or is
    /// no longer watched (`None`).
    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>);

    /// Watching ends with the connection still open (process exit, detach): open exchanges become
    /// [`Ending::Unfinished`](crate::exchange::Ending::Unfinished).
    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>);
}

/// Says how many bytes were skipped, once a side is in step again or over.
fn report_skipped(skipped: &mut u64, signals: &mut Vec<Signal>) {
    if *skipped > 0 {
        signals.push(Signal::Resynchronised { bytes: std::mem::take(skipped) });
    }
}
