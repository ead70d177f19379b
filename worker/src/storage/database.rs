//! The tables in a Durable Object's SQLite database, and how they became what they
//! are.
//!
//! They have a version, and each step leads from one version to the next. All steps
//! that are missing are taken before the tables are first used, in one go: writes of
//! a Durable Object without a pause between them are stored together or not at all
//! (Durable Objects, "SQLite storage API").

use std::cell::Cell;

use sandbox_shared::{ErrorCode, Result, SandboxError};
use serde::Deserialize;
use worker::{SqlCursor, SqlStorage, SqlStorageValue as Value};

/// A step that was released is never changed: a change is one step more.
const STEPS: [&str; 2] = [
    include_str!("database/1.sql"),
    include_str!("database/2.sql"),
];

/// Which steps were taken. No row, or no table: none.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY)";

/// The database of one sandbox.
pub struct Database {
    sql: SqlStorage,
    /// Whether the tables are known to be of the last version.
    is_current: Cell<bool>,
}

impl Database {
    /// The database in `sql`.
    pub fn new(sql: SqlStorage) -> Self {
        Self {
            sql,
            is_current: Cell::new(false),
        }
    }

    /// Runs one statement.
    pub(super) fn run(&self, query: &str, bindings: Vec<Value>) -> Result<SqlCursor> {
        if !self.is_current.get() {
            self.migrate()?;
            self.is_current.set(true);
        }
        self.exec(query, bindings)
    }

    fn migrate(&self) -> Result<()> {
        self.exec(VERSIONS, Vec::new())?;
        let taken = self.version()?;
        let Some(missing) = STEPS.get(taken..) else {
            return Err(SandboxError::new(
                ErrorCode::InternalError,
                format!(
                    "the sandbox's tables are of version {taken}, which a newer Worker has made; \
                     this one knows {} versions: deploy the newer one again",
                    STEPS.len()
                ),
            ));
        };
        for (step, version) in missing.iter().zip(taken + 1..) {
            self.exec(step, Vec::new())?;
            self.exec(
                "INSERT INTO versions VALUES (?)",
                vec![Value::Integer(version as i64)],
            )?;
        }
        Ok(())
    }

    fn version(&self) -> Result<usize> {
        #[derive(Deserialize)]
        struct Row {
            version: f64,
        }
        let last = "SELECT coalesce(max(version), 0) AS version FROM versions";
        let row: Row = self.exec(last, Vec::new())?.one().map_err(failed)?;
        Ok(row.version as usize)
    }

    fn exec(&self, query: &str, bindings: Vec<Value>) -> Result<SqlCursor> {
        self.sql.exec(query, bindings).map_err(failed)
    }
}

/// What a failure of the database means to a caller.
pub(super) fn failed(error: worker::Error) -> SandboxError {
    SandboxError::new(
        ErrorCode::InternalError,
        format!("the Durable Object's database failed: {error}"),
    )
}
