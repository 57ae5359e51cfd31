//! The schema's steps: each is applied once, in order, on either engine.

use vouchsafe_fleet::Digest;

use crate::connect::Connection;
use crate::error::{EngineError, OpenError};
use crate::row::Columns;
use crate::statement::{Values, fetch_all, run};

/// One step.
struct Migration {
    version: i64,
    text: &'static str,
}

/// All steps, in ascending order. One that was released is never changed.
const MIGRATIONS: [Migration; 4] = [
    Migration {
        version: 1,
        text: include_str!("../migrations/0001_state_and_journal.sql"),
    },
    Migration {
        version: 2,
        text: include_str!("../migrations/0002_wifi.sql"),
    },
    Migration {
        version: 3,
        text: include_str!("../migrations/0003_admission.sql"),
    },
    Migration {
        version: 4,
        text: include_str!("../migrations/0004_assurance.sql"),
    },
];

/// SQLite makes a key of this type the table's own order, and any other a table beside it.
const NUMBER_KEY: &str = "BIGINT NOT NULL PRIMARY KEY";
const ROW_NUMBER: &str = "INTEGER NOT NULL PRIMARY KEY";

/// What was applied already.
const REGISTER: &str = "CREATE TABLE IF NOT EXISTS schema_migration \
     (version BIGINT NOT NULL PRIMARY KEY, text_sha256 BYTEA NOT NULL)";

/// Brings the schema up to this program's version: all missing steps or none.
pub(crate) async fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    connection.begin(0).await?;
    // Replicas that start together wait for each other here.
    if let Connection::Postgres(server) = connection {
        server
            .execute("SELECT pg_advisory_xact_lock(hashtext('vouchsafe schema'))")
            .await?;
    }
    match apply_missing(connection).await {
        Ok(()) => Ok(connection.commit().await?),
        Err(error) => {
            // What matters is the first error.
            let _undone = connection.roll_back().await;
            Err(error)
        }
    }
}

async fn apply_missing(connection: &mut Connection) -> Result<(), OpenError> {
    connection.execute(REGISTER).await?;
    let applied = applied(connection).await?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    for (version, text_sha256) in &applied {
        let same = MIGRATIONS
            .iter()
            .find(|migration| migration.version == *version)
            .map(|migration| Digest::of(migration.text.as_bytes()) == *text_sha256);
        let reason = match same {
            Some(true) => continue,
            Some(false) => "its text has changed since",
            None if *version > known => {
                let found = *version;
                return Err(OpenError::NewerSchema { found, known });
            }
            None => "applied once, unknown now",
        };
        return Err(OpenError::Migration {
            version: *version,
            reason: reason.to_owned(),
        });
    }
    for migration in MIGRATIONS.iter().skip(applied.len()) {
        let version = migration.version;
        apply(connection, migration)
            .await
            .map_err(|error| OpenError::Migration {
                version,
                reason: error.to_string(),
            })?;
    }
    Ok(())
}

async fn apply(connection: &mut Connection, migration: &Migration) -> Result<(), EngineError> {
    const SQL: &str = "INSERT INTO schema_migration (version, text_sha256) VALUES (?1, ?2)";
    let text = match connection {
        Connection::Sqlite(_) => &migration.text.replace(NUMBER_KEY, ROW_NUMBER),
        Connection::Postgres(_) => migration.text,
    };
    connection.execute(text).await?;
    let values = Values::new()
        .number(migration.version)
        .digest(Digest::of(migration.text.as_bytes()));
    run(connection, SQL, values).await?;
    Ok(())
}

async fn applied(connection: &mut Connection) -> Result<Vec<(i64, Digest)>, OpenError> {
    const SQL: &str = "SELECT version, text_sha256 FROM schema_migration ORDER BY version";
    let rows = fetch_all(connection, SQL, Values::new()).await?;
    let read = |row| {
        let row = Columns::of(row, "schema_migration");
        let version = i64::try_from(row.count("version")?).unwrap_or(i64::MAX);
        Ok((version, row.digest("text_sha256")?))
    };
    let read_all: Result<_, crate::error::ReadError> = rows.iter().map(read).collect();
    read_all.map_err(|error| OpenError::Migration {
        version: 0,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_gaps() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|step| step.version).collect();
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected);
    }
}
