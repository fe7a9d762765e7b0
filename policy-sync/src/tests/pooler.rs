//! What a pooler in transaction mode does to notifications: it swallows them.

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

/// `PostgreSQL`'s message that carries a notification.
const NOTIFICATION_RESPONSE: u8 = b'A';

/// Stands before a server; passes everything on but notifications.
pub(super) struct Pooler {
    pub(super) url: String,
    _connections: JoinSet<()>,
}

impl Pooler {
    pub(super) async fn before(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let socket = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let user = options.get_username();
        let database = options.get_database().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                let (mut from_client, to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                connections.spawn(async move { drop(copy(&mut from_client, &mut to_server).await) });
                connections.spawn(async move { drop(pass_on(from_server, to_client).await) });
            }
        });
        Self {
            url: format!("postgres://{user}@127.0.0.1:{port}/{database}?sslmode=disable"),
            _connections: tasks,
        }
    }
}

async fn pass_on(mut server: OwnedReadHalf, mut client: OwnedWriteHalf) -> std::io::Result<()> {
    loop {
        // A byte of kind, then the length, which counts itself.
        let mut head = [0; 5];
        server.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        server.read_exact(&mut body).await?;
        if head[0] != NOTIFICATION_RESPONSE {
            client.write_all(&head).await?;
            client.write_all(&body).await?;
        }
    }
}
