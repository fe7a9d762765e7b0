//! The benchmark's own parts work: what the provider sends passes the checks, alone and through the bare proxy.

use std::path::Path;
use std::time::{Duration, Instant};

use bulkhead_benches::scenario::scenarios;
use bulkhead_benches::subject::Bare;
use bulkhead_benches::{driver, upstream};

#[test]
fn an_agents_request_is_as_large_as_it_says() {
    let body = bulkhead_benches::agent_body::agent_request("m", 60_000, false);
    assert!((59_000..66_000).contains(&body.len()), "{} bytes", body.len());
}

#[tokio::test]
async fn answers_pass_the_checks_alone_and_through_the_bare_proxy() -> anyhow::Result<()> {
    let clock = Instant::now();
    let upstream = upstream::start(clock)?;
    let bare = Bare::start(Path::new(env!("CARGO_BIN_EXE_bare-proxy")), upstream).await?;
    for address in [upstream, bare.address] {
        let target = driver::Target { address, key: "none".into(), masks: false, clock };
        for mut scenario in scenarios(true) {
            scenario.connections = 4;
            let sample = driver::run(&target, &scenario, Duration::from_millis(100)).await?;
            assert!(sample.requests >= 4 && !sample.latencies.is_empty(), "{}: {sample:?}", scenario.name);
            // An answer that should be masked and is not must not pass.
            let masking = driver::Target { masks: true, ..target.clone() };
            assert!(
                driver::run(&masking, &scenario, Duration::from_millis(10)).await.is_err(),
                "{}",
                scenario.name
            );
        }
    }
    Ok(())
}
