//! Events in the ring buffer, as the kernel programs write them and recordings keep them.
//!
//! Each record is an [`EventHeader`] followed by the body its `kind` names; a data event's payload follows its body.

use crate::limits::{EXEC_PATH_BYTES, PANIC_FRAMES, ROUTE_BYTES, UNIX_PATH_BYTES, VALUE_TEXT_BYTES, VALUE_WORDS};

mod rpc;

pub use rpc::{CarryingBody, RPC_TLS, RpcBody, RpcDoneBody};

/// A record's body follows the header: see the type each value names.
pub mod kind {
    /// Bytes on a connection: [`DataBody`](super::DataBody), the owner if the flag [`DATA_OWNED`](super::DATA_OWNED) says
    /// so, [`CarriedBody`](super::CarriedBody) likewise, then `len` bytes.
    pub const DATA: u16 = 1;
    /// A connection seen for the first time, by accept, connect or its first bytes: [`ConnectionBody`](super::ConnectionBody).
    pub const OPEN: u16 = 2;
    /// A connection attempt that failed: [`ConnectionBody`](super::ConnectionBody) with `error`.
    pub const CONNECT_FAILED: u16 = 3;
    /// A watched process closed its descriptor or shut a direction down: [`CloseBody`](super::CloseBody).
    pub const CLOSE: u16 = 4;
    /// A process image was replaced: [`ExecBody`](super::ExecBody).
    pub const EXEC: u16 = 5;
    /// A watched process made a child process, which is watched too: [`ForkBody`](super::ForkBody).
    pub const FORK: u16 = 6;
    /// The last thread of a watched process ended: [`ExitBody`](super::ExitBody).
    pub const EXIT: u16 = 7;
    /// A process began to listen: [`ListenBody`](super::ListenBody).
    pub const LISTEN: u16 = 8;
    /// A run time begins to handle a request: [`HandleBody`](super::HandleBody).
    pub const HANDLE: u16 = 9;
    /// A request's route is known: [`RouteBody`](super::RouteBody).
    pub const ROUTE: u16 = 10;
    /// A goroutine panics: [`PanicBody`](super::PanicBody).
    pub const PANIC: u16 = 11;
    /// A goroutine's panic was recovered: [`RecoveredBody`](super::RecoveredBody).
    pub const RECOVERED: u16 = 12;
    /// A run time wrote to its channel: `len` bytes follow the header.
    pub const WRITTEN: u16 = 13;
    /// A handler gave an error back: [`FailedBody`](super::FailedBody).
    pub const FAILED: u16 = 14;
    /// A run time begins to handle a request that the wire does not show: [`AskedBody`](super::AskedBody).
    pub const ASKED: u16 = 15;
    /// It has handled it: [`AnsweredBody`](super::AnsweredBody).
    pub const ANSWERED: u16 = 16;
    /// A run time begins a call that the wire does not show: [`CallBody`](super::CallBody).
    pub const CALL: u16 = 21;
    /// The call is over: [`CalledBody`](super::CalledBody).
    pub const CALLED: u16 = 22;
    /// A goroutine has a driver execute a statement that no wire shows: [`StatementBody`](super::StatementBody).
    pub const STATEMENT: u16 = 24;
    /// The driver is back: [`StatementDoneBody`](super::StatementDoneBody).
    pub const STATEMENT_DONE: u16 = 25;
    /// The driver is back with an error: [`StatementFailedBody`](super::StatementFailedBody).
    pub const STATEMENT_FAILED: u16 = 26;
    /// A gRPC call begins for a request: [`RpcBody`](super::RpcBody).
    pub const RPC: u16 = 27;
    /// A gRPC call is over: [`RpcDoneBody`](super::RpcDoneBody).
    pub const RPC_DONE: u16 = 28;
    /// What a call carried that will be told as over next: [`CarryingBody`](super::CarryingBody).
    pub const CARRYING: u16 = 29;
    /// A call went out where nothing can be put in yet: [`UnreachedBody`](crate::propagation::UnreachedBody).
    pub const UNREACHED: u16 = 30;
}

/// Start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventHeader {
    /// `CLOCK_MONOTONIC` nanoseconds, taken in the kernel.
    pub time: u64,
    /// Process id (tgid) in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// Flags of the kind.
    pub flags: u16,
    /// Payload bytes after the body.
    pub len: u32,
}

