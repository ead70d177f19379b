//! Backups as people name them: an id, the beginning of one, or `latest`.

use sandbox_shared::{
    BackupId, ErrorCode,
    catalogue::{BackupPage, BackupRecord, ListBackups, MAX_PAGE},
};

use crate::{
    api::{Answer, SandboxApi},
    failure::{ApiError, Failure},
};

/// The newest backup of the sandbox.
const LATEST: &str = "latest";
/// Records of a page when the newest is looked for: it is nearly always the first.
const LOOKED_UP: u32 = 10;
/// A shorter beginning is more likely a slip than a choice.
const MIN_PREFIX: usize = 4;

/// The id of the backup that is meant. Full ids are not looked up.
pub(crate) async fn id(api: &SandboxApi, text: &str) -> Result<BackupId, Failure> {
    if let Ok(id) = BackupId::parse(text) {
        return Ok(id);
    }
    if text == LATEST {
        return Ok(newest(api).await?.value.id);
    }
    let is_beginning = text.len() >= MIN_PREFIX
        && text
            .bytes()
            .all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_beginning {
        return Err(Failure::Usage(format!(
            "{text} is neither an id nor {MIN_PREFIX} or more characters that begin one, nor {LATEST}"
        )));
    }
    let mut found: Option<BackupId> = None;
    let mut pages = Pages::new(ListBackups::default());
    while let Some(page) = pages.next(api).await? {
        for record in page.value.backups {
            if record.id.as_str().starts_with(text)
                && let Some(other) = found.replace(record.id)
            {
                return Err(Failure::Usage(format!(
                    "more than one id begins with {text}, such as {other}"
                )));
            }
        }
    }
    found.ok_or_else(|| {
        no_such(format!(
            "no backup of sandbox {} has an id that begins with {text}",
            api.name()
        ))
    })
}

/// What is known of a backup.
pub(crate) async fn record(api: &SandboxApi, text: &str) -> Result<Answer<BackupRecord>, Failure> {
    if text == LATEST {
        return newest(api).await;
    }
    look_up(api, &id(api, text).await?).await
}

async fn look_up(api: &SandboxApi, id: &BackupId) -> Result<Answer<BackupRecord>, Failure> {
    api.get(&["backups", id.as_str()], &()).await
}

/// The newest backup of the sandbox that is there: the list may have some that
/// something else has deleted.
async fn newest(api: &SandboxApi) -> Result<Answer<BackupRecord>, Failure> {
    let mut pages = Pages::new(ListBackups {
        limit: Some(LOOKED_UP),
        ..ListBackups::default()
    });
    while let Some(page) = pages.next(api).await? {
        for listed in page.value.backups {
            match look_up(api, &listed.id).await {
                Err(Failure::Api(error)) if error.is(ErrorCode::BackupNotFound) => {}
                found => return found,
            }
        }
    }
    Err(no_such(format!("sandbox {} has no backup", api.name())))
}

fn no_such(message: String) -> Failure {
    Failure::Api(ApiError::new(ErrorCode::BackupNotFound, message))
}

/// The pages of a list.
#[derive(Debug)]
pub(crate) struct Pages {
    query: ListBackups,
    more: bool,
}

impl Pages {
    /// All pages of what is asked for.
    pub(crate) fn new(query: ListBackups) -> Self {
        Self { query, more: true }
    }

    /// The next one.
    pub(crate) async fn next(
        &mut self,
        api: &SandboxApi,
    ) -> Result<Option<Answer<BackupPage>>, Failure> {
        if !self.more {
            return Ok(None);
        }
        let limit = self.query.limit.get_or_insert(MAX_PAGE);
        *limit = MAX_PAGE.min(*limit);
        let page: Answer<BackupPage> = api.get(&["backups"], &self.query).await?;
        self.query.cursor.clone_from(&page.value.cursor);
        self.more = self.query.cursor.is_some();
        Ok(Some(page))
    }
}
