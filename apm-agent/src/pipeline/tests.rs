//! Connections that are one socket's.

use apm_common::event::{CLOSE_LAST, DATA_OUTGOING, ROLE_CLIENT, SEALED, kind};

use super::*;
use crate::build::{Document, destination::Endpoint};

const PID: u32 = 7;
const SOCKET: u64 = 4711;

/// Keeps what calls were about.
#[derive(Default)]
struct Calls(Vec<String>);

impl Output for Calls {
    fn publish(&mut self, _: &Arc<ServiceInstance>, document: &Document) {
        if let Document::Span(span) = document {
            self.0.extend(span.http.as_ref().map(|http| format!("{} {:?}", http.url, http.status)));
        }
    }

    fn finish(&mut self) {}
}

/// A program greets in plain text, says the rest over TLS, and closes the socket.
#[test]
fn what_is_said_over_tls_is_a_connection_of_its_own_that_ends_with_its_socket() {
    let mut pipeline = Pipeline::new(Capture::default(), Ids::seeded(1), Clock { offset: 0 });
    let mut calls = Calls::default();
    pipeline.watch(PID, Arc::default());
    let mut time = 0;
    let mut handle = |kind, flags, event: Event<'_>| {
        time += 1;
        let header = Header { time, pid: PID, tid: PID, kind, flags, len: 0 };
        pipeline.handle(&header, &event, &mut calls);
    };
    let open = |id| {
        let remote = Endpoint::Ip("127.0.0.1:443".parse().unwrap());
        let local = Endpoint::Ip("127.0.0.1:40000".parse().unwrap());
        Event::Open(event::Connection { id, started: None, role: ROLE_CLIENT, local, remote, error: 0 })
    };
    let data = |connection, position, bytes| Event::Data { connection, position, owner: 0, carried: None, bytes };
    handle(kind::OPEN, 0, open(SOCKET));
    handle(kind::DATA, DATA_OUTGOING, data(SOCKET, 0, b"\x16\x03\x01\x02\x00\x01\x00 cipher text"));
    handle(kind::OPEN, 0, open(SOCKET | SEALED));
    let head: &[u8] = b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    handle(kind::DATA, DATA_OUTGOING, data(SOCKET | SEALED, 0, head));
    handle(kind::DATA, 0, data(SOCKET, 0, b"\x16\x03\x03 cipher text"));
    handle(kind::DATA, 0, data(SOCKET | SEALED, 0, b"HTTP/1.1 204 No Content\r\n\r\n"));
    handle(
        kind::DATA,
        DATA_OUTGOING,
        data(SOCKET | SEALED, head.len() as u64, b"GET /b HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
    );
    handle(kind::CLOSE, CLOSE_LAST, Event::Close { connection: SOCKET });
    assert_eq!(calls.0, ["https://shop.example/a Some(204)", "https://shop.example/b None"]);
    assert!(pipeline.connections.is_empty(), "nothing is left open");
}