/// The socket's bytes went out of the watched process (else they came in).
pub const DATA_OUTGOING: u16 = 1;
/// The socket does not block, or is registered with an epoll instance: an event loop may serve it, the thread is no evidence.
/// Both are asked because a run time may read what is there already before it registers the socket (.NET does).
pub const DATA_POLLED: u16 = 2;
/// The read returned end of file; no bytes.
pub const DATA_END: u16 = 4;
/// The connection failed (`ECONNRESET`, `EPIPE`, …); no bytes.
pub const DATA_ERROR: u16 = 8;
/// The run time says for which request the bytes go out: before the payload stand eight bytes that name it
/// ([`HandleBody::request`]). They do not count as payload.
pub const DATA_OWNED: u16 = 16;
/// A place in the trace was written into the call that begins with the first byte: behind the owner stands a
/// [`CarriedBody`]. It does not count as payload, and what was written does not count in positions.
pub const DATA_CARRIES: u16 = 32;

/// The recording flag of [`CarriedBody::flags`]: the trace is recorded.
pub const CARRIED_SAMPLED: u64 = 1;

/// The place in the trace that a call carries.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarriedBody {
    /// The trace, the upper half first.
    pub trace: [u64; 2],
    /// The call's own span.
    pub span: u64,
    /// [`CARRIED_SAMPLED`] or 0.
    pub flags: u64,
}

/// Bytes on a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataBody {
    /// The connection: inode number of its socket, the same in every process that holds it and never reused while it lives.
    pub connection: u64,
    /// Position of the payload's first byte in this direction, counted since the connection was first seen. A jump is
    /// a gap: bytes over budget, in too many vectors, sent from a file, or in an event that was lost. An event without
    /// payload says how far the stream has come.
    pub position: u64,
}

/// Of a connection's number: not what passed on the socket of the number without it, but the plain text that its process
/// says there over TLS, told by probes. A connection of its own, whose end is that of the socket; no inode has such a
/// number.
pub const SEALED: u64 = 1 << 62;

/// Where [`ConnectionBody::role`] lies in a record: user space fills in the role of an adopted connection.
pub const ROLE_OFFSET: usize = 24 + core::mem::offset_of!(ConnectionBody, role);

/// We cannot say which end we are.
pub const ROLE_UNKNOWN: u8 = 0;
/// The watched process connected.
pub const ROLE_CLIENT: u8 = 1;
/// The watched process accepted.
pub const ROLE_SERVER: u8 = 2;

/// The connection existed before we saw it: bytes have passed unseen.
pub const OPEN_ADOPTED: u16 = 1;

/// A connection's addresses and role.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionBody {
    /// As in [`DataBody::connection`].
    pub connection: u64,
    /// `CLOCK_MONOTONIC` nanoseconds when connect was called; 0 when unknown.
    pub started: u64,
    /// Own address: IPv4 in the first four bytes, or IPv6.
    pub local: [u8; 16],
    /// The peer's address.
    pub remote: [u8; 16],
    /// Own port, host byte order.
    pub local_port: u16,
    /// The peer's port, host byte order.
    pub remote_port: u16,
    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    pub family: u16,
    /// One of the `ROLE_` values.
    pub role: u8,
    /// Bytes of `path`.
    pub path_len: u8,
    /// Positive errno of a failed attempt, else 0.
    pub error: u32,
    /// Unix socket path of the listening end (abstract ones start with NUL).
    pub path: [u8; UNIX_PATH_BYTES],
}

/// The last descriptor of the socket is going: the connection ends.
pub const CLOSE_LAST: u16 = 1;
/// `shutdown(SHUT_RD)`
pub const CLOSE_READ: u16 = 2;
/// `shutdown(SHUT_WR)`
pub const CLOSE_WRITE: u16 = 4;

/// A descriptor closed or a direction shut down.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseBody {
    /// As in [`DataBody::connection`].
    pub connection: u64,
}

/// A new process image. For a process that was not watched the state is [`PROCESS_PENDING`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecBody {
    /// Process start time, nanoseconds since boot (`/proc/PID/stat` field 22 is this in ticks).
    pub start_time: u64,
    /// Bytes of `path`.
    pub path_len: u32,
    /// State the process has in the process map after this event.
    pub state: u32,
    /// Path as given to exec, cut.
    pub path: [u8; EXEC_PATH_BYTES],
}

/// A child of a watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForkBody {
    /// The child's process id.
    pub child: u32,
    /// State the child inherited.
    pub state: u32,
    /// The child's start time, nanoseconds since boot.
    pub start_time: u64,
}

/// The end of a watched process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitBody {
    /// As in [`ExecBody::start_time`].
    pub start_time: u64,
    /// `task_struct.exit_code`: status in bits 8–15, signal in bits 0–6.
    pub exit_code: u32,
    /// Always 0.
    pub reserved: u32,
}

