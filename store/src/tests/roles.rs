//! Connections: as which role they act, and what their errors say.

use sqlx::AssertSqlSafe;

use crate::{Role, Store, StoreError};

/// Runs a statement outside any tenant's transaction and returns the code of its refusal.
pub(super) async fn refusal(store: &Store, statement: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(store.connections())
        .await
        .expect_err(statement);
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

#[tokio::test]
async fn a_role_that_bypasses_row_level_security_is_refused() {
    // On a server of its own: roles belong to the whole cluster.
    let server = crate::testing::Server::start().await.unwrap();
    let url = server.database().await.unwrap();
    let migrator = Store::connect(&url, Role::Migrator, 1).await.unwrap();
    assert_eq!(refusal(&migrator, "alter role bulkhead_api bypassrls").await, "42501");
    let admin = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql("alter role bulkhead_api bypassrls").execute(&admin).await.unwrap();
    let refused = Store::connect(&url, Role::Api, 1).await;
    assert!(matches!(refused, Err(StoreError::UnsafeRole { .. })), "{refused:?}");
}

#[tokio::test]
async fn errors_of_connections_name_no_password() {
    for url in [
        "postgres://bulkhead:hunter2secret@127.0.0.1:1/none",
        "postgres://bulkhead:hunter2secret@127.0.0.1:notaport/none",
        "mysql://bulkhead:hunter2secret@localhost/none",
        "postgres://bulkhead:hunter2secret@[::1/none",
    ] {
        let error = Store::connect(url, Role::Api, 1).await.expect_err(url);
        let mut text = format!("{error:?} {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(!text.contains("hunter2secret"), "{text}");
    }
}
