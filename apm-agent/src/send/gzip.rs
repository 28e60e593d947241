//! A request's body while it grows: compressed, or plain for a server on this machine.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

/// A body under way.
pub(super) enum Body {
    /// gzip at its fastest level.
    Gzip(Box<GzEncoder<Vec<u8>>>),
    /// As it is.
    Plain(Vec<u8>),
}

impl Body {
    pub fn new(compress: bool) -> Self {
        match compress {
            true => Body::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::fast()))),
            false => Body::Plain(Vec::new()),
        }
    }

    /// Appends. Memory takes it all: an error means that compression itself is broken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Body::Gzip(encoder) => encoder.write_all(bytes),
            Body::Plain(body) => body.write_all(bytes),
        }
    }

    /// Bytes that would go over the wire; compression keeps some back.
    pub fn len(&self) -> usize {
        match self {
            Body::Gzip(encoder) => encoder.get_ref().len(),
            Body::Plain(body) => body.len(),
        }
    }

    /// `Content-Encoding`
    pub fn encoding(&self) -> Option<&'static str> {
        match self {
            Body::Gzip(_) => Some("gzip"),
            Body::Plain(_) => None,
        }
    }

    /// The whole body.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Body::Gzip(encoder) => encoder.finish(),
            Body::Plain(body) => Ok(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn gives_back_what_was_written() {
        for compress in [true, false] {
            let mut body = Body::new(compress);
            for _ in 0..1000 {
                body.write(b"a line\n").unwrap();
            }
            assert_eq!(body.encoding(), compress.then_some("gzip"));
            let bytes = body.finish().unwrap();
            let mut text = String::new();
            match compress {
                true => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
                false => (&bytes[..]).read_to_string(&mut text).unwrap(),
            };
            assert_eq!(text, "a line\n".repeat(1000));
            assert_eq!(bytes.len() < 7000, compress);
        }
    }
}