/// A socket that listens now. A process that was not watched is [`PROCESS_PENDING`] after this event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenBody {
    /// As in [`ExecBody::start_time`].
    pub start_time: u64,
    /// TCP port; 0 for a unix socket.
    pub port: u32,
    /// State the process has in the process map after this event.
    pub state: u32,
}

/// A request that a run time handles.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandleBody {
    /// Names the request within its process, as long as anybody may speak of it. Never 0, less than 2⁴¹.
    pub request: u64,
    /// As in [`DataBody::connection`]; 0: not known.
    pub connection: u64,
}

/// A call over HTTP/2.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallBody {
    /// Names the call within its process until it is over: number of the goroutine that sees to it.
    pub call: u64,
    /// The request for which it is made, as in [`HandleBody::request`]; 0: not known.
    pub owner: u64,
    /// The socket it goes out on, as in [`DataBody::connection`]; 0: not known.
    pub connection: u64,
    /// Method; empty: `GET`.
    pub method: Text<16>,
    /// Scheme of the URL.
    pub scheme: Text<8>,
    /// Its host, with port if there is one.
    pub host: Text<128>,
    /// Its path, decoded.
    pub path: Text<512>,
    /// Its path as the program wrote it, where that cannot be told by the other.
    pub raw_path: Text<512>,
    /// Its query, as it is sent.
    pub query: Text<512>,
}

/// It ended with an error.
pub const CALLED_FAILED: u16 = 1;
/// Nothing of it was sent: it may be tried again on another connection.
pub const CALLED_UNSENT: u16 = 2;

/// The end of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CalledBody {
    /// As in [`CallBody::call`].
    pub call: u64,
    /// Status of the answer; 0: none came.
    pub status: u64,
}

/// The request came over TLS.
pub const ASKED_TLS: u16 = 1;
/// The request came over HTTP/2.
pub const ASKED_HTTP2: u16 = 2;
/// The request is one of gRPC: its path is the method, and its peer an address ([`RpcDoneBody::remote`]), not a text.
pub const ASKED_GRPC: u16 = 4;

/// A text of at most `N` bytes; a longer one is cut.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<const N: usize> {
    /// Bytes of it.
    pub len: u64,
    /// They, then anything.
    pub bytes: [u8; N],
}

/// A request that the wire does not show: over TLS, or HTTP/2. The header's flags say which.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedBody {
    /// As in [`HandleBody::request`].
    pub request: u64,
    /// Method.
    pub method: Text<16>,
    /// Path.
    pub path: Text<512>,
    /// Query.
    pub query: Text<512>,
    /// Host, with port if there is one.
    pub host: Text<128>,
    /// Address of the peer with its port.
    pub remote: Text<64>,
    /// Header `Traceparent`.
    pub traceparent: Text<64>,
    /// Header `Elastic-Apm-Traceparent`.
    pub elastic_traceparent: Text<64>,
    /// Header `Tracestate`.
    pub tracestate: Text<512>,
}

/// The handler of a request gave up: it panicked.
pub const ANSWERED_FAILED: u16 = 1;
/// The status is one of gRPC. Of a request that came over `net/http` ([`ROUTER_GRPC`]) that tells the end, too.
pub const ANSWERED_GRPC: u16 = 2;

/// Status of gRPC that is not known.
pub const NO_CODE: u64 = u64::MAX;

/// The end of such a request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnsweredBody {
    /// As in [`HandleBody::request`].
    pub request: u64,
    /// Status; 0: not known. Of gRPC `google.rpc.Code`, or [`NO_CODE`].
    pub status: u64,
}

/// The driver is github.com/mattn/go-sqlite3.
pub const SQLITE_MATTN: u32 = 0;
/// The driver is modernc.org/sqlite.
pub const SQLITE_MODERNC: u32 = 1;
/// How many there are.
pub const SQLITE_DRIVERS: u32 = 2;

/// The statement is executed, and gives back rows.
pub const STATEMENT_QUERY: u32 = 0;
/// The statement is prepared.
pub const STATEMENT_PREPARE: u32 = 1;
/// The statement is executed, and gives back no rows.
pub const STATEMENT_EXEC: u32 = 2;

/// A statement, with room for its text: a [`Text`], of one of two lengths.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementBody<T> {
    /// The request it is executed for, as in [`HandleBody::request`]; 0: not known.
    pub request: u64,
    /// The goroutine that waits for it.
    pub goroutine: u64,
    /// One of the `SQLITE_` values.
    pub driver: u32,
    /// One of the `STATEMENT_` values.
    pub operation: u32,
    /// Bytes of the whole text.
    pub length: u64,
    /// The text, as much of it as there is room for.
    pub text: T,
}

