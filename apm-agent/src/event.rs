//! Kernel events as user space reads them: from the ring buffer or from a recording, the same bytes.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use apm_common::{
    event::{self as wire, kind},
    limits::{PANIC_FRAMES, VALUE_TEXT_BYTES, VALUE_WORDS},
};

mod grpc;
mod statement;

pub use grpc::GrpcCall;
pub use statement::Statement;

use self::{
    grpc::{grpc_call, peer},
    statement::statement,
};
use crate::{build::destination::Endpoint, exchange::Grpc};

/// Start of a record: when, who, what.
pub type Header = wire::EventHeader;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// Bytes on a connection.
    Data {
        /// The connection.
        connection: u64,
        /// Position of the first byte in its direction.
        position: u64,
        /// The request they go out for, by the run time's word; 0: it said nothing.
        owner: u64,
        /// The place in the trace that was written into the call which begins here.
        carried: Option<wire::CarriedBody>,
        /// What passed, perhaps nothing.
        bytes: &'a [u8],
    },
    /// A run time begins to handle a request.
    Handle {
        /// Names the request in its process.
        request: u64,
        /// The connection it came on; 0: not known.
        connection: u64,
    },
    /// The route of a request that is being handled, as the program declared it.
    Route {
        /// As above.
        request: u64,
        /// One of the `ROUTER_` values.
        router: u32,
        /// Which part of the route, from 0.
        part: u32,
        /// The route.
        text: &'a str,
    },
    /// A run time begins to handle a request that the wire does not show.
    Asked(Box<Asked>),
    /// It has handled it.
    Answered {
        /// As above.
        request: u64,
        /// Status, when it is known.
        status: Option<u16>,
        /// What gRPC says of it, if it is one of its.
        grpc: Option<Grpc>,
        /// The handler panicked.
        failed: bool,
    },
    /// A run time begins a call that the wire does not show.
    Call(Box<Call>),
    /// The call is over.
    Called {
        /// Names the call in its process.
        call: u64,
        /// Status, when an answer came.
        status: Option<u16>,
        /// It ended with an error.
        failed: bool,
        /// Something of it was sent.
        sent: bool,
    },
    /// A gRPC call begins.
    Rpc {
        /// Names the call in its process.
        call: u64,
        /// For this request.
        request: u64,
    },
    /// What a call carried that is told as over next, over HTTP/2 or of gRPC.
    Carrying {
        /// Names the call in its process.
        call: u64,
        /// The place in the trace.
        place: wire::CarriedBody,
    },
    /// A gRPC call is over.
    RpcDone(Box<GrpcCall>),
    /// The handler of a request gave an error back.
    Failed {
        /// As above.
        request: u64,
        /// The error.
        value: Box<Value<'a>>,
    },
    /// A goroutine has a driver execute a statement that no wire shows.
    Statement(Statement<'a>),
    /// The driver is back.
    StatementDone {
        /// The goroutine.
        goroutine: u64,
    },
    /// The driver is back with an error.
    StatementFailed {
        /// The goroutine.
        goroutine: u64,
        /// The error.
        value: Box<Value<'a>>,
    },
    /// A goroutine panics.
    Panic(Box<Panic<'a>>),
    /// A goroutine's panic was recovered.
    Recovered {
        /// Number of the goroutine.
        goroutine: u64,
        /// Address in the function that goes on.
        resumed_at: u64,
    },
    /// A connection seen for the first time.
    Open(Connection),
    /// A connection attempt failed.
    ConnectFailed(Connection),
    /// A descriptor was closed or a direction shut down.
    Close {
        /// The connection.
        connection: u64,
    },
    /// A process image was replaced.
    Exec {
        /// Start time, nanoseconds since boot.
        start_time: u64,
        /// `PROCESS_PENDING` or `PROCESS_WATCHED`.
        state: u32,
    },
    /// A watched process made a child.
    Fork {
        /// The child.
        child: u32,
        /// Its start time, nanoseconds since boot.
        start_time: u64,
    },
    /// A process began to listen.
    Listen {
        /// Its start time, nanoseconds since boot.
        start_time: u64,
        /// TCP port; 0 for a unix socket.
        port: u16,
        /// `PROCESS_PENDING` or `PROCESS_WATCHED`.
        state: u32,
    },
    /// A run time wrote to its channel.
    Written {
        /// What.
        batch: &'a [u8],
    },
    /// A call was to carry the place in the trace, and no program came by.
    Unreached {
        /// The connection.
        connection: u64,
        /// What seems to be its descriptor.
        descriptor: u64,
    },
    /// A watched process ended.
    Exit {
        /// Its start time, nanoseconds since boot.
        start_time: u64,
        /// Wait status.
        exit_code: u32,
    },
}

/// A request that the wire does not show ([`wire::AskedBody`]). Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Names the request in its process.
    pub request: u64,
    /// It came over TLS.
    pub over_tls: bool,
    /// It came over HTTP/2.
    pub is_http2: bool,
    /// gRPC handles it: the path names the method.
    pub is_grpc: bool,
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Query; empty when there is none.
    pub query: String,
    /// Host, with port if there is one.
    pub host: String,
    /// Address of the peer with its port.
    pub remote: String,
    /// Header `traceparent`; empty when there is none.
    pub traceparent: String,
    /// Header `elastic-apm-traceparent`.
    pub elastic_traceparent: String,
    /// Header `tracestate`.
    pub tracestate: String,
}

