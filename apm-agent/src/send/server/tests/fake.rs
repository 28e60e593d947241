//! An HTTP server that answers as it is told and keeps what it got.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use crate::intake;

/// What the server does with a POST.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Reply(u16, &'static str),
    /// Closes without a word.
    Close,
    /// Says nothing until the client goes.
    Hang,
}

/// A request the server got.
#[derive(Debug)]
pub(super) struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names of the lines' root keys.
    pub fn lines(&self) -> Vec<String> {
        let body = match self.header("content-encoding") {
            Some("gzip") => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut plain).unwrap();
                plain
            }
            other => {
                assert_eq!(other, None);
                self.body.clone()
            }
        };
        body.split_inclusive(|byte| *byte == b'\n').map(|line| intake::schema::check(line).0).collect()
    }
}

pub(super) struct FakeServer {
    pub url: String,
    pub posts: Receiver<Request>,
}

impl FakeServer {
    /// Answers the first POSTs as told, and 202 after that.
    pub fn start(answers: &[Answer]) -> Self {
        Self::with_version(answers, r#"{"version":"9.6.0"}"#)
    }

    pub fn with_version(answers: &[Answer], information: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, posts) = mpsc::channel();
        let answers = Arc::new(Mutex::new(Vec::from(answers).into_iter()));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (answers, sender) = (Arc::clone(&answers), sender.clone());
                thread::spawn(move || {
                    let next = || answers.lock().unwrap().next().unwrap_or(Answer::Reply(202, ""));
                    serve(connection.unwrap(), information, next, &sender)
                });
            }
        });
        Self { url, posts }
    }

    pub fn next_post(&self) -> Request {
        self.posts.recv_timeout(Duration::from_secs(20)).expect("a request within 20 s")
    }
}

/// `None`: the connection ended.
pub(super) fn serve(
    stream: TcpStream,
    information: &str,
    mut next: impl FnMut() -> Answer,
    posts: &Sender<Request>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let request = read_request(&mut reader)?;
        if request.head.starts_with("GET / ") {
            reply(&mut writer, 200, information)?;
            continue;
        }
        let answer = next();
        posts.send(request).ok()?;
        match answer {
            Answer::Reply(status, body) => reply(&mut writer, status, body)?,
            Answer::Close => return None,
            Answer::Hang => {
                let _ = reader.read(&mut [0]);
                return None;
            }
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut request = Request { head, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

pub(super) fn reply(writer: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
}
