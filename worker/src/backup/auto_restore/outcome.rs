//! How it went to put directories back, in one container: what is known of an
//! older one does not count for the next.

use std::cell::RefCell;

use sandbox_shared::{DirectoryBackup, ErrorCode, Result, SandboxError};
use serde::{Deserialize, Serialize};
use worker::Storage;

use super::failed;

/// Where it is kept in storage what has been given up.
const GIVEN_UP: &str = "auto-restores-tried";

/// What this object has tried in a container.
#[derive(Debug, Default)]
pub struct PutBack(RefCell<Option<Tried>>);

#[derive(Debug)]
struct Tried {
    generation: u32,
    /// What is going to be tried again.
    failures: Vec<Failure>,
}

impl PutBack {
    /// Whether everything has been put back, or given up, in this container.
    pub fn is_done(&self, generation: u32) -> bool {
        let tried = self.0.borrow();
        tried
            .as_ref()
            .is_some_and(|tried| tried.generation == generation && tried.failures.is_empty())
    }

    /// What is going to be tried again in this container, or in the last one.
    pub(super) fn failures(&self, generation: Option<u32>) -> Vec<Failure> {
        let tried = self.0.borrow();
        let tried = tried.as_ref();
        let tried = tried.filter(|it| generation.is_none_or(|wanted| it.generation == wanted));
        tried.map(|it| it.failures.clone()).unwrap_or_default()
    }

    pub(super) fn set(&self, generation: u32, failures: Vec<Failure>) {
        *self.0.borrow_mut() = Some(Tried {
            generation,
            failures,
        });
    }
}

/// What is not put back any more in a container, because that cannot succeed and
/// somebody has been told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GivenUp {
    generation: u32,
    failures: Vec<Failure>,
}

impl GivenUp {
    async fn load(storage: &Storage) -> Result<Option<Self>> {
        storage.get(GIVEN_UP).await.map_err(failed)
    }

    /// What was given up in this container, or in the last one.
    pub(super) async fn last(storage: &Storage, generation: Option<u32>) -> Result<Vec<Failure>> {
        let given_up = Self::load(storage).await?;
        let given_up =
            given_up.filter(|it| generation.is_none_or(|wanted| it.generation == wanted));
        Ok(given_up.map(|it| it.failures).unwrap_or_default())
    }

    pub(super) async fn add(storage: &Storage, generation: u32, failure: Failure) -> Result<()> {
        let mut failures = Self::last(storage, Some(generation)).await?;
        failures.push(failure);
        let given_up = Self {
            generation,
            failures,
        };
        storage.put(GIVEN_UP, given_up).await.map_err(failed)
    }

    /// A backup can be restored after all.
    pub(super) async fn forget(storage: &Storage, backup: &DirectoryBackup) -> Result<()> {
        let Some(mut given_up) = Self::load(storage).await? else {
            return Ok(());
        };
        let count = given_up.failures.len();
        given_up
            .failures
            .retain(|failure| failure.backup != *backup);
        if given_up.failures.len() < count {
            storage.put(GIVEN_UP, given_up).await.map_err(failed)?;
        }
        Ok(())
    }
}

/// Why a directory could not be put back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// Which, and with what.
    pub(super) backup: DirectoryBackup,
    /// Says how to go on.
    pub(super) error: SandboxError,
}

impl Failure {
    pub(super) fn new(backup: DirectoryBackup, error: SandboxError) -> Self {
        let dir = &backup.dir;
        let next = match is_lasting(&error) {
            true => {
                "it is not tried again in this container, where everything else runs without it"
            }
            false => "the next operation tries it again",
        };
        let message = format!(
            "{dir} could not be put back after the container had started again: {}; {next}; \
             unmountBackup(\"{dir}\") forgets it",
            error.message
        );
        let error = SandboxError { message, ..error }.with("autoRestore", dir.as_str());
        Self { backup, error }
    }

    /// Whether trying again cannot help.
    pub(super) fn is_lasting(&self) -> bool {
        is_lasting(&self.error)
    }
}

fn is_lasting(error: &SandboxError) -> bool {
    matches!(
        error.code,
        ErrorCode::BackupExpired | ErrorCode::BackupNotFound
    )
}

#[cfg(test)]
mod tests {
    use sandbox_shared::BackupId;

    use super::*;

    #[test]
    fn a_failure_says_how_to_go_on() {
        let backup = DirectoryBackup {
            id: BackupId::from_random([1; 16]),
            dir: "/app".to_owned(),
        };
        for (code, next) in [
            (ErrorCode::BackupExpired, "not tried again"),
            (ErrorCode::ContainerUnavailable, "tries it again"),
        ] {
            let error = SandboxError::new(code, "of this").with("id", "x");
            let Failure { error, .. } = Failure::new(backup.clone(), error);
            assert_eq!(error.code, code);
            for part in ["/app", "of this", next, "unmountBackup(\"/app\")"] {
                assert!(error.message.contains(part), "{}", error.message);
            }
            assert_eq!(error.context["autoRestore"], "/app");
            assert_eq!(error.context["id"], "x");
        }
    }
}
