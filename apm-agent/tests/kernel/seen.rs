//! Decoded events as the tests compare them: without times and thread ids, with the test's names of connections.

use std::net::SocketAddr;

use apm_agent::{
    build::destination::Endpoint,
    event::{self, Event, decode},
};
use apm_common::event::{DATA_OUTGOING, OPEN_ADOPTED, kind};

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Bytes; flags without the direction.
    Out(char, u64, Vec<u8>, u16),
    In(char, u64, Vec<u8>, u16),
    /// A connection; true when it was there before.
    Open(char, event::Connection, bool),
    Failed(char, event::Connection),
    Close(char, u16),
    Exec(u32),
    Fork(u32),
    Listen(u16, u32),
    Written(Vec<u8>),
    Exit(u32),
    Handle(u64, char),
    Route(u64, String),
    Panic(u64),
    Recovered(u64),
    GaveError(u64),
    Statement(u64),
    Asked(u64),
    Answered(u64),
    Call(u64),
    Called(u64),
    GrpcCall(u64),
    Unreached(char),
}

/// An event and the process it is about (0: unknown).
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub pid: u32,
    pub start_time: u64,
    pub time: u64,
    pub what: Seen,
}

/// Decodes a record; `name` turns connections into letters.
pub fn read(record: &[u8], name: impl Fn(u64) -> char) -> Told {
    let (header, event) = decode(record).unwrap_or_else(|| panic!("a record that cannot be read: {record:?}"));
    let mut start = 0;
    let what = match event {
        Event::Data { connection, position, bytes, .. } => {
            let (bytes, flags) = (bytes.to_vec(), header.flags & !DATA_OUTGOING);
            match header.flags & DATA_OUTGOING {
                0 => Seen::In(name(connection), position, bytes, flags),
                _ => Seen::Out(name(connection), position, bytes, flags),
            }
        }
        Event::Open(open) => Seen::Open(name(open.id), open, header.flags & OPEN_ADOPTED != 0),
        Event::Handle { request, connection } => Seen::Handle(request, name(connection)),
        Event::Route { request, text, .. } => Seen::Route(request, text.to_owned()),
        Event::Panic(panic) => Seen::Panic(panic.goroutine),
        Event::Recovered { goroutine, .. } => Seen::Recovered(goroutine),
        Event::Asked(asked) => Seen::Asked(asked.request),
        Event::Answered { request, .. } => Seen::Answered(request),
        Event::Call(call) => Seen::Call(call.call),
        Event::Called { call, .. } => Seen::Called(call),
        Event::Failed { request, .. } => Seen::GaveError(request),
        Event::Statement(statement) => Seen::Statement(statement.goroutine),
        Event::StatementDone { goroutine } | Event::StatementFailed { goroutine, .. } => Seen::Statement(goroutine),
        Event::Rpc { call, .. } => Seen::GrpcCall(call),
        Event::RpcDone(ended) => Seen::GrpcCall(ended.call),
        Event::Carrying { call, .. } => Seen::GrpcCall(call),
        Event::ConnectFailed(open) => Seen::Failed(name(open.id), open),
        Event::Unreached { connection, .. } => Seen::Unreached(name(connection)),
        Event::Close { connection } => Seen::Close(name(connection), header.flags),
        Event::Exec { start_time, state } => {
            start = start_time;
            Seen::Exec(state)
        }
        Event::Fork { child, start_time } => {
            start = start_time;
            Seen::Fork(child)
        }
        Event::Listen { start_time, port, state } => {
            start = start_time;
            Seen::Listen(port, state)
        }
        Event::Written { batch } => Seen::Written(batch.to_vec()),
        Event::Exit { start_time, exit_code } => {
            start = start_time;
            Seen::Exit(exit_code)
        }
    };
    assert!((kind::DATA..=kind::STATEMENT_FAILED).contains(&header.kind));
    Told { pid: header.pid, start_time: start, time: header.time, what }
}

/// The bytes of a call of the actor's.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// An address as events name it.
pub fn ip(address: &str, port: u16) -> Endpoint {
    Endpoint::Ip(SocketAddr::new(address.parse().expect("an address"), port))
}

/// A unix path as events name it.
pub fn path(path: &str) -> Endpoint {
    Endpoint::Unix(path.into())
}
