//! A conversation with an inspector: one HTTP request for the target's address, then the DevTools protocol over a
//! websocket (RFC 6455), of which we need a single method.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde_json::{Value, json};
use tungstenite::{HandshakeError, Message, WebSocket, client::IntoClientRequest as _, protocol::WebSocketConfig};

use crate::runtime::own::{Own, OwnConnections};

/// Most bytes of an answer: what the script says of itself is a few KiB.
const LONGEST: usize = 1 << 20;

/// Most bytes of the list of targets.
const LONGEST_LIST: u64 = 64 * 1024;

/// Messages without our number that are skipped before the answer.
const MOST_EVENTS: usize = 10_000;

/// Why the inspector did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection, or it broke.
    #[error("the inspector cannot be reached: {0}")]
    Io(#[from] io::Error),
    /// It did not answer in time.
    #[error("the inspector does not answer in time")]
    TimedOut,
    /// It is no inspector, or one we do not understand.
    #[error("the inspector's answer makes no sense: {0}")]
    Nonsense(String),
    /// What was evaluated failed.
    #[error("the inspector could not evaluate what it was sent: {0}")]
    Threw(String),
}

impl From<tungstenite::Error> for SessionError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) if is_timeout(&error) => Self::TimedOut,
            tungstenite::Error::Io(error) => Self::Io(error),
            error => Self::Nonsense(error.to_string()),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A connection of which every read and write ends at the same moment at the latest.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Bounded {
    /// Connects from a port that is known as ours before the process can see the connection.
    fn connect(to: SocketAddr, pid: u32, own: &Arc<OwnConnections>, until: Instant) -> io::Result<(Self, Own)> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let from: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
        let stream = TcpStream::from(socket);
        let ours = own.add(pid, stream.local_addr()?.port());
        sockopt::set_socket_timeout(&stream, sockopt::Timeout::Send, Some(left(until)?))?;
        rustix::net::connect(&stream, &to)?;
        Ok((Self { stream, until }, ours))
    }
}

/// Time until a moment; an error when it is over.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(Duration::from_millis(1))) }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A conversation. Dropping it ends it.
pub struct Session {
    socket: WebSocket<Bounded>,
    asked: u64,
    /// The connections made for it.
    _own: [Own; 2],
}

impl Session {
    /// Begins one with the inspector of `pid` at `address`; it has to be over at `until`.
    ///
    /// # Errors
    /// When nobody answers there, or what answers is no inspector.
    pub fn begin(
        address: SocketAddr,
        pid: u32,
        own: &Arc<OwnConnections>,
        until: Instant,
    ) -> Result<Self, SessionError> {
        let (mut stream, first) = Bounded::connect(address, pid, own, until)?;
        stream.write_all(b"GET /json/list HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let path = target(&answer(&mut stream)?)?;
        let (stream, second) = Bounded::connect(address, pid, own, until)?;
        let request = format!("ws://localhost{path}").into_client_request()?;
        let bounds = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        match tungstenite::client::client_with_config(request, stream, Some(bounds)) {
            Ok((socket, _)) => Ok(Self { socket, asked: 0, _own: [first, second] }),
            Err(HandshakeError::Interrupted(_)) => Err(SessionError::TimedOut),
            Err(HandshakeError::Failure(error)) => Err(error.into()),
        }
    }

    /// Evaluates an expression in a turn of the event loop of its own, with the inspector's own `require`, and gives back
    /// its value as JSON has it. Where it is not answered in time, it may yet be evaluated later.
    ///
    /// What is evaluated at once interrupts the program, wherever it is: in the middle of loading a module it would find,
    /// or leave, others half loaded.
    ///
    /// # Errors
    /// When it throws, or is not answered in time.
    pub fn evaluate_in_turn(&mut self, expression: &str) -> Result<Value, SessionError> {
        self.evaluate(&format!(
            "new Promise(resolve => setImmediate(resolve)).then((require => () => {expression}\n)(typeof require === \
             'function' ? require : undefined))"
        ))
    }

    /// Evaluates an expression that may interrupt anything: it touches nothing that the program's own code changes in
    /// steps.
    ///
    /// # Errors
    /// When it throws, or is not answered in time.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, SessionError> {
        self.asked += 1;
        let call = json!({
            "id": self.asked,
            "method": "Runtime.evaluate",
            "params": {
                "expression": expression, "includeCommandLineAPI": true, "returnByValue": true, "silent": true,
                "awaitPromise": true,
            },
        });
        self.socket.send(Message::text(call.to_string()))?;
        for _ in 0..MOST_EVENTS {
            let Message::Text(text) = self.socket.read()? else { continue };
            let answer: Value =
                serde_json::from_str(text.as_str()).map_err(|error| SessionError::Nonsense(error.to_string()))?;
            if answer.get("id").and_then(Value::as_u64) == Some(self.asked) {
                return value(&answer);
            }
        }
        Err(SessionError::Nonsense("it talks of other things".into()))
    }
}