/// A call that the wire does not show ([`wire::CallBody`]). Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Names the call in its process until it is over.
    pub call: u64,
    /// The request for which it is made; 0: not known.
    pub owner: u64,
    /// The socket it goes out on; 0: not known.
    pub connection: u64,
    /// Method; empty: `GET`.
    pub method: String,
    /// Scheme of the URL.
    pub scheme: String,
    /// Its host, with port if there is one.
    pub host: String,
    /// Its path, decoded.
    pub path: String,
    /// Its path as the program wrote it; empty: the other with all escaped that must be.
    pub raw_path: String,
    /// Its query, as it is sent; empty when there is none.
    pub query: String,
}

/// A goroutine that panics.
#[derive(Clone, Debug, PartialEq)]
pub struct Panic<'a> {
    /// The request it handles; 0: none.
    pub request: u64,
    /// Its number.
    pub goroutine: u64,
    /// With what.
    pub value: Value<'a>,
    /// Addresses on its stack, innermost first.
    pub stack: Vec<u64>,
}

/// A value of a Go program ([`wire::ValueBody`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Value<'a> {
    /// Address of its type.
    pub value_type: u64,
    /// Its first words, or those of what it points to.
    pub words: [u64; VALUE_WORDS],
    /// A text, if the type begins with one.
    pub text: &'a [u8],
}

/// A connection's addresses and role.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Identity: inode number of the socket.
    pub id: u64,
    /// When connect was called, when that is known.
    pub started: Option<u64>,
    /// One of the `ROLE_` values.
    pub role: u8,
    /// Own end.
    pub local: Endpoint,
    /// The peer.
    pub remote: Endpoint,
    /// Positive errno of a failed attempt.
    pub error: u32,
}

/// Reads numbers off the front of a record.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }
}

