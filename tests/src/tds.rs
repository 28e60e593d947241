//! A small server that speaks enough of TDS (the protocol of SQL Server, [MS-TDS]) for SqlClient to log in and run
//! statements, procedures and transactions. It was made for the tests, because SQL Server itself is not to be had.
//!
//! It keeps no data: a `SELECT` and a procedure give one row, `item N`, N being the last number in the statement or its
//! parameters; other statements change one row; a table called `missing_table` does not exist. What it was asked it
//! remembers, so that a test can compare.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Result;

pub use self::request::{Kind, Request};
use self::{packet::Message, reply::Reply};

mod packet;
mod reply;
mod request;

/// Most requests remembered; what comes later is answered all the same.
const REQUESTS: usize = 100_000;

/// A running server; it ends, and closes its connections, with the value.
#[derive(Debug)]
pub struct SqlServer {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
}

impl SqlServer {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = socket.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let listener = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&socket, &shared)
        });
        Ok(Self { port, shared, listener: Some(listener) })
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connection string as SqlClient takes it.
    pub fn connection_string(&self) -> String {
        let port = self.port;
        format!("Server=tcp:127.0.0.1,{port};Database=shop;User ID=shop;Password=secret;Encrypt=false")
    }

    /// What it was asked so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the listener, which looks at the flag.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(socket: &TcpListener, shared: &Arc<Shared>) {
    for stream in socket.incoming().flatten() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(copy) = stream.try_clone() else { continue };
        lock(&shared.connections).push(copy);
        let shared = Arc::clone(shared);
        // A client that goes away or sends what is not TDS ends its own connection and nothing else.
        thread::spawn(move || serve(stream, &shared));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(message) = packet::read(&mut stream)? {
        let Some(reply) = answer(&message, shared) else { break };
        stream.write_all(&packet::frame(&reply))?;
    }
    stream.shutdown(Shutdown::Both)
}

/// `None`: not a message that a client sends.
fn answer(message: &Message, shared: &Shared) -> Option<Vec<u8>> {
    match message.kind {
        packet::PRELOGIN => return Some(reply::prelogin()),
        packet::LOGIN => return Some(reply::login()),
        packet::ATTENTION => return Some(Reply::default().attention()),
        _ => {}
    }
    let request = Request::read(message)?;
    let mut reply = Reply::default();
    if message.resets {
        reply.reset_connection();
    }
    let bytes = reply.answer(&request);
    let mut requests = lock(&shared.requests);
    if requests.len() < REQUESTS {
        requests.push(request);
    }
    Some(bytes)
}
