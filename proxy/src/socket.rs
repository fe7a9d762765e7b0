//! A client's socket with a small write buffer.
//!
//! pingora writes a response's head and body apart and flushes when it wants them to leave. Its own listeners put
//! a buffer below that; connections that others accept get none, and then every part is a system call.

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;

/// Holds a response's head and a small body; larger writes pass it by.
const WRITE_BUFFER_BYTES: usize = 4 << 10;

/// Wraps an accepted connection for pingora.
pub(crate) fn stream(tcp: TcpStream) -> Stream {
    let socket = ClientSocket(BufWriter::with_capacity(WRITE_BUFFER_BYTES, tcp));
    Box::new(L4Stream::from(VirtualSocketStream::new(Box::new(socket))))
}

#[derive(Debug)]
struct ClientSocket(BufWriter<TcpStream>);

impl VirtualSocket for ClientSocket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.0.get_ref().set_nodelay(true),
            // The accept loop sets what it needs; nothing else asks for more.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