/// Reads a record; `None` when it is cut short or of a kind this version does not know.
pub fn decode(record: &[u8]) -> Option<(Header, Event<'_>)> {
    let mut reader = Reader(record);
    let header = Header {
        time: reader.u64()?,
        pid: reader.u32()?,
        tid: reader.u32()?,
        kind: reader.u16()?,
        flags: reader.u16()?,
        len: reader.u32()?,
    };
    let event = match header.kind {
        kind::DATA => Event::Data {
            connection: reader.u64()?,
            position: reader.u64()?,
            owner: if header.flags & wire::DATA_OWNED == 0 { 0 } else { reader.u64()? },
            carried: if header.flags & wire::DATA_CARRIES == 0 { None } else { Some(carried(&mut reader)?) },
            bytes: reader.0.get(..usize::try_from(header.len).ok()?)?,
        },
        kind::OPEN => Event::Open(connection(&mut reader)?),
        kind::CONNECT_FAILED => Event::ConnectFailed(connection(&mut reader)?),
        kind::CLOSE => Event::Close { connection: reader.u64()? },
        kind::EXEC => {
            let start_time = reader.u64()?;
            let _path_len = reader.u32()?;
            Event::Exec { start_time, state: reader.u32()? }
        }
        kind::FORK => {
            let child = reader.u32()?;
            let _state = reader.u32()?;
            Event::Fork { child, start_time: reader.u64()? }
        }
        kind::EXIT => Event::Exit { start_time: reader.u64()?, exit_code: reader.u32()? },
        kind::LISTEN => {
            Event::Listen { start_time: reader.u64()?, port: u16::try_from(reader.u32()?).ok()?, state: reader.u32()? }
        }
        kind::HANDLE => Event::Handle { request: reader.u64()?, connection: reader.u64()? },
        kind::ROUTE => {
            let (request, router, part) = (reader.u64()?, reader.u32()?, reader.u32()?);
            let length = usize::try_from(reader.u64()?).ok()?;
            Event::Route { request, router, part, text: str::from_utf8(reader.0.get(..length)?).ok()? }
        }
        kind::WRITTEN => Event::Written { batch: reader.0.get(..usize::try_from(header.len).ok()?)? },
        kind::ASKED => Event::Asked(Box::new(asked(header.flags, &mut reader)?)),
        kind::ANSWERED => answered(header.flags, reader.u64()?, reader.u64()?),
        kind::CALL => Event::Call(Box::new(call(&mut reader)?)),
        kind::CALLED => Event::Called {
            call: reader.u64()?,
            status: u16::try_from(reader.u64()?).ok().filter(|status| *status > 0),
            failed: header.flags & wire::CALLED_FAILED != 0,
            sent: header.flags & wire::CALLED_UNSENT == 0,
        },
        kind::CARRYING => Event::Carrying { call: reader.u64()?, place: carried(&mut reader)? },
        kind::RPC => Event::Rpc { call: reader.u64()?, request: reader.u64()? },
        kind::RPC_DONE => Event::RpcDone(Box::new(grpc_call(header.flags, &mut reader)?)),
        kind::FAILED => Event::Failed { request: reader.u64()?, value: Box::new(value(&mut reader)?) },
        kind::STATEMENT => Event::Statement(statement(&mut reader)?),
        kind::STATEMENT_DONE => Event::StatementDone { goroutine: reader.u64()? },
        kind::STATEMENT_FAILED => {
            Event::StatementFailed { goroutine: reader.u64()?, value: Box::new(value(&mut reader)?) }
        }
        kind::PANIC => Event::Panic(Box::new(panic(&mut reader)?)),
        kind::UNREACHED => Event::Unreached { connection: reader.u64()?, descriptor: reader.u64()? },
        kind::RECOVERED => Event::Recovered { goroutine: reader.u64()?, resumed_at: reader.u64()? },
        _ => return None,
    };
    Some((header, event))
}

/// Writes the role into the record of an opened connection; the kernel does not know it of one it meets late.
pub fn set_role(record: &mut [u8], role: u8) {
    if let Some(byte) = record.get_mut(wire::ROLE_OFFSET) {
        *byte = role;
    }
}

fn carried(reader: &mut Reader<'_>) -> Option<wire::CarriedBody> {
    let trace = [reader.u64()?, reader.u64()?];
    Some(wire::CarriedBody { trace, span: reader.u64()?, flags: reader.u64()? })
}

fn asked(flags: u16, reader: &mut Reader<'_>) -> Option<Asked> {
    Some(Asked {
        request: reader.u64()?,
        over_tls: flags & wire::ASKED_TLS != 0,
        is_http2: flags & wire::ASKED_HTTP2 != 0,
        is_grpc: flags & wire::ASKED_GRPC != 0,
        method: text::<16>(reader)?,
        path: text::<512>(reader)?,
        query: text::<512>(reader)?,
        host: text::<128>(reader)?,
        remote: match flags & wire::ASKED_GRPC {
            0 => text::<64>(reader)?,
            _ => peer::<64>(reader)?.to_string(),
        },
        traceparent: text::<64>(reader)?,
        elastic_traceparent: text::<64>(reader)?,
        tracestate: text::<512>(reader)?,
    })
}

