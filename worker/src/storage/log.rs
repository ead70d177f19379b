//! The last operations of a sandbox, in its Durable Object's SQLite database.
//!
//! It is for people who want to know what happened, and says nothing that
//! anything depends on: a failure to write it fails no operation.

use std::rc::Rc;

use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    log::{LogEntry, LoggedOperation, MAX_LOG_ENTRIES, OperationLogPage, OperationLogQuery},
};
use serde::Deserialize;
use worker::SqlStorageValue as Value;

use super::database::{Database, failed};

/// At most [`MAX_LOG_ENTRIES`] operations.
pub struct OperationLog {
    database: Rc<Database>,
}

#[derive(Deserialize)]
struct Row {
    number: f64,
    operation: String,
}

impl OperationLog {
    /// The log in `database`.
    pub fn new(database: Rc<Database>) -> Self {
        Self { database }
    }

    /// Adds an operation, and forgets the oldest when there are too many.
    pub fn append(&self, operation: &LoggedOperation) -> Result<()> {
        let json = serde_json::to_string(operation).map_err(malformed)?;
        self.database.run(
            "INSERT INTO log (operation) VALUES (?)",
            vec![Value::String(json)],
        )?;
        self.database.run(
            "DELETE FROM log WHERE number <= (SELECT max(number) FROM log) - ?",
            vec![Value::Integer(MAX_LOG_ENTRIES.into())],
        )?;
        Ok(())
    }

    /// One page, from the last operation back.
    pub fn page(&self, query: &OperationLogQuery) -> Result<OperationLogPage> {
        let limit = query.page_size()? as usize;
        let before = query.before()?.map_or(f64::MAX, |number| number as f64);
        // One more than wanted tells whether there is another page.
        let mut rows: Vec<Row> = self
            .database
            .run(
                "SELECT number, operation FROM log WHERE number < ? \
                 ORDER BY number DESC LIMIT ?",
                vec![Value::Float(before), Value::Integer(limit as i64 + 1)],
            )?
            .to_array()
            .map_err(failed)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let operations = rows
            .into_iter()
            .map(|row| {
                Ok(LogEntry {
                    number: row.number as u64,
                    operation: serde_json::from_str(&row.operation).map_err(malformed)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let last = operations.last().filter(|_| more);
        Ok(OperationLogPage {
            cursor: last.map(|entry| entry.number.to_string()),
            operations,
        })
    }
}

fn malformed(error: serde_json::Error) -> SandboxError {
    SandboxError::new(ErrorCode::InternalError, error.to_string())
}
