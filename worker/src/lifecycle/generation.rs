//! Which container it is. Each start of a container is a generation, with a
//! number that is one higher than that of the one before, kept in the Durable
//! Object's storage, so that an object that was evicted finds its container again.
//!
//! A new container has an empty disk. A backup of it would pass for one of the
//! container that it has replaced, so `createBackup` fails until a caller has been
//! told, or has asked for what the directory holds.

use sandbox_shared::{BackupId, Result, path::is_within};
use serde::{Deserialize, Serialize};
use worker::Storage;

use super::storage;

/// Where it is kept in storage.
const KEY: &str = "container";
/// Where its token, and which backups were restored to it, were kept before
/// there were generations. The token still is, for a Worker that is deployed again.
const OLD_KEYS: (&str, &str) = ("agent-token", "restored-backups");
/// As many backups that were restored to it, the latest, are known.
const MAX_RESTORED: usize = 1000;

/// What is known of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Generation {
    /// The first one is 1.
    pub(super) number: u32,
    /// What its agent answers to.
    pub(super) token: String,
    /// Whether no caller can take it for an earlier container: there was none,
    /// or they have been told.
    is_known: bool,
    /// Whether nothing is lost with it: it has not been used yet, or a caller
    /// has asked for its end.
    is_expendable: bool,
    /// Directories that callers have restored in it.
    restored_dirs: Vec<String>,
    /// The backups that were to be restored to it: its agent may have URLs of
    /// their archives.
    restored: Vec<BackupId>,
}

/// The record of older versions of this Worker.
#[derive(Serialize, Deserialize)]
struct OldRecord {
    token: String,
}

impl Generation {
    /// The one that was started last, if there was any.
    pub(super) async fn load(storage: &Storage) -> Result<Option<Self>> {
        let (token, restored) = OLD_KEYS;
        let found: Option<Self> = storage.get(KEY).await.map_err(self::storage)?;
        let old: Option<OldRecord> = storage.get(token).await.map_err(self::storage)?;
        let is_later = |old: &OldRecord| found.as_ref().is_none_or(|it| it.token != old.token);
        let Some(old) = old.filter(is_later) else {
            return Ok(found);
        };
        // An older Worker has started it.
        let restored: Option<Vec<BackupId>> = storage.get(restored).await.map_err(self::storage)?;
        Ok(Some(Self {
            is_expendable: false,
            restored: restored.unwrap_or_default(),
            ..Self::after(found.as_ref(), old.token)
        }))
    }

    pub(super) async fn store(&self, storage: &Storage) -> Result<()> {
        let (token, _) = OLD_KEYS;
        let old = OldRecord {
            token: self.token.clone(),
        };
        storage.put(KEY, self).await.map_err(self::storage)?;
        storage.put(token, old).await.map_err(self::storage)
    }

    /// The one that takes the place of another, or is the first.
    pub(super) fn after(previous: Option<&Self>, token: String) -> Self {
        Self {
            number: previous.map_or(1, |previous| previous.number + 1),
            token,
            is_known: previous.is_none_or(|previous| previous.is_known && previous.is_expendable),
            is_expendable: true,
            restored_dirs: Vec::new(),
            restored: Vec::new(),
        }
    }

    /// It is used from now on. Says whether that is news.
    pub(super) fn begin_use(&mut self) -> bool {
        std::mem::take(&mut self.is_expendable)
    }

    /// A caller has asked for its end, and so knows that the next one is another.
    pub(super) fn end_as_asked(&mut self) {
        self.is_known = true;
        self.is_expendable = true;
    }

    /// Whether a caller may hold something for kept that is on its disk alone.
    pub(super) fn is_missed(&self) -> bool {
        !self.is_expendable
    }

    /// A caller has restored `dir`, and so knows what it holds. Says whether that
    /// is news.
    pub(super) fn note_restored_dir(&mut self, dir: &str) -> bool {
        let is_news = !self.knows(dir);
        if is_news {
            self.restored_dirs.retain(|known| !is_within(known, dir));
            self.restored_dirs.push(dir.to_owned());
        }
        is_news
    }

    /// A backup is to be restored to it. Says whether that is news.
    pub(super) fn note_restored(&mut self, id: &BackupId) -> bool {
        if self.restored.last() == Some(id) {
            return false;
        }
        self.restored.retain(|known| known != id);
        self.restored.push(id.clone());
        let surplus = self.restored.len().saturating_sub(MAX_RESTORED);
        self.restored.drain(..surplus);
        true
    }

    /// Whether a backup was to be restored to it.
    pub(super) fn has_restored(&self, id: &BackupId) -> bool {
        self.restored.contains(id)
    }

    /// Whether callers know what `dir` holds.
    pub(super) fn knows(&self, dir: &str) -> bool {
        self.is_known || self.restored_dirs.iter().any(|outer| is_within(dir, outer))
    }

    /// A caller has been told that it is another container.
    pub(super) fn tell(&mut self) {
        self.is_known = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(previous: &Generation) -> Generation {
        Generation::after(Some(previous), "token".into())
    }

    /// One that has been used.
    fn used(mut generation: Generation) -> Generation {
        assert!(generation.begin_use());
        assert!(!generation.begin_use());
        generation
    }

    #[test]
    fn a_container_that_has_replaced_another_is_unknown_until_somebody_is_told() {
        let first = used(Generation::after(None, "token".into()));
        assert!(first.knows("/workspace"), "it has replaced nothing");
        let mut second = used(after(&first));
        assert_eq!((first.number, second.number), (1, 2));
        assert!(!second.knows("/workspace"));
        let third = used(after(&second));
        assert!(!third.knows("/workspace"), "nobody has been told meanwhile");
        second.tell();
        assert!(second.knows("/workspace"));
        assert!(
            !after(&second).knows("/workspace"),
            "its own end is another"
        );
    }

    #[test]
    fn nothing_is_missed_of_a_container_that_was_stopped_or_never_used() {
        let mut first = used(Generation::after(None, "token".into()));
        first.end_as_asked();
        let second = after(&first);
        assert!(second.knows("/workspace"));
        assert!(!second.is_missed(), "it did not even start");
        assert!(after(&second).knows("/workspace"));
        let lost = used(second);
        assert!(lost.is_missed());
        let unused = after(&lost);
        assert!(!after(&unused).knows("/workspace"), "what was lost before");
    }

    #[test]
    fn the_latest_restored_backups_are_known() {
        let mut generation = Generation::after(None, "token".into());
        let id = |number: u16| {
            BackupId::from_random([number.to_be_bytes(); 8].concat().try_into().unwrap())
        };
        for number in 0..=1000 {
            assert!(generation.note_restored(&id(number)));
            assert!(!generation.note_restored(&id(number)));
        }
        assert!(!generation.has_restored(&id(0)) && generation.has_restored(&id(1)));
        assert!(generation.note_restored(&id(1)));
        assert_eq!(generation.restored.len(), 1000);
        assert!(!after(&generation).has_restored(&id(1)));
    }

    #[test]
    fn what_a_caller_has_restored_is_known() {
        let first = used(Generation::after(None, "token".into()));
        let mut second = used(after(&first));
        assert!(second.note_restored_dir("/workspace/a"));
        assert!(!second.note_restored_dir("/workspace/a/b"));
        assert!(second.knows("/workspace/a/b"));
        assert!(!second.knows("/workspace/ab") && !second.knows("/workspace"));
        assert!(second.note_restored_dir("/workspace"));
        assert_eq!(second.restored_dirs, ["/workspace"]);
        assert!(second.knows("/workspace/ab"));
    }
}
