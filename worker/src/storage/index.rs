//! The index of a sandbox's backups, in its Durable Object's SQLite database.
//!
//! The bucket is the truth. The index answers questions about many backups at
//! once, sorted and in pages, and can be made anew at any time. A backup of
//! another writer is in it once it has been rebuilt, but does not belong to
//! the sandbox.

use std::rc::Rc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use sandbox_shared::{
    BackupId, BackupMetadata, ErrorCode, Result, SandboxError,
    catalogue::{BackupPage, BackupRecord, BackupState, ListBackups, SortBy, SortOrder},
    metadata::EXPIRY_MARGIN,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use worker::SqlStorageValue as Value;

use super::database::{Database, failed};

/// All backups of a sandbox that it knows of.
pub struct Index {
    database: Rc<Database>,
    sandbox: String,
    sandbox_name: Option<String>,
}

/// What decides whether a backup is kept.
#[derive(Clone, Debug, Deserialize)]
pub struct Candidate {
    /// Names the backup.
    pub id: BackupId,
    /// The directory.
    pub dir: String,
    size_bytes: f64,
    created_at: f64,
    expires_at: f64,
}

impl Candidate {
    /// As the index has it once it knows `metadata`.
    #[cfg(test)]
    pub fn of(metadata: &BackupMetadata) -> Self {
        Self {
            id: metadata.id.clone(),
            dir: metadata.dir.clone(),
            size_bytes: metadata.size_bytes as f64,
            created_at: milliseconds(metadata.created_at),
            expires_at: expiry(metadata),
        }
    }

    /// Of the archive.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes as u64
    }

    /// When it was made.
    pub fn created_at(&self) -> OffsetDateTime {
        from_milliseconds(self.created_at)
    }

    /// Whether it cannot be restored any more.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        milliseconds(now + EXPIRY_MARGIN) > self.expires_at
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
    pub fn new(database: Rc<Database>, sandbox: String, sandbox_name: Option<String>) -> Self {
        Self {
            database,
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
                Value::Float(expiry(metadata)),
                Value::Integer(own.into()),
                Value::String(json),
            ],
        )?;
        Ok(())
    }

    /// Takes over what the bucket says of a backup that is in the index. Tells
    /// whether it was news.
    pub fn correct(&self, metadata: &BackupMetadata) -> Result<bool> {
        let known = self.metadata(&metadata.id)?;
        let is_news = known.is_some_and(|known| known != *metadata);
        if is_news {
            self.put(metadata)?;
        }
        Ok(is_news)
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
            bindings.push(Value::Float(milliseconds(now + EXPIRY_MARGIN)));
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
            .map(|row| Ok(BackupRecord::new(parse(&row.metadata)?, now)))
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
    pub fn get(&self, id: &BackupId, now: OffsetDateTime) -> Result<Option<BackupRecord>> {
        let metadata = self.metadata(id)?;
        Ok(metadata.map(|metadata| BackupRecord::new(metadata, now)))
    }

    fn metadata(&self, id: &BackupId) -> Result<Option<BackupMetadata>> {
        #[derive(Deserialize)]
        struct Metadata {
            metadata: String,
        }
        let found: Vec<Metadata> = self
            .database
            .run(
                "SELECT metadata FROM backups WHERE id = ?",
                vec![Value::String(id.to_string())],
            )?
            .to_array()
            .map_err(failed)?;
        found.first().map(|row| parse(&row.metadata)).transpose()
    }

    /// Every backup of this sandbox itself, perhaps of one directory: by
    /// directory, and from the newest on.
    pub fn own(&self, dir: Option<&str>) -> Result<Vec<Candidate>> {
        let (condition, bindings) = match dir {
            Some(dir) => ("AND dir = ?", vec![Value::String(dir.to_owned())]),
            None => ("", Vec::new()),
        };
        let sql = format!(
            "SELECT id, dir, size_bytes, created_at, expires_at FROM backups \
             WHERE own = 1 {condition} ORDER BY dir, created_at DESC, id"
        );
        let candidates = self.database.run(&sql, bindings)?.next();
        candidates.collect::<worker::Result<_>>().map_err(failed)
    }
}

fn parse(metadata: &str) -> Result<BackupMetadata> {
    serde_json::from_str(metadata)
        .map_err(|error| SandboxError::new(ErrorCode::InternalError, error.to_string()))
}

/// The last moment at which the backup can be restored, as the table has it.
fn expiry(metadata: &BackupMetadata) -> f64 {
    milliseconds(metadata.expires_at())
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
    fn the_index_and_a_restore_agree_on_what_has_expired() {
        for ttl in [0.5, 60.0, 60.0004, 60.0006, 600.0, 259_200.0] {
            let metadata: BackupMetadata = serde_json::from_value(serde_json::json!({
                "id": BackupId::from_random([7; 16]), "dir": "/workspace", "sizeBytes": 1,
                "ttl": ttl, "createdAt": "2026-02-23T10:11:12.345678Z",
            }))
            .unwrap();
            let candidate = Candidate::of(&metadata);
            let last = from_milliseconds(expiry(&metadata));
            for offset in -2..=2 {
                // The clock of a Worker has milliseconds.
                let now = last + time::Duration::milliseconds(offset);
                assert_eq!(
                    candidate.is_expired(now),
                    metadata.is_expired(now),
                    "{ttl} {offset}"
                );
            }
        }
    }

    #[test]
    fn times_survive_to_the_millisecond() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_771_841_472_345_000_000).unwrap();
        assert_eq!(from_milliseconds(milliseconds(time)), time);
    }
}
