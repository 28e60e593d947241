//! The same services and requests with Elastic's own agent in them, judged alike. Not run with the others: its figures are
//! for the README.

use std::{cell::Cell, sync::atomic::AtomicBool, thread};

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    decoder::Decoder,
    documents::{Documents, text},
    http::Connection,
    node::Major,
    turn::Turn,
    wait,
};

use super::{CONNECTIONS, LINKS, NEEDS, Shop, Truth, UNCOUNTED, ask, converse, ids, on_each_major, portions};

#[test]
#[ignore = "it says how Elastic's agent does, not how ours does"]
fn links_of_elastic_s_agent_are_counted() -> Result<()> {
    on_each_major(|major, requests| {
        let mut truth = Truth::default();
        for (first, count) in portions(requests) {
            let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
            truth.add(Truth::of(&visit(major, first, count)?));
        }
        let figures = truth.figures(&format!("elastic-apm-node on Node.js {}", major.0), requests)?;
        // A kind of which nothing at all is right would be one that is not understood here.
        ensure!(truth.right.len() == KINDS, "{figures}");
        Ok(())
    })
}

/// Kinds of links that [`Truth`] tells apart: the queries, commands, calls and requests of [`LINKS`].
const KINDS: usize = LINKS as usize;

/// Asks for these ids, all connections together, with Elastic's agent in the services from their beginning.
fn visit(major: Major, first: u32, count: u32) -> Result<Documents> {
    let decoder = Decoder::start()?;
    let shop = Shop::open(major, Some(&decoder))?;
    let (port, attached) = (shop.front.port(), AtomicBool::new(true));
    thread::scope(|scope| {
        let client = |number| {
            let attached = &attached;
            scope.spawn(move || converse(port, number, ids(first, count, number), attached))
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(client).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    // It sends in order: when it has told of a request that came after all others, it has told what it will ever tell.
    let mut connection = Connection::open(port)?;
    let last = Cell::new(UNCOUNTED);
    wait::until("Elastic's agent to have sent all", wait::PATIENCE * 10, || {
        last.set(last.get() + 1);
        ask(&mut connection, last.get()).ok()?;
        let documents = decoder.documents().ok()?;
        let is_late = |path: &str| documents.requests().any(|request| is_uncounted(text(request, "url.path"), path));
        (is_late("/fan/") && is_late("/leaf/")).then_some(documents)
    })
}

/// A path that begins so, of an id that does not count.
fn is_uncounted(path: &str, beginning: &str) -> bool {
    let id = path.rsplit('/').next().and_then(|id| id.parse::<u32>().ok());
    path.starts_with(beginning) && id.is_some_and(|id| id > UNCOUNTED)
}
