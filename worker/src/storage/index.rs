//! The index of a sandbox's backups, in its Durable Object's SQLite database.
//!
//! The bucket is the truth. The index answers questions about many backups at
//! once, sorted and in pages, and can be made anew at any time. A backup of
//! another writer is in it once it has been rebuilt, but does not belong to
//! the sandbox.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use sandbox_shared::{
    BackupId, BackupMetadata, ErrorCode, Result, SandboxError,
    backup::EXPIRY_MARGIN,
    catalogue::{BackupPage, BackupRecord, BackupState, ListBackups, SortBy, SortOrder},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use worker::{SqlStorage, SqlStorageValue as Value};

use super::database::{Database, failed};

/// Times are in milliseconds since 1970; `expires_at` has the margin taken off.
/// `name` is empty for none. `own` is 0 for backups of other writers.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS backups (
        id TEXT PRIMARY KEY,
        dir TEXT NOT NULL,
        name TEXT NOT NULL,
        size_bytes REAL NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        own INTEGER NOT NULL,
        metadata TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS backups_by_age ON backups (created_at, id);
    CREATE INDEX IF NOT EXISTS backups_by_dir ON backups (dir, created_at, id);";

/// All backups of a sandbox that it knows of.
pub struct Index {
    database: Database,
    sandbox: String,
    sandbox_name: Option<String>,
}

/// What decides whether a backup is kept.
#[derive(Clone, Debug, Deserialize)]
pub struct Candidate {
    /// Names the backup.
    pub id: String,
    /// The directory.
    pub dir: String,
    /// Of the archive.
    pub size_bytes: f64,
    created_at: f64,
    expires_at: f64,
}

impl Candidate {
    /// When it was made.
    pub fn created_at(&self) -> OffsetDateTime {
        from_milliseconds(self.created_at)
    }

    /// Whether it cannot be restored any more.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        milliseconds(now) > self.expires_at
    }
}