/// The end of a statement.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatementDoneBody {
    /// As in [`StatementBody::goroutine`].
    pub goroutine: u64,
}

/// The end of a statement that failed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementFailedBody {
    /// As in [`StatementBody::goroutine`].
    pub goroutine: u64,
    /// The error. Of a `sqlite3.Error` the first word is its code, and the text its message.
    pub value: ValueBody,
}

/// The pattern is one of Go's `ServeMux`: `[METHOD ][HOST]/[PATH]`.
pub const ROUTER_SERVE_MUX: u32 = 1;
/// The pattern is one of gin, or of echo.
pub const ROUTER_PLAIN: u32 = 2;
/// The pattern is a template of gorilla/mux.
pub const ROUTER_GORILLA: u32 = 3;
/// The pattern is a part of one of chi: each router in a router adds its own.
pub const ROUTER_CHI: u32 = 4;
/// The pattern is a method of gRPC, which answers a request of `net/http`.
pub const ROUTER_GRPC: u32 = 5;

/// A request's route, as the program declared it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBody {
    /// As in [`HandleBody::request`].
    pub request: u64,
    /// Who found it: one of the `ROUTER_` values.
    pub router: u32,
    /// Which part of it, from 0.
    pub part: u32,
    /// Bytes of `text`.
    pub text_len: u64,
    /// For example `GET /items/{id}`.
    pub text: [u8; ROUTE_BYTES],
}

/// A value of a Go program: an error, or what it panicked with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueBody {
    /// Address of its type.
    pub value_type: u64,
    /// Its first words, or those of what it points to. Of an `*echo.HTTPError`: code, type of the message, 0, and 1 if
    /// there is an inner error.
    pub words: [u64; VALUE_WORDS],
    /// Bytes of `text`.
    pub text_len: u64,
    /// What lies where the first word points, as long as the second says: a text, if the type begins with one. Of an
    /// `*echo.HTTPError` the message, if that is a text.
    pub text: [u8; VALUE_TEXT_BYTES],
}

/// A goroutine that panics.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicBody {
    /// The request it handles, as in [`HandleBody::request`]; 0: none.
    pub request: u64,
    /// Its number.
    pub goroutine: u64,
    /// With what.
    pub value: ValueBody,
    /// Addresses in `stack`.
    pub frames: u64,
    /// Addresses on its stack, innermost first.
    pub stack: [u64; PANIC_FRAMES],
}

/// An error that a request's handler gave back.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedBody {
    /// As in [`HandleBody::request`].
    pub request: u64,
    /// The error.
    pub value: ValueBody,
}

/// A panic that was recovered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveredBody {
    /// Number of the goroutine.
    pub goroutine: u64,
    /// Address in the function that goes on.
    pub resumed_at: u64,
}

/// Captured, and kept by user space until it has decided.
pub const PROCESS_PENDING: u32 = 1;
/// Captured and reported.
pub const PROCESS_WATCHED: u32 = 2;

/// Value of the process map, keyed by process id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessEntry {
    /// Start time, nanoseconds since boot; 0 when user space added it without knowing.
    pub start_time: u64,
    /// [`PROCESS_PENDING`] or [`PROCESS_WATCHED`].
    pub state: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<EventHeader>() == 24);
    assert!(size_of::<DataBody>() == 16);
    assert!(size_of::<CarriedBody>() == 32);
    assert!(size_of::<ConnectionBody>() == 168);
    assert!(size_of::<CloseBody>() == 8);
    assert!(size_of::<ExecBody>() == 272);
    assert!(size_of::<ForkBody>() == 16);
    assert!(size_of::<ExitBody>() == 16);
    assert!(size_of::<ListenBody>() == 16);
    assert!(size_of::<HandleBody>() == 16);
    assert!(size_of::<RouteBody>() == 216);
    assert!(size_of::<PanicBody>() == 1096);
    assert!(size_of::<FailedBody>() == 568);
    assert!(size_of::<AskedBody>() == 1944);
    assert!(size_of::<AnsweredBody>() == 16);
    assert!(size_of::<CallBody>() == 1760);
    assert!(size_of::<CalledBody>() == 16);
    assert!(size_of::<RecoveredBody>() == 16);
    assert!(size_of::<StatementBody<Text<8>>>() == 48);
    assert!(size_of::<StatementFailedBody>() == 568);
    assert!(size_of::<ProcessEntry>() == 16);
};
