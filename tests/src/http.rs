//! A small HTTP/1.1 client on a bare socket: a test must be able to say exactly which bytes are sent, and when.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// Longest wait for a byte.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An open connection that is used for one request after the other.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer, its body taken out of its framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))
            .with_context(|| format!("could not connect to port {port}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the other side has gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).context("could not send")
    }

    /// `GET path` with extra header lines (each `Name: value`), and its answer.
    ///
    /// # Errors
    /// If the connection fails or the answer is not HTTP/1.
    pub fn get(&mut self, path: &str, headers: &[&str]) -> Result<Answer> {
        self.request("GET", path, headers)
    }

    /// A request without a body, and its answer.
    ///
    /// # Errors
    /// If the connection fails or the answer is not HTTP/1.
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str]) -> Result<Answer> {
        let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let host = self.stream.get_ref().peer_addr()?;
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n").as_bytes())?;
        self.read_answer(method == "HEAD").with_context(|| format!("no answer to {method} {path}"))
    }

    /// Reads one final answer; interim answers (1xx) are passed over.
    ///
    /// # Errors
    /// If the connection fails or the answer is not HTTP/1.
    pub fn read_answer(&mut self, to_head: bool) -> Result<Answer> {
        loop {
            let (status, headers) = self.read_head()?;
            if (100..200).contains(&status) {
                continue;
            }
            let mut answer = Answer { status, headers, body: Vec::new() };
            if !to_head && status != 204 && status != 304 {
                answer.body = self.read_body(&answer)?;
            }
            return Ok(answer);
        }
    }

    /// True when the other side has closed.
    ///
    /// # Errors
    /// If nothing comes at all, not even the end.
    pub fn is_closed(&mut self) -> Result<bool> {
        match self.stream.fill_buf() {
            Ok(bytes) => Ok(bytes.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn read_head(&mut self) -> Result<(u16, Vec<(String, String)>)> {
        let first = self.read_line()?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.filter(|_| first.starts_with("HTTP/1.")).with_context(|| format!("not HTTP/1: {first}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_body(&mut self, answer: &Answer) -> Result<Vec<u8>> {
        if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return self.read_chunks();
        }
        let mut body = Vec::new();
        match answer.header("content-length") {
            Some(length) => {
                body.resize(length.parse()?, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => {
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(body.get_mut(start..).unwrap_or_default())?;
            self.read_line()?;
        }
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// `GET path` on a connection of its own.
///
/// # Errors
/// If there is no answer.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    Connection::open(port)?.get(path, &["Connection: close"])
}

/// `POST` of a whole body to `host:port`.
///
/// # Errors
/// If there is no answer.
pub fn post(address: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).context("an address has a port")?;
    let mut connection = Connection::open(port)?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    connection.send(head.as_bytes())?;
    connection.send(body)?;
    connection.read_answer(false)
}

/// Ports below those the kernel gives to clients (`ip_local_port_range`): between the choice and the beginning of a
/// server none of a load's connections takes it.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port of 127.0.0.1 that nobody uses. No other test of this process gets it, and one of another process hardly.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let count = PORTS.end - PORTS.start;
    // Processes that begin one after the other begin far from each other.
    let start = std::process::id().wrapping_mul(7919) % u32::from(count);
    let next = NEXT.get_or_init(|| AtomicU16::new(u16::try_from(start).unwrap_or_default()));
    let mut candidates = (0..count).map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % count);
    let is_free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    candidates.find(is_free).context("every port is taken")
}

/// True when somebody listens on the port.
pub fn is_open(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
}
