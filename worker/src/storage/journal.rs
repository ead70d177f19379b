//! What backups and restores have begun, in the Durable Object's SQLite
//! database: an object that is restarted finds here what it was doing, and a
//! caller whose answer was lost finds what became of it.

use std::rc::Rc;

use sandbox_shared::{
    BackupId, DirectoryBackup, Result, SandboxError,
    operation::{OperationId, OperationOutcome, OperationState},
    progress::OperationKind,
};
use serde::Deserialize;
use time::OffsetDateTime;
use worker::SqlStorageValue as Value;

use super::{
    database::{Database, failed},
    index::{from_milliseconds, milliseconds},
};

/// Operations that are remembered once they have ended.
const REMEMBERED: i64 = 100;

/// How far an operation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is under way, or was when the object went away.
    Running,
    /// Its caller was told that it failed; what it left must go.
    Failed,
    /// It has come to its end, like this.
    Settled(OperationState),
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Settled(OperationState::Committed) => "committed",
            Self::Settled(OperationState::Uncertain) => "uncertain",
            Self::Settled(_) => "notCommitted",
        }
    }

    fn outcome(text: &str) -> OperationState {
        match text {
            "running" => OperationState::Running,
            "committed" => OperationState::Committed,
            "uncertain" => OperationState::Uncertain,
            // Nothing of it can be seen, even before all of it is gone.
            _ => OperationState::NotCommitted,
        }
    }
}

/// One that has to be looked after.
pub struct Unsettled {
    /// Which.
    pub operation: OperationId,
    /// What it is.
    pub kind: OperationKind,
    /// The backup.
    pub backup: DirectoryBackup,
    /// Of the archive, once it was created.
    pub upload_id: Option<String>,
    /// Whether its caller has been told that it failed.
    pub has_failed: bool,
}

/// The journal of one sandbox.
pub struct Journal {
    database: Rc<Database>,
}

#[derive(Deserialize)]
struct Row {
    operation: String,
    #[serde(rename = "type")]
    kind: String,
    id: String,
    dir: String,
    started_at: f64,
    upload: String,
    state: String,
}

impl Row {
    fn backup(&self) -> Result<DirectoryBackup> {
        Ok(DirectoryBackup {
            id: BackupId::parse(&self.id)?,
            dir: self.dir.clone(),
        })
    }
}

impl Journal {
    /// The journal in `database`.
    pub fn new(database: Rc<Database>) -> Self {
        Self { database }
    }

    fn rows(&self, query: &str, bindings: Vec<Value>) -> Result<Vec<Row>> {
        self.database
            .run(query, bindings)?
            .to_array()
            .map_err(failed)
    }

    /// Notes that an operation begins.
    pub fn begin(
        &self,
        operation: &OperationId,
        kind: OperationKind,
        backup: &DirectoryBackup,
        now: OffsetDateTime,
    ) -> Result<()> {
        if self.find(operation)?.is_some() {
            return Err(SandboxError::invalid_config(
                "operationId is that of an earlier operation; each needs its own",
            ));
        }
        self.database.run(
            "INSERT INTO operations (operation, type, id, dir, started_at, state) \
             VALUES (?, ?, ?, ?, ?, ?)",
            vec![
                text(operation.as_str()),
                text(kind.as_str()),
                text(backup.id.as_str()),
                text(&backup.dir),
                Value::Float(milliseconds(now)),
                text(State::Running.as_str()),
            ],
        )?;
        self.database.run(
            "DELETE FROM operations WHERE state NOT IN ('running', 'failed') AND number <= \
             (SELECT max(number) FROM operations) - ?",
            vec![Value::Integer(REMEMBERED)],
        )?;
        Ok(())
    }

    /// Notes the upload of a backup's archive.
    pub fn note_upload(&self, operation: &OperationId, upload_id: &str) -> Result<()> {
        self.database.run(
            "UPDATE operations SET upload = ? WHERE operation = ?",
            vec![text(upload_id), text(operation.as_str())],
        )?;
        Ok(())
    }

    /// Notes how far an operation got.
    pub fn set(&self, operation: &OperationId, state: State) -> Result<()> {
        self.database.run(
            "UPDATE operations SET state = ? WHERE operation = ?",
            vec![text(state.as_str()), text(operation.as_str())],
        )?;
        Ok(())
    }

    /// Those that have begun and not come to an end, the oldest first. What a newer
    /// Worker has begun stays for that to settle.
    pub fn unsettled(&self) -> Result<Vec<Unsettled>> {
        let rows = self.rows(
            "SELECT * FROM operations WHERE state IN ('running', 'failed') ORDER BY number",
            Vec::new(),
        )?;
        rows.into_iter()
            .filter_map(|row| Some((OperationKind::from_name(&row.kind)?, row)))
            .map(|(kind, row)| {
                Ok(Unsettled {
                    operation: OperationId::parse(&row.operation)?,
                    kind,
                    backup: row.backup()?,
                    has_failed: row.state == State::Failed.as_str(),
                    upload_id: Some(row.upload).filter(|upload| !upload.is_empty()),
                })
            })
            .collect()
    }

    fn find(&self, operation: &OperationId) -> Result<Option<Row>> {
        let found = self.rows(
            "SELECT * FROM operations WHERE operation = ?",
            vec![text(operation.as_str())],
        )?;
        Ok(found.into_iter().next())
    }

    /// What became of an operation.
    pub fn outcome(&self, operation: OperationId) -> Result<OperationOutcome> {
        let Some(row) = self.find(&operation)? else {
            return Ok(OperationOutcome::unknown(operation));
        };
        let state = State::outcome(&row.state);
        Ok(OperationOutcome {
            operation_id: operation,
            state,
            committed: state.committed(),
            backup: Some(row.backup()?),
            started_at: Some(from_milliseconds(row.started_at)),
            kind: OperationKind::from_name(&row.kind),
        })
    }
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}
