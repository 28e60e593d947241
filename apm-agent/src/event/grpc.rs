//! Calls over gRPC, and peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use apm_common::event as wire;

use super::{Reader, bytes, text};
use crate::build::destination::Endpoint;

/// A gRPC call that is over ([`wire::RpcDoneBody`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcCall {
    /// Names the call in its process.
    pub call: u64,
    /// The request for which it was made; 0: none, or not certain.
    pub request: u64,
    /// When it began, `CLOCK_MONOTONIC` nanoseconds.
    pub started: u64,
    /// It went over TLS.
    pub over_tls: bool,
    /// `google.rpc.Code`; `None`: an error of which none is known.
    pub code: Option<u32>,
    /// Method, for example `/shop.Shop/Order`.
    pub method: String,
    /// Whom it was meant for, by the caller's word.
    pub host: String,
    /// The peer.
    pub remote: Endpoint,
}

/// Reads a [`wire::RpcDoneBody`].
pub(super) fn grpc_call(flags: u16, reader: &mut Reader<'_>) -> Option<GrpcCall> {
    Some(GrpcCall {
        call: reader.u64()?,
        request: reader.u64()?,
        started: reader.u64()?,
        over_tls: flags & wire::RPC_TLS != 0,
        code: u32::try_from(reader.u64()?).ok(),
        method: text::<256>(reader)?,
        host: text::<128>(reader)?,
        remote: peer::<24>(reader)?,
    })
}

/// A [`wire::Text`] that is the address of a peer ([`wire::RpcDoneBody::remote`]).
pub(super) fn peer<const N: usize>(reader: &mut Reader<'_>) -> Option<Endpoint> {
    let (bytes, length) = bytes::<N>(reader)?;
    let mut reader = Reader(bytes.get(..length)?);
    let Some(port) = reader.u16() else { return Some(Endpoint::Unknown) };
    let address: IpAddr = match reader.0.len() {
        4 => Ipv4Addr::from(reader.take::<4>()?).into(),
        _ => Ipv6Addr::from(reader.take::<16>()?).to_canonical(),
    };
    Some(Endpoint::Ip(SocketAddr::new(address, port)))
}
