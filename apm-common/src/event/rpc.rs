//! Calls over gRPC, and what calls carry that the wire does not show.

use super::{CarriedBody, Text};

/// A gRPC call that begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RpcBody {
    /// Names the call as [`HandleBody::request`](super::HandleBody::request) does requests.
    pub call: u64,
    /// For which request, as in [`HandleBody::request`](super::HandleBody::request).
    pub request: u64,
}

/// The call went over TLS.
pub const RPC_TLS: u16 = 1;

/// A gRPC call that is over.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcDoneBody {
    /// As in [`RpcBody::call`].
    pub call: u64,
    /// As in [`RpcBody::request`]; 0: none, or not certain.
    pub request: u64,
    /// `CLOCK_MONOTONIC` nanoseconds when it began.
    pub started: u64,
    /// `google.rpc.Code`; [`NO_CODE`](super::NO_CODE): an error of which none is known.
    pub code: u64,
    /// Method, for example `/shop.Shop/Order`.
    pub method: Text<256>,
    /// Whom it was meant for.
    pub host: Text<128>,
    /// The peer: port in host byte order, then 4 or 16 bytes of its IP address; empty: not known.
    pub remote: Text<24>,
}

/// What was written into a call over HTTP/2, of gRPC or not.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarryingBody {
    /// As in [`CallBody::call`](super::CallBody::call), or [`RpcBody::call`].
    pub call: u64,
    /// The place in the trace that it carries.
    pub place: CarriedBody,
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<CarryingBody>() == 40);
    assert!(size_of::<RpcBody>() == 16);
    assert!(size_of::<RpcDoneBody>() == 464);
};
