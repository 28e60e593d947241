//! A server that answers every HTTP/1 request and keeps the bytes of each, as they came.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::Result;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A running server; its threads end with the test.
#[derive(Debug)]
pub struct Callee {
    port: u16,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
}

impl Callee {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (port, requests, connections) = (listener.local_addr()?.port(), Arc::default(), Arc::default());
        let (kept, counted): (_, Arc<AtomicUsize>) = (Arc::clone(&requests), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Ok(Self { port, requests, connections })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The requests so far, in the order of their ends.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65_536]);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend(chunk.iter().take(count));
        while let Some(length) = whole(&bytes) {
            let rest = bytes.split_off(length);
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::replace(&mut bytes, rest));
            stream.write_all(ANSWER)?;
        }
    }
}

/// Bytes of the first request, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = 4 + position(bytes, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    if value("Transfer-Encoding").is_some() {
        return Some(head + position(&bytes[head..], b"0\r\n\r\n")? + 5);
    }
    let length = head + value("Content-Length").map_or(0, |length| length.parse().unwrap_or(0));
    (bytes.len() >= length).then_some(length)
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