fn call(reader: &mut Reader<'_>) -> Option<Call> {
    Some(Call {
        call: reader.u64()?,
        owner: reader.u64()?,
        connection: reader.u64()?,
        method: text::<16>(reader)?,
        scheme: text::<8>(reader)?,
        host: text::<128>(reader)?,
        path: text::<512>(reader)?,
        raw_path: text::<512>(reader)?,
        query: text::<512>(reader)?,
    })
}

fn answered<'a>(flags: u16, request: u64, status: u64) -> Event<'a> {
    let failed = flags & wire::ANSWERED_FAILED != 0;
    match flags & wire::ANSWERED_GRPC {
        0 => {
            let status = u16::try_from(status).ok().filter(|status| *status > 0);
            Event::Answered { request, status, grpc: None, failed }
        }
        _ => Event::Answered { request, status: None, grpc: Some(Grpc { code: u32::try_from(status).ok() }), failed },
    }
}

/// A [`wire::Text`].
fn text<const N: usize>(reader: &mut Reader<'_>) -> Option<String> {
    bytes::<N>(reader)
        .map(|(bytes, length)| String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
}

/// The bytes of a [`wire::Text`], and how many of them count.
fn bytes<const N: usize>(reader: &mut Reader<'_>) -> Option<([u8; N], usize)> {
    let length = usize::try_from(reader.u64()?).ok()?;
    (length <= N).then_some((reader.take::<N>()?, length))
}

fn panic<'a>(reader: &mut Reader<'a>) -> Option<Panic<'a>> {
    let (request, goroutine, value) = (reader.u64()?, reader.u64()?, value(reader)?);
    let frames = usize::try_from(reader.u64()?).ok()?;
    let stack = (0..frames.min(PANIC_FRAMES)).map_while(|_| reader.u64()).collect();
    Some(Panic { request, goroutine, value, stack })
}

fn value<'a>(reader: &mut Reader<'a>) -> Option<Value<'a>> {
    let value_type = reader.u64()?;
    let mut words = [0; VALUE_WORDS];
    for word in &mut words {
        *word = reader.u64()?;
    }
    let length = usize::try_from(reader.u64()?).ok()?;
    let (text, rest) = reader.0.split_at_checked(VALUE_TEXT_BYTES)?;
    reader.0 = rest;
    Some(Value { value_type, words, text: text.get(..length)? })
}

fn connection(reader: &mut Reader<'_>) -> Option<Connection> {
    let id = reader.u64()?;
    let started = reader.u64()?;
    let (local, remote): ([u8; 16], [u8; 16]) = (reader.take()?, reader.take()?);
    let (local_port, remote_port) = (reader.u16()?, reader.u16()?);
    let family = reader.u16()?;
    let role = reader.u8()?;
    let path_len = usize::from(reader.u8()?);
    let error = reader.u32()?;
    let path = reader.0.get(..path_len)?;
    let (local, remote) = if i32::from(family) == libc::AF_UNIX {
        unix_ends(path, local_port, remote_port, role)
    } else {
        (ip(family, local, local_port), ip(family, remote, remote_port))
    };
    Some(Connection { id, started: (started != 0).then_some(started), role, local, remote, error })
}

/// IPv4 addresses mapped into IPv6 are shown as what they are.
fn ip(family: u16, bytes: [u8; 16], port: u16) -> Endpoint {
    let [a, b, c, d, ..] = bytes;
    match i32::from(family) {
        libc::AF_INET => Endpoint::Ip(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)),
        libc::AF_INET6 => Endpoint::Ip(SocketAddr::new(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical(), port)),
        _ => Endpoint::Unknown,
    }
}

/// The kernel side marks the end that owns the path with a 1 in its port.
fn unix_ends(path: &[u8], local: u16, remote: u16, role: u8) -> (Endpoint, Endpoint) {
    let name = match path {
        [] => unnamed(),
        [0, rest @ ..] => Endpoint::Unix(format!("@{}", text_before_nul(rest))),
        path => Endpoint::Unix(text_before_nul(path)),
    };
    if local == 1 {
        (name, unnamed())
    } else if remote == 1 || role == wire::ROLE_CLIENT {
        (unnamed(), name)
    } else {
        (unnamed(), unnamed())
    }
}

fn unnamed() -> Endpoint {
    Endpoint::Unix(String::new())
}

fn text_before_nul(bytes: &[u8]) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