/// The value in an answer to `Runtime.evaluate`.
fn value(answer: &Value) -> Result<Value, SessionError> {
    if let Some(thrown) = answer.pointer("/result/exceptionDetails") {
        let described = thrown.pointer("/exception/description").or_else(|| thrown.get("text"));
        let text = described.and_then(Value::as_str).unwrap_or_default();
        return Err(SessionError::Threw(text.lines().next().unwrap_or_default().chars().take(200).collect()));
    }
    if let Some(error) = answer.pointer("/error/message").and_then(Value::as_str) {
        return Err(SessionError::Threw(error.chars().take(200).collect()));
    }
    Ok(answer.pointer("/result/result/value").cloned().unwrap_or(Value::Null))
}

/// The body of an HTTP answer of known length.
fn answer(stream: &mut Bounded) -> Result<Vec<u8>, SessionError> {
    let mut bytes = Vec::new();
    // The inspector keeps the connection open when it has answered, and says how long the answer is.
    let mut buffer = [0; 4096];
    loop {
        let read = match stream.read(&mut buffer) {
            Err(error) if is_timeout(&error) => return Err(SessionError::TimedOut),
            read => read?,
        };
        bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&bytes).map_err(|error| SessionError::Nonsense(error.to_string()))?;
        if let httparse::Status::Complete(head) = parsed {
            let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
            let body = bytes.get(head..).unwrap_or_default();
            match length {
                Some(length) if body.len() >= length => return Ok(body.get(..length).unwrap_or_default().to_vec()),
                None if read == 0 => return Ok(body.to_vec()),
                _ => {}
            }
        }
        if read == 0 || bytes.len() as u64 > LONGEST_LIST {
            return Err(SessionError::Nonsense("the list of targets is cut short or too long".into()));
        }
    }
}

/// Path of the first target's websocket.
fn target(list: &[u8]) -> Result<String, SessionError> {
    let list: Value = serde_json::from_slice(list).map_err(|error| SessionError::Nonsense(error.to_string()))?;
    let url = list.pointer("/0/webSocketDebuggerUrl").and_then(Value::as_str);
    let path = url.and_then(|url| url.strip_prefix("ws://")).and_then(|rest| Some(rest.split_once('/')?.1));
    let is_plain =
        |path: &&str| path.len() < 200 && path.chars().all(|one| one.is_ascii_alphanumeric() || "-_/".contains(one));
    let path = path.filter(is_plain).ok_or_else(|| SessionError::Nonsense("no target is named".into()))?;
    Ok(format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, thread};

    use super::*;

    /// Something that answers the first request with `reply`, and then is silent.
    fn server(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(reply);
            // Until the client goes.
            let _ = stream.read(&mut [0; 1]);
        });
        address
    }

    fn begin(reply: &'static [u8]) -> String {
        let own = Arc::new(OwnConnections::default());
        let until = Instant::now() + Duration::from_millis(200);
        Session::begin(server(reply), 1, &own, until).err().expect("no inspector").to_string()
    }

    #[test]
    fn what_is_no_inspector_is_no_danger() {
        assert!(begin(b"").contains("in time"));
        assert!(begin(b"SSH-2.0-x\r\n").contains("no sense"));
        assert!(begin(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").contains("no target"));
        let away = b"HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n[{\"webSocketDebuggerUrl\":\"ws://localhost/../etc/passwd\"}]";
        assert!(begin(away).contains("no target"));
    }

    #[test]
    fn answers_are_values_or_reasons() {
        let text = |answer: Value| value(&answer).map_err(|error| error.to_string());
        assert_eq!(text(json!({"result": {"result": {"type": "number", "value": 7}}})), Ok(json!(7)));
        assert_eq!(text(json!({"result": {"result": {"type": "undefined"}}})), Ok(Value::Null));
        let thrown = json!({"result": {"exceptionDetails": {"text": "Uncaught", "exception": {"description": "Error: x\n at y"}}}});
        assert!(text(thrown).is_err_and(|reason| reason.ends_with("Error: x")));
        assert!(text(json!({"error": {"code": 1, "message": "no"}})).is_err_and(|reason| reason.ends_with("no")));
    }
}
