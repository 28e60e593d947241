//! What user space tells the kernel programs about calls of a Go process that the wire does not show. Offsets as in
//! [`GoLayout`](crate::go::GoLayout).

use crate::settings::ABSENT;

/// Where `crypto/tls` has the plain text of its clients.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoTls {
    /// Address of the type `*tls.Conn`; 0: plain text is not told.
    pub conn: u64,
    /// `tls.Conn.conn`: what it speaks on
    pub inner: u32,
    /// `tls.Conn.isClient`
    pub is_client: u32,
    /// `tls.Conn.input.s`: plain text that has come, of which the program has read the beginning
    pub input: u32,
    /// `tls.Conn.input.i`: how much of it
    pub input_read: u32,
}

impl GoTls {
    /// Nothing is told.
    pub const NONE: GoTls = GoTls { conn: 0, inner: ABSENT, is_client: ABSENT, input: ABSENT, input_read: ABSENT };
}

/// Where a client of HTTP/2 has its calls.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoHttp2 {
    /// `runtime.g.parentGoid`: there from Go 1.21 on
    pub g_parent: u32,
    /// `http2clientStream.ctx`; absent: calls are not told.
    pub stream_ctx: u32,
    /// `http2clientStream.cc`
    pub stream_client: u32,
    /// `http2clientStream.res`
    pub stream_response: u32,
    /// `http2clientStream.sentHeaders`
    pub stream_sent: u32,
    /// `http2ClientConn.tconn`: what it speaks on
    pub client_conn: u32,
    /// `StatusCode` of the response
    pub response_status: u32,
    /// `Method` of the request
    pub request_method: u32,
    /// `URL` of the request
    pub request_url: u32,
    /// `net/url.URL.Scheme`
    pub url_scheme: u32,
    /// `net/url.URL.Host`
    pub url_host: u32,
    /// `net/url.URL.Path`
    pub url_path: u32,
    /// `net/url.URL.RawPath`
    pub url_raw_path: u32,
    /// `net/url.URL.RawQuery`
    pub url_query: u32,
}

impl GoHttp2 {
    /// Nothing is told.
    pub const NONE: GoHttp2 = GoHttp2 {
        g_parent: ABSENT,
        stream_ctx: ABSENT,
        stream_client: ABSENT,
        stream_response: ABSENT,
        stream_sent: ABSENT,
        client_conn: ABSENT,
        response_status: ABSENT,
        request_method: ABSENT,
        request_url: ABSENT,
        url_scheme: ABSENT,
        url_host: ABSENT,
        url_path: ABSENT,
        url_raw_path: ABSENT,
        url_query: ABSENT,
    };
}

/// Where a Go program puts the heads of its calls together, before they are sealed or framed with others.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoHeads {
    /// Address of the type `*bufio.Writer`; 0: the binary has none.
    pub buffered: u64,
    /// Address of the type `net/http.persistConnWriter`, on which a client of HTTP/1 writes; 0: the binary has none.
    pub persist_writer: u64,
    /// `bufio.Writer.buf`
    pub buffer: u32,
    /// `bufio.Writer.n`: how much of it is used
    pub buffer_used: u32,
    /// `bufio.Writer.wr`: what it writes on
    pub buffer_under: u32,
    /// `Header` of the request that a client of HTTP/2 sends
    pub request_header: u32,
    /// `http2clientStream.ID`
    pub stream_id: u32,
    /// `http2ClientConn.bw`: where frames are put together
    pub client_frames: u32,
    /// `http2ClientConn.hbuf.buf`: the header block that was put together last
    pub client_block: u32,
    /// `transport.loopyWriter.framer`
    pub loopy_framer: u32,
    /// `transport.loopyWriter.hBuf`
    pub loopy_block: u32,
    /// `bytes.Buffer.buf`
    pub block: u32,
    /// `transport.framer.writer`
    pub framer_writer: u32,
    /// The buffer in `transport.bufWriter`, or the pointer to one
    pub writer_buffer: u32,
    /// `transport.bufWriter.offset`: how much of it is used
    pub writer_used: u32,
    /// 1: there is a pointer to the buffer.
    pub is_handle: u32,
    /// Bytes of an `hpack.HeaderField`
    pub field_bytes: u32,
    /// `hpack.HeaderField.Name`
    pub field_name: u32,
}

impl GoHeads {
    /// Nothing is written.
    pub const NONE: GoHeads = GoHeads {
        buffered: 0,
        persist_writer: 0,
        buffer: ABSENT,
        buffer_used: ABSENT,
        buffer_under: ABSENT,
        request_header: ABSENT,
        stream_id: ABSENT,
        client_frames: ABSENT,
        client_block: ABSENT,
        loopy_framer: ABSENT,
        loopy_block: ABSENT,
        block: ABSENT,
        framer_writer: ABSENT,
        writer_buffer: ABSENT,
        writer_used: ABSENT,
        is_handle: 0,
        field_bytes: ABSENT,
        field_name: ABSENT,
    };
}
