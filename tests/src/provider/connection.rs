//! One connection of the provider: reads requests, writes the scripted answers.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::script::{Answer, Framing, Piece};
use super::{End, Seen, State};

/// Accepts connections until the task is aborted.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, Arc::clone(&state)));
    }
}

/// Serves requests until the peer closes or a script breaks the connection.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let connection = state.next_connection();
    let mut buffer = Vec::new();
    while let Ok(Some(seen)) = read_request(&mut stream, &mut buffer, connection).await {
        let seen = Arc::new(seen);
        let answer = state.receive(&seen);
        let end = write_answer(&mut stream, &answer).await;
        seen.end.send_replace(end);
        if end != End::Finished {
            return;
        }
    }
}

/// Reads one request; `None` when the peer closed between two requests.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    connection: u64,
) -> io::Result<Option<Seen>> {
    let head_len = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_len]).into_owned();
    buffer.drain(..head_len);
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let body = if value("transfer-encoding").is_some() {
        read_chunked(stream, buffer).await?
    } else {
        let length = value("content-length").map_or(0, |v| v.parse().expect("a number as content-length"));
        take(stream, buffer, length).await?
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Some(Seen { method, target, headers, body, connection, end: watch::Sender::new(End::Running) }))
}

/// Takes exactly `length` bytes from the buffer and the stream.
async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

async fn read_chunked(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") {
                break at;
            }
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line = String::from_utf8_lossy(&buffer[..line_end]).into_owned();
        buffer.drain(..line_end + 2);
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .expect("a chunk size");
        body.extend(take(stream, buffer, size).await?);
        take(stream, buffer, 2).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Writes the answer; says how it ended.
async fn write_answer(stream: &mut TcpStream, answer: &Answer) -> End {
    if let Some(piece) = &answer.before_head
        && let Some(end) = write_piece(stream, piece, Framing::Length).await
    {
        return end;
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match answer.framing {
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n\r\n"),
        Framing::Length => {
            let real = answer.body.iter().map(|p| if let Piece::Bytes(b) = p { b.len() } else { 0 }).sum();
            let length = answer.claimed.unwrap_or(real);
            head.push_str(&format!("content-length: {length}\r\n\r\n"));
        }
    }
    if stream.write_all(head.as_bytes()).await.is_err() {
        return End::Aborted;
    }
    for piece in &answer.body {
        if let Some(end) = write_piece(stream, piece, answer.framing).await {
            return end;
        }
    }
    if answer.framing == Framing::Chunked && stream.write_all(b"0\r\n\r\n").await.is_err() {
        return End::Aborted;
    }
    End::Finished
}

/// Does one step; `Some` when the exchange is over with it.
async fn write_piece(stream: &mut TcpStream, piece: &Piece, framing: Framing) -> Option<End> {
    match piece {
        Piece::Bytes(bytes) if bytes.is_empty() => None,
        Piece::Bytes(bytes) => {
            let mut out = Vec::with_capacity(bytes.len() + 16);
            if framing == Framing::Chunked {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            }
            out.extend_from_slice(bytes);
            if framing == Framing::Chunked {
                out.extend_from_slice(b"\r\n");
            }
            stream.write_all(&out).await.is_err().then_some(End::Aborted)
        }
        Piece::Gate(gate) => tokio::select! {
            () = gate.pass() => None,
            () = gone(stream) => Some(End::Aborted),
        },
        Piece::Never => {
            gone(stream).await;
            Some(End::Aborted)
        }
        Piece::Hangup => {
            let _ = stream.shutdown().await;
            Some(End::Broken)
        }
        Piece::Reset => {
            // A linger of zero makes the close a RST instead of a FIN.
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(std::time::Duration::ZERO));
            Some(End::Broken)
        }
    }
}

/// Returns when the peer has closed or reset its side; nothing else is expected from it now.
async fn gone(stream: &mut TcpStream) {
    let mut byte = [0; 64];
    while let Ok(1..) = stream.read(&mut byte).await {}
}
