//! Tables in a Durable Object's SQLite database, made when they are first used.

use std::cell::Cell;

use sandbox_shared::{ErrorCode, Result, SandboxError};
use worker::{SqlCursor, SqlStorage, SqlStorageValue as Value};

/// A database with the tables of one part of a sandbox.
pub(super) struct Database {
    sql: SqlStorage,
    schema: &'static str,
    /// Whether the tables are known to be there.
    ready: Cell<bool>,
}

impl Database {
    /// `sql` with the tables that `schema` makes where they are missing.
    pub(super) fn new(sql: SqlStorage, schema: &'static str) -> Self {
        Self {
            sql,
            schema,
            ready: Cell::new(false),
        }
    }

    /// Runs one statement.
    pub(super) fn run(&self, query: &str, bindings: Vec<Value>) -> Result<SqlCursor> {
        if !self.ready.get() {
            self.sql.exec(self.schema, None).map_err(failed)?;
            self.ready.set(true);
        }
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
