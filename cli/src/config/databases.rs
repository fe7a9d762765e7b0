//! `[databases.NAME]`: the databases that tenants may be placed in, as this process knows them.
//!
//! Names come from the shared database, where they lead is said here and nowhere else. A name that is not known here is an
//! error wherever it is followed.

use std::collections::{BTreeMap, HashMap};

use bulkhead_policy::ids::DatabaseName;
use bulkhead_store::{Role, Store};
use serde::Deserialize;

use crate::failure::Failure;

/// `BULKHEAD_DATABASES_ACME_EU_URL` is `databases.acme-eu.url`.
const VARIABLES: &str = "BULKHEAD_DATABASES_";

/// Databases by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Databases(BTreeMap<DatabaseName, Urls>);

/// Where one database is; roles may log in separately.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Urls {
    url: Option<String>,
    writer_url: Option<String>,
    migrator_url: Option<String>,
    retention_url: Option<String>,
}

impl Urls {
    fn of(&self, role: Role) -> Option<&str> {
        let own = match role {
            Role::Writer => &self.writer_url,
            Role::Migrator => &self.migrator_url,
            Role::Retention => &self.retention_url,
            _ => &None,
        };
        own.as_deref().or(self.url.as_deref())
    }

    /// The field that the end of a variable's name means, and what stands before it.
    fn field<'a>(&mut self, name: &'a str) -> Option<(&'a str, &mut Option<String>)> {
        let fields = [
            ("_WRITER_URL", &mut self.writer_url),
            ("_MIGRATOR_URL", &mut self.migrator_url),
            ("_RETENTION_URL", &mut self.retention_url),
            ("_URL", &mut self.url),
        ];
        fields.into_iter().find_map(|(end, field)| Some((name.strip_suffix(end)?, field)))
    }
}

impl Databases {
    /// Takes the file's sections, lays variables over them and checks both.
    ///
    /// # Errors
    /// One line: which key, which value, what is allowed.
    pub(super) fn read(
        sections: BTreeMap<String, Urls>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let mut databases = BTreeMap::new();
        for (name, urls) in sections {
            databases.insert(parse(&name, &format!("databases.{name}"))?, urls);
        }
        for (variable, value) in variables {
            let Some(rest) = variable.strip_prefix(VARIABLES) else { continue };
            let unknown = || format!("{variable}: expected {VARIABLES}NAME_URL");
            let mut urls = Urls::default();
            let (name, _) = urls.field(rest).ok_or_else(unknown)?;
            let name = parse(&name.to_ascii_lowercase().replace('_', "-"), &variable)?;
            if let Some((_, field)) = databases.entry(name).or_default().field(rest) {
                *field = Some(value);
            }
        }
        for (name, urls) in &databases {
            for (role, key) in
                [(Role::Writer, "writer"), (Role::Migrator, "migrator"), (Role::Retention, "retention")]
            {
                urls.of(role).ok_or_else(|| {
                    format!(
                        "databases.{name}.url: missing: expected postgres://user@host:port/name (or databases.{name}.{key}_url)"
                    )
                })?;
            }
        }
        Ok(Self(databases))
    }

    /// Where a role finds the database of that name.
    pub(crate) fn url(&self, name: &DatabaseName, role: Role) -> Result<&str, Failure> {
        let Some(urls) = self.0.get(name) else {
            let known: Vec<&str> = self.0.keys().map(DatabaseName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failure::Usage(format!(
                "database {name:?} is not configured here (known: {known}): give its URL as databases.{name}.url in --config, or \
                 in {VARIABLES}{}_URL",
                name.as_str().to_ascii_uppercase().replace('-', "_")
            )));
        };
        urls.of(role).ok_or_else(|| Failure::Usage(format!("databases.{name}.url: missing")))
    }

    /// A pool for each, none of which connects before it is used.
    pub(crate) fn stores(
        &self,
        role: Role,
        connections: u32,
    ) -> Result<HashMap<DatabaseName, Store>, Failure> {
        let stores = self.0.keys().map(|name| {
            let store = Store::lazy(self.url(name, role)?, role, connections);
            Ok((
                name.clone(),
                store.map_err(|error| Failure::from(error).context(&format!("databases.{name}")))?,
            ))
        });
        stores.collect()
    }
}

fn parse(name: &str, key: &str) -> Result<DatabaseName, String> {
    let parsed: DatabaseName = name.parse().map_err(|error| format!("{key}: {name:?}: {error}"))?;
    if parsed.is_shared() {
        return Err(format!("{key}: {name:?} is the name of the database that [database] says"));
    }
    Ok(parsed)
}
