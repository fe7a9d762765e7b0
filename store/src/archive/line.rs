//! What a line says: the row of a table, or the end.

use std::fmt;

use bulkhead_policy::ids::TenantId;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::FORMAT;
use super::table::Table;

/// What is wrong with a line. Says names of tables and columns, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Longer than [`super::LINE_BYTES_MAX`].
    #[error("longer than {} bytes", super::LINE_BYTES_MAX)]
    TooLong,
    /// It is not a JSON object, or not in UTF-8.
    #[error("not a JSON object in UTF-8")]
    NotAnObject,
    /// Its first member is not `table`.
    #[error("not a row: expected \"table\" first")]
    NoTable,
    /// There is no such table in an archive.
    #[error("no table {0:?} is known: an archive of a later version?")]
    UnknownTable(String),
    /// The table has no such column.
    #[error("{table} has no column {column:?}: an archive of a later version?")]
    UnknownColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
    /// A column stands there twice.
    #[error("column {0} stands there twice")]
    DoubledColumn(&'static str),
    /// A column is missing.
    #[error("{table} has a column {column} that is not there: an archive of an earlier version?")]
    MissingColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// It belongs to somebody else.
    #[error("a row of another tenant")]
    OtherTenant,
    /// It stands behind the last line.
    #[error("there is something behind the last line")]
    BehindTheEnd,
}

/// The members of an object in their order, doubled ones included.
struct Members<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Proves that a line is a row of `tenant` with exactly the columns of its table, and returns the table.
pub(super) fn table_of(line: &str, tenant: TenantId) -> Result<Table, LineFault> {
    let Members(members) = serde_json::from_str(line).map_err(|_| LineFault::NotAnObject)?;
    let Some((("table", name), columns)) = members.split_first() else { return Err(LineFault::NoTable) };
    let name: String = serde_json::from_str(name.get()).map_err(|_| LineFault::NoTable)?;
    let table = Table::from_name(&name).ok_or(LineFault::UnknownTable(name))?;
    let mut missing = table.columns().to_vec();
    for (column, value) in columns {
        match missing.iter().position(|known| known == column) {
            Some(place) => missing.swap_remove(place),
            None => return Err(unexpected(table, column)),
        };
        if *column == "tenant_id" && value.get() != format!("\"{tenant}\"") {
            return Err(LineFault::OtherTenant);
        }
    }
    match missing.first() {
        Some(column) => Err(LineFault::MissingColumn { table: table.name(), column }),
        None => Ok(table),
    }
}

fn unexpected(table: Table, column: &str) -> LineFault {
    match table.columns().iter().find(|known| **known == column) {
        Some(known) => LineFault::DoubledColumn(known),
        None => LineFault::UnknownColumn { table: table.name(), column: column.to_owned() },
    }
}

/// Rows by table. In JSON an object with a member for every table, in the order of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowCounts([u64; Table::ALL.len()]);

impl RowCounts {
    /// Returns the rows of a table, 0 if an archive has no such table.
    #[must_use]
    pub fn of(&self, table: &str) -> u64 {
        self.iter().find(|(name, _)| *name == table).map_or(0, |(_, count)| count)
    }

    /// Returns the rows of all tables.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the tables with their rows, in the order of the archive.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Table::ALL.into_iter().map(Table::name).zip(self.0)
    }

    pub(super) fn add(&mut self, table: Table) {
        let counts = self.0.iter_mut().zip(Table::ALL);
        for (count, _) in counts.filter(|(_, counted)| *counted == table) {
            *count += 1;
        }
    }
}

impl Serialize for RowCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in self.iter() {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

/// How the last line begins.
pub(super) const END: &str = "{\"end\":";

/// Returns the last line of an archive, without its line feed. There is one way to write it, so a reader compares.
pub(super) fn end(rows: &RowCounts, sha256: &str) -> Result<String, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct End<'a> {
        end: &'a str,
        rows: &'a RowCounts,
        sha256: &'a str,
    }
    serde_json::to_string(&End { end: FORMAT, rows, sha256 })
}