/// Where a page ended: the value it is sorted by, and the id.
#[derive(Serialize, Deserialize)]
struct Cursor(Position, String);

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Position {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct Row {
    metadata: String,
    position: Position,
}

impl Index {
    /// The index in `database`, of the sandbox with this id and, perhaps, name.
    pub fn new(database: SqlStorage, sandbox: String, sandbox_name: Option<String>) -> Self {
        Self {
            database: Database::new(database, SCHEMA),
            sandbox,
            sandbox_name,
        }
    }

    /// The id of the sandbox, as metadata has it.
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// The name of the sandbox, as metadata has it.
    pub fn sandbox_name(&self) -> Option<&str> {
        self.sandbox_name.as_deref()
    }

    /// Adds a backup, or what has become of it.
    pub fn put(&self, metadata: &BackupMetadata) -> Result<()> {
        let json = serde_json::to_string(metadata)
            .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?;
        let own = metadata.sandbox.as_ref() == Some(&self.sandbox);
        self.database.run(
            "INSERT OR REPLACE INTO backups VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            vec![
                Value::String(metadata.id.to_string()),
                Value::String(metadata.dir.clone()),
                Value::String(metadata.name.clone().unwrap_or_default()),
                Value::Float(metadata.size_bytes as f64),
                Value::Float(milliseconds(metadata.created_at)),
                Value::Float(milliseconds(metadata.expires_at() - EXPIRY_MARGIN)),
                Value::Integer(own.into()),
                Value::String(json),
            ],
        )?;
        Ok(())
    }

    /// Forgets backups.
    pub fn remove(&self, ids: &[BackupId]) -> Result<()> {
        for id in ids {
            let id = Value::String(id.to_string());
            self.database
                .run("DELETE FROM backups WHERE id = ?", vec![id])?;
        }
        Ok(())
    }

    /// Forgets all backups.
    pub fn clear(&self) -> Result<()> {
        self.database.run("DELETE FROM backups", Vec::new())?;
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Count {
            count: f64,
        }
        let cursor = self
            .database
            .run("SELECT count(*) AS count FROM backups", Vec::new())?;
        Ok(cursor.one::<Count>().map_err(failed)?.count as u64)
    }

    /// One page of a list.
    pub fn list(&self, query: &ListBackups, now: OffsetDateTime) -> Result<BackupPage> {
        let limit = query.page_size()?;
        let column = match query.sort.unwrap_or_default() {
            SortBy::CreatedAt => "created_at",
            SortBy::ExpiresAt => "expires_at",
            SortBy::SizeBytes => "size_bytes",
            SortBy::Name => "name",
            SortBy::Dir => "dir",
        };
        let (direction, after) = match query.order.unwrap_or_default() {
            SortOrder::Asc => ("ASC", ">"),
            SortOrder::Desc => ("DESC", "<"),
        };
        let mut conditions = vec!["1".to_owned()];
        let mut bindings = Vec::new();
        for (column, wanted) in [("dir", &query.dir), ("name", &query.name)] {
            if let Some(wanted) = wanted {
                conditions.push(format!("{column} = ?"));
                bindings.push(Value::String(wanted.clone()));
            }
        }
        if let Some(state) = query.state {
            let compare = match state {
                BackupState::Active => ">=",
                BackupState::Expired => "<",
            };
            conditions.push(format!("expires_at {compare} ?"));
            bindings.push(Value::Float(milliseconds(now)));
        }
        if let Some(cursor) = &query.cursor {
            let Cursor(position, id) = decode_cursor(cursor)?;
            conditions.push(format!("({column}, id) {after} (?, ?)"));
            bindings.push(match position {
                Position::Number(number) => Value::Float(number),
                Position::Text(text) => Value::String(text),
            });
            bindings.push(Value::String(id));
        }
        // One more than wanted tells whether there is another page.
        bindings.push(Value::Integer(i64::from(limit) + 1));
        let sql = format!(
            "SELECT metadata, {column} AS position FROM backups WHERE {} \
             ORDER BY {column} {direction}, id {direction} LIMIT ?",
            conditions.join(" AND ")
        );
        let mut rows: Vec<Row> = self
            .database
            .run(&sql, bindings)?
            .to_array()
            .map_err(failed)?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let position = rows.last().map(|row| row.position.clone());
        let backups = rows
            .into_iter()
            .map(|row| record(&row.metadata, now))
            .collect::<Result<Vec<_>>>()?;
        let cursor = match (more, backups.last(), position) {
            (true, Some(last), Some(position)) => {
                Some(encode_cursor(&Cursor(position, last.id.to_string()))?)
            }
            _ => None,
        };
        Ok(BackupPage { backups, cursor })
    }

    /// One backup.
    pub fn get(&self, id: &str, now: OffsetDateTime) -> Result<Option<BackupRecord>> {
        #[derive(Deserialize)]
        struct Metadata {
            metadata: String,
        }
        let found: Vec<Metadata> = self
            .database
            .run(
                "SELECT metadata FROM backups WHERE id = ?",
                vec![Value::String(id.to_owned())],
            )?
            .to_array()
            .map_err(failed)?;
        found
            .first()
            .map(|row| record(&row.metadata, now))
            .transpose()
    }

    /// Tells `visit` of every backup of this sandbox itself: by directory, and
    /// from the newest on.
    pub fn visit_own(&self, dir: Option<&str>, mut visit: impl FnMut(Candidate)) -> Result<()> {
        let (condition, bindings) = match dir {
            Some(dir) => ("AND dir = ?", vec![Value::String(dir.to_owned())]),
            None => ("", Vec::new()),
        };
        let sql = format!(
            "SELECT id, dir, size_bytes, created_at, expires_at FROM backups \
             WHERE own = 1 {condition} ORDER BY dir, created_at DESC, id"
        );
        for candidate in self.database.run(&sql, bindings)?.next::<Candidate>() {
            visit(candidate.map_err(failed)?);
        }
        Ok(())
    }
}

fn record(metadata: &str, now: OffsetDateTime) -> Result<BackupRecord> {
    let metadata = serde_json::from_str(metadata)
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))?;
    Ok(BackupRecord::new(metadata, now))
}

fn encode_cursor(cursor: &Cursor) -> Result<String> {
    serde_json::to_vec(cursor)
        .map(|json| BASE64.encode(json))
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))
}

fn decode_cursor(text: &str) -> Result<Cursor> {
    BASE64
        .decode(text)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| SandboxError::invalid_config("cursor is not one that listBackups gave"))
}

pub(super) fn milliseconds(time: OffsetDateTime) -> f64 {
    (time.unix_timestamp_nanos() / 1_000_000) as f64
}

pub(super) fn from_milliseconds(milliseconds: f64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds as i128 * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor(Position::Text("/workspace".into()), "id".into());
        let Cursor(position, id) = decode_cursor(&encode_cursor(&cursor).unwrap()).unwrap();
        assert!(matches!(position, Position::Text(dir) if dir == "/workspace") && id == "id");
        for bad in ["", "x", "{}", "W10"] {
            assert!(decode_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_survive_to_the_millisecond() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_771_841_472_345_000_000).unwrap();
        assert_eq!(from_milliseconds(milliseconds(time)), time);
    }
}
