use super::*;
use std::collections::VecDeque;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::advance;

type Asked = oneshot::Sender<io::Result<Vec<SocketAddr>>>;

/// A system whose look-ups end when the test says so.
#[derive(Clone, Default)]
struct System {
    asked: Arc<Mutex<VecDeque<Asked>>>,
}

impl System {
    fn resolver(&self) -> Arc<Resolver> {
        self.resolver_within(Reach::Public)
    }

    fn resolver_within(&self, reach: Reach) -> Arc<Resolver> {
        let asked = Arc::clone(&self.asked);
        let look_up = move |_name| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let (ends, end) = oneshot::channel();
            asked.lock().unwrap().push_back(ends);
            Box::pin(async { end.await.unwrap() })
        };
        Arc::new(Resolver::with(Box::new(look_up), reach))
    }

    /// How many look-ups wait for an answer.
    async fn waiting(&self) -> usize {
        settle().await;
        self.asked.lock().unwrap().len()
    }

    async fn answer(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.end(Ok(addresses)).await;
    }

    async fn end(&self, found: io::Result<Vec<SocketAddr>>) {
        let asked = self.asked.lock().unwrap().pop_front().expect("a look-up");
        asked.send(found).expect("somebody looks it up");
        settle().await;
    }
}

/// Lets every task go as far as it can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn base(host: &str) -> BaseUrl {
    BaseUrl { tls: true, host: host.to_owned(), port: 443, path_prefix: String::new() }
}

/// Asks in a task of its own, which ends with the set.
fn ask(resolver: &Arc<Resolver>, host: &str) -> JoinSet<Found> {
    let (resolver, host) = (Arc::clone(resolver), host.to_owned());
    JoinSet::from_iter([async move { resolver.addresses(&base(&host)).await }])
}

async fn first_of(mut found: JoinSet<Found>) -> String {
    match found.join_next().await.unwrap().unwrap() {
        Ok(addresses) => addresses[0].to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn literals_are_checked_without_a_look_up() {
    let strict = Resolver::new(Reach::Public);
    assert!(matches!(strict.addresses(&base("127.0.0.1")).await, Err(ResolveError::OutOfReach)));
    assert!(matches!(strict.addresses(&base("::1")).await, Err(ResolveError::OutOfReach)));
    let lenient = Resolver::new(Reach::Anywhere);
    let expected: SocketAddr = "127.0.0.1:443".parse().unwrap();
    assert_eq!(*lenient.addresses(&base("127.0.0.1")).await.unwrap(), [expected]);
}

#[tokio::test]
async fn names_are_checked_after_the_look_up() {
    let strict = Resolver::new(Reach::Public);
    assert!(matches!(strict.addresses(&base("localhost")).await, Err(ResolveError::OutOfReach)));
    let lenient = Resolver::new(Reach::Anywhere);
    assert!(
        lenient.addresses(&base("localhost")).await.unwrap().iter().all(|address| address.ip().is_loopback())
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_once_waits_for_one_look_up() {
    let system = System::default();
    let resolver = system.resolver();
    let askers: Vec<_> = (0..10).map(|_| ask(&resolver, "a.example")).collect();
    assert_eq!(system.waiting().await, 1);
    system.answer(&["10.0.0.1:443", "1.1.1.1:443"]).await;
    for asker in askers {
        assert_eq!(first_of(asker).await, "1.1.1.1:443");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_used_while_it_is_asked_again_and_what_is_old_is_waited_for() {
    let system = System::default();
    let resolver = system.resolver();
    let first = ask(&resolver, "a.example");
    settle().await;
    system.answer(&["1.1.1.1:443"]).await;
    assert_eq!(first_of(first).await, "1.1.1.1:443");

    advance(FRESH - Duration::from_millis(1)).await;
    assert_eq!(first_of(ask(&resolver, "a.example")).await, "1.1.1.1:443");
    assert_eq!(system.waiting().await, 0);
    advance(Duration::from_millis(1)).await;
    for _ in 0..3 {
        assert_eq!(first_of(ask(&resolver, "a.example")).await, "1.1.1.1:443");
        assert_eq!(system.waiting().await, 1);
    }
    system.answer(&["2.2.2.2:443"]).await;
    assert_eq!(first_of(ask(&resolver, "a.example")).await, "2.2.2.2:443");

    // After a night the machine of the first answer may be gone.
    advance(OLD).await;
    let waits = ask(&resolver, "a.example");
    assert_eq!(system.waiting().await, 1);
    system.answer(&["3.3.3.3:443"]).await;
    assert_eq!(first_of(waits).await, "3.3.3.3:443");
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_good_answer_and_without_one_lasts_a_moment() {
    let system = System::default();
    let resolver = system.resolver();
    let fails = || io::Error::other("the name server does not answer");
    let first = ask(&resolver, "a.example");
    settle().await;
    system.end(Err(fails())).await;
    assert_eq!(first_of(first).await, "looking up the upstream's host failed");
    assert_eq!(first_of(ask(&resolver, "a.example")).await, "looking up the upstream's host failed");
    assert_eq!(system.waiting().await, 0);

    advance(FAILED).await;
    let again = ask(&resolver, "a.example");
    settle().await;
    system.answer(&["1.1.1.1:443"]).await;
    assert_eq!(first_of(again).await, "1.1.1.1:443");
    advance(OLD).await;
    let later = ask(&resolver, "a.example");
    settle().await;
    system.end(Err(fails())).await;
    assert_eq!(first_of(later).await, "1.1.1.1:443");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_is_given_up_by_its_requests_and_never_repeated_beside_itself() {
    let system = System::default();
    let resolver = system.resolver();
    for _ in 0..3 {
        // Time passes on its own where everything waits.
        assert!(first_of(ask(&resolver, "a.example")).await.contains("took longer than 5 s"));
        let gone = ask(&resolver, "a.example");
        settle().await;
        drop(gone);
        assert_eq!(system.waiting().await, 1);
    }
    let hosts = (0..2 * LOOKUPS_MAX).map(|number| format!("{number}.example"));
    let _askers: Vec<_> = hosts.map(|host| ask(&resolver, &host)).collect();
    assert_eq!(system.waiting().await, LOOKUPS_MAX);
    system.answer(&["1.1.1.1:443"]).await;
    assert_eq!(first_of(ask(&resolver, "a.example")).await, "1.1.1.1:443");
    assert_eq!(system.waiting().await, LOOKUPS_MAX);
}

#[tokio::test(start_paused = true)]
async fn without_tls_only_the_operators_networks_are_within_reach() {
    let system = System::default();
    let resolver = system.resolver_within(Reach::from_iter(["10.2.0.0/16".parse().unwrap()]));
    for (tls, expected) in [(true, "10.2.0.1:443 1.1.1.1:443"), (false, "10.2.0.1:443")] {
        let asker = Arc::clone(&resolver);
        let mut asking = JoinSet::from_iter([async move {
            asker.addresses(&BaseUrl { tls, ..base("models.internal") }).await
        }]);
        settle().await;
        system.answer(&["10.2.0.1:443", "10.3.0.1:443", "1.1.1.1:443", "169.254.169.254:443"]).await;
        let found = asking.join_next().await.unwrap().unwrap().unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), expected);
    }
}
