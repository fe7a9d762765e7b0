use super::*;

#[tokio::test]
async fn literals_are_checked_without_a_look_up() {
    let strict = Resolver::new(false);
    assert!(matches!(strict.addresses("127.0.0.1", 80).await, Err(ResolveError::NotPublic)));
    assert!(matches!(strict.addresses("[::1]", 80).await, Err(ResolveError::NotPublic)));
    let lenient = Resolver::new(true);
    let expected: SocketAddr = "127.0.0.1:80".parse().unwrap();
    assert_eq!(*lenient.addresses("127.0.0.1", 80).await.unwrap(), [expected]);
}

#[tokio::test]
async fn names_are_checked_after_the_look_up() {
    let strict = Resolver::new(false);
    assert!(matches!(strict.addresses("localhost", 80).await, Err(ResolveError::NotPublic)));
    let lenient = Resolver::new(true);
    assert!(
        lenient.addresses("localhost", 80).await.unwrap().iter().all(|address| address.ip().is_loopback())
    );
}
