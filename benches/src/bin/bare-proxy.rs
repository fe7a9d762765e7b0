//! The yardstick: a pass-through that is built from the same pingora and does nothing else.
//!
//! `bare-proxy LISTEN UPSTREAM`, one worker thread.

use std::net::SocketAddr;

use anyhow::Context;
use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

/// As many idle connections to the upstream as the benchmark has clients.
const IDLE_CONNECTIONS: usize = 2048;

struct PassThrough(SocketAddr);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |what: &str| -> anyhow::Result<SocketAddr> {
        arguments
            .next()
            .context("usage: bare-proxy LISTEN UPSTREAM")?
            .parse()
            .with_context(|| format!("{what} is no address"))
    };
    let (listen, upstream) = (address("LISTEN")?, address("UPSTREAM")?);
    let conf =
        ServerConf { threads: 1, upstream_keepalive_pool_size: IDLE_CONNECTIONS, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough(upstream));
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
