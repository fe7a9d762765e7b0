//! Each table and each partition, as each role: statements without any `where`, which no statement of the code can outdo.

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use super::{Victim, World, superuser, tables_of_tenants};
use crate::Store;

/// What a role reaches of tenants that it did not name, by table, and why it must. Nothing else is reached by anybody.
const REACHED: [(&str, &str, &[&str], &str); 13] = [
    ("sync", "tenants", &["select"], "a node serves every tenant"),
    ("sync", "agents", &["select"], "a node serves every tenant"),
    ("sync", "api_keys", &["select"], "a node serves every tenant"),
    ("sync", "credentials", &["select"], "a node serves every tenant"),
    ("sync", "tenant_keys", &["select"], "a node serves every tenant"),
    ("sync", "policies", &["select"], "a node serves every tenant"),
    ("sync", "active_policies", &["select"], "a node serves every tenant"),
    (
        "sync",
        "policy_acks",
        &["select", "lock", "insert", "update"],
        "a node says what it enforces, of every tenant",
    ),
    ("writer", "budget_usage", &["select"], "old counts of all tenants are forgotten together"),
    ("auditor", "tenants", &["select"], "finds a trail by its tenant's name"),
    ("auditor", "audit", &["select"], "answers for the installation"),
    ("auditor", "audit_heads", &["select"], "answers for the installation"),
    (
        "migrator",
        "tenants",
        &["select", "lock", "insert", "update", "delete"],
        "administrates the list of tenants",
    ),
];

/// Whoever owns a table can empty it or take its wall down; nobody else is a member of the owner.
const OWNER: &str = "migrator";

struct Table {
    name: String,
    owner: &'static str,
    is_partition: bool,
}

async fn tables(connection: &mut PgConnection) -> Vec<Table> {
    let parents = tables_of_tenants(connection).await;
    // Of days one stands for all: the catalog's rules say that they are alike.
    let partitions = sqlx::query_scalar::<_, String>(
        "select relname::text from pg_class where relnamespace = 'bulkhead'::regnamespace and relispartition and relkind = 'r'
           and (relname ~ '_default$' or right(relname, 8) = to_char(now() at time zone 'UTC', 'YYYYMMDD'))",
    );
    let partitions = partitions.fetch_all(connection).await.unwrap();
    assert!(partitions.len() >= 6, "{partitions:?}");
    let parents = parents.into_iter().map(|(name, owner)| Table { name, owner, is_partition: false });
    parents
        .chain(partitions.into_iter().map(|name| Table { name, owner: "tenant_id", is_partition: true }))
        .collect()
}

/// The columns of a table on which a role has a right.
async fn columns(connection: &mut PgConnection, role: &str, table: &str, right: &str) -> Vec<String> {
    let columns = sqlx::query_scalar::<_, String>(
        "select quote_ident(attname) from pg_attribute
         where attrelid = $2::regclass and attnum > 0 and not attisdropped and attgenerated = ''
           and has_column_privilege('bulkhead_' || $1, attrelid, attnum, $3)",
    );
    columns.bind(role).bind(table).bind(right).fetch_all(connection).await.unwrap()
}

/// True for a `copy` that the role has the right to.
#[derive(Clone, Copy)]
struct CopyRight(bool);

/// How a statement ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It met this many rows of the victim.
    Met(u64),
    Failed {
        code: String,
        message: String,
    },
}

impl End {
    fn of(result: sqlx::Result<u64>, statement: &str) -> Self {
        result.map_or_else(
            |error| {
                let error = error.into_database_error().expect(statement);
                let code = error.code().unwrap_or_default().into_owned();
                Self::Failed { code, message: error.message().to_owned() }
            },
            Self::Met,
        )
    }
}

/// Names a tenant, or nobody, as transactions of tenants and of batches do.
async fn name(connection: &mut PgConnection, named: Option<Uuid>) {
    // The auditor's transactions begin read-only.
    connection.execute("set transaction read write").await.unwrap();
    if let Some(named) = named {
        let name = format!(
            "set local bulkhead.tenant_id = '{named}'; set local bulkhead.tenant_ids = '{{{named}}}'"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(name))).await.unwrap();
    }
}

/// Runs a statement in a transaction of `named` and keeps nothing.
async fn run(store: &Store, named: Option<Uuid>, statement: &str) -> End {
    let mut tx = store.connections().begin().await.unwrap();
    name(&mut tx, named).await;
    let done = tx.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))).await;
    End::of(done.map(|done| done.rows_affected()), statement)
}

/// The same for `copy`, of a role that may. The driver cannot use the connection again.
async fn copy(store: &Store, named: Option<Uuid>, statement: &str, victim: &str) -> End {
    let mut connection = store.connections().acquire().await.unwrap().detach();
    let mut tx = connection.begin().await.unwrap();
    name(&mut tx, named).await;
    if statement.ends_with(" from stdin") {
        return End::of(tx.copy_in_raw(statement).await.map(|_| 1), statement);
    }
    let rows: Vec<_> = tx.copy_out_raw(statement).await.unwrap().try_collect().await.unwrap();
    End::Met(rows.iter().filter(|row| String::from_utf8_lossy(row).contains(victim)).count() as u64)
}

