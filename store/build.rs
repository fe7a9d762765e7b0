//! Recompiles when a migration changes, and keeps builds away from databases.

fn main() {
    // `sqlx::migrate!` embeds this folder; a new file in it is no change of any source file.
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=../.sqlx");
    println!("cargo::rerun-if-env-changed=BULKHEAD_PREPARE_QUERIES");
    // Queries are checked against the committed cache. A DATABASE_URL in a developer's shell belongs to something else;
    // only scripts/prepare-queries asks a database.
    if std::env::var_os("BULKHEAD_PREPARE_QUERIES").is_none() {
        println!("cargo::rustc-env=SQLX_OFFLINE=true");
    }
}
