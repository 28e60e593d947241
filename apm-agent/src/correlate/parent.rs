//! Sources of parents, and how much each is worth.
//!
//! A source answers for one call: certain, ambiguous, or nothing known. The best rank wins; sources of run times
//! (goroutines, Node's and .NET's contexts) are added to [`PARENT_SOURCES`] as one file and one line each.

use super::{
    named::ByName,
    request::{RequestKey, Requests},
};
use crate::exchange::Nanos;

/// Kinds of evidence, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The run time itself says in whose context the call was made.
    Explicit,
    /// The call's task descends from the request's.
    Ancestry,
    /// The thread that made the call was serving exactly this request.
    Thread,
}

/// A call that looks for its parent.
#[derive(Clone, Copy, Debug)]
pub struct CallSite {
    /// Process that made the call.
    pub pid: u32,
    /// Thread that sent its first byte.
    pub tid: u32,
    /// When.
    pub time: Nanos,
    /// The request it is made for, by the run time's word; 0: it said nothing.
    pub owner: u64,
}

/// What a source knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// This request, certainly.
    Certain(RequestKey),
    /// Several requests could be it.
    Ambiguous,
    /// Nothing is known.
    Nothing,
}

/// Knows the parents of some calls.
pub trait ParentSource: Sync {
    /// What its evidence is worth.
    fn rank(&self) -> Rank;

    /// Whose child is the call?
    fn parent(&self, call: &CallSite, requests: &Requests) -> Evidence;
}

/// Every source, best rank first.
pub static PARENT_SOURCES: &[&dyn ParentSource] = &[&ByName, &SameThread];

/// The thread that made the call had read exactly one request it had not answered yet, from a blocking socket no epoll
/// instance knows. This is how servers with a thread or a process per request work, and only they: requests read from
/// other sockets are not entered as their thread's (see `Requests::opened`).
pub struct SameThread;

impl ParentSource for SameThread {
    fn rank(&self) -> Rank {
        Rank::Thread
    }

    fn parent(&self, call: &CallSite, requests: &Requests) -> Evidence {
        let mut serving = requests.served_by(call.tid);
        let Some(first) = serving.next() else {
            return Evidence::Nothing;
        };
        // Pipelined requests of one connection are served in order: the oldest is meant.
        if serving.any(|other| other.connection != first.connection) {
            return Evidence::Ambiguous;
        }
        match requests.get(first) {
            Some(request) if request.opened <= call.time && request.pid == call.pid => Evidence::Certain(first),
            _ => Evidence::Nothing,
        }
    }
}

/// Asks every source in order of rank; the first that is certain decides, an ambiguity ends the search.
pub fn find(call: &CallSite, requests: &Requests) -> Evidence {
    PARENT_SOURCES
        .iter()
        .map(|source| source.parent(call, requests))
        .find(|evidence| *evidence != Evidence::Nothing)
        .unwrap_or(Evidence::Nothing)
}