/// Whether a statement reached rows of the victim. One that fails for another reason than a wall has met them.
fn reached(end: &End, statement: &str) -> bool {
    match end {
        End::Met(rows) => *rows > 0,
        // No right, rows that must not change, or `copy` to a table with row-level security.
        End::Failed { code, .. } => {
            assert!(!["42P01", "42703", "42601"].contains(&&**code), "{statement}: {end:?}");
            !["42501", "23001", "0A000"].contains(&&**code)
        }
    }
}

/// The statements that a role could try on a table, by what they would do to the victim's rows, of which `row` is one.
async fn statements(
    admin: &mut PgConnection,
    role: &str,
    Table { name: table, owner, .. }: &Table,
    victim: &str,
    row: &str,
) -> Vec<(&'static str, String, CopyRight)> {
    let select = columns(admin, role, table, "select").await;
    assert!(
        select.is_empty() || select.contains(&(*owner).to_owned()),
        "{role} cannot tell whose rows of {table}"
    );
    let insert = columns(admin, role, table, "insert").await.join(", ");
    let update = columns(admin, role, table, "update").await;
    let set = update.first().map_or(*owner, String::as_str);
    let (may_read, may_write) = (CopyRight(!select.is_empty()), CopyRight(!insert.is_empty()));
    let select = select.join(", ");
    let insert = if insert.is_empty() {
        format!("insert into {table} select")
    } else {
        format!(
            "insert into {table} ({insert}) select {insert} from jsonb_populate_record(null::{table}, '{row}')"
        )
    };
    let copy = if may_read.0 {
        format!("copy {table} ({select}) to stdout")
    } else {
        format!("copy {table} to stdout")
    };
    vec![
        ("select", format!("select {select} from {table} where {owner} = '{victim}'"), CopyRight(false)),
        ("lock", format!("select from {table} where {owner} = '{victim}' for update"), CopyRight(false)),
        ("insert", insert, CopyRight(false)),
        ("update", format!("update {table} set {set} = null"), CopyRight(false)),
        ("delete", format!("delete from {table}"), CopyRight(false)),
        ("truncate", format!("truncate {table} cascade"), CopyRight(false)),
        ("select", copy, may_read),
        ("insert", format!("copy {table} from stdin"), may_write),
    ]
}

/// Everything that is reached, by role, table and command, in transactions of another tenant and of nobody.
async fn reached_by_anybody(world: &World) -> Vec<(&'static str, String, &'static str)> {
    let victim = Victim::new(world).await.tenant.to_string();
    let stranger = Uuid::now_v7();
    let mut admin = superuser(world).await.acquire().await.unwrap();
    let mut found = Vec::new();
    for table in tables(&mut admin).await {
        let Table { name, owner, is_partition } = &table;
        let row = format!("select to_jsonb(t)::text from {name} t where {owner} = '{victim}' limit 1");
        let row =
            sqlx::query_scalar::<_, String>(AssertSqlSafe(row)).fetch_optional(&mut *admin).await.unwrap();
        let row = row.unwrap_or_else(|| format!(r#"{{"{owner}": "{victim}"}}"#)).replace('\'', "''");
        for (role, store) in world.stores() {
            let statements = statements(&mut admin, role, &table, &victim, &row).await;
            let tries = statements.iter().flat_map(|tried| [(tried, None), (tried, Some(stranger))]);
            for ((command, statement, copies), named) in tries {
                let end = if copies.0 {
                    copy(store, named, statement, &victim).await
                } else {
                    run(store, named, statement).await
                };
                if *is_partition && role != OWNER {
                    let is_refused = matches!(&end, End::Failed { code, .. } if code == "42501");
                    assert!(is_refused, "{role}: {statement}: {end:?}");
                }
                if !reached(&end, statement) {
                    // Nor is it told whether there is such a tenant, or such a row.
                    let of_nobody = statement.replace(&victim, &Uuid::now_v7().to_string());
                    assert!(
                        copies.0 || run(store, named, &of_nobody).await == end,
                        "{role}: {statement}: {end:?}"
                    );
                } else if (role, *command) != (OWNER, "truncate") {
                    found.push((role, name.clone(), *command));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn no_statement_reaches_a_tenant_that_was_not_named() {
    let found = reached_by_anybody(&World::new().await).await;
    let expected: Vec<_> = REACHED
        .iter()
        .flat_map(|(role, table, commands, _)| {
            commands.iter().map(|command| (*role, (*table).to_owned(), *command))
        })
        .collect();
    for reach in &found {
        assert!(expected.contains(reach), "{reach:?} is reached");
    }
    for reach in &expected {
        assert!(found.contains(reach), "{reach:?} is not reached any more");
    }
}
