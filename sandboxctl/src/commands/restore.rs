//! `restore`

use std::process::ExitCode;

use sandbox_shared::{BackupId, DirectoryBackup, RestoreBackupResult, RestoreRequest};

use super::{
    Context, Done,
    operation::{Followed, follow},
};
use crate::{
    arguments::Restore,
    failure::{Failure, INTERRUPTED},
    interrupt,
    output::printable,
    selector,
};

/// Puts a backup in place of a directory.
pub(super) async fn restore(context: &Context, arguments: Restore) -> Done {
    let handle = interrupt::unless(handle(context, &arguments)).await?;
    let request = RestoreRequest::from(handle).with(&arguments.options);
    let Followed {
        answer,
        interrupted,
    } = follow::<RestoreBackupResult>(context, &["restore"], &request).await?;
    context.say(&answer, |restored| {
        let left_out = restored
            .left_out
            .describe("could not be unpacked", |entry| {
                printable(&format!("{}: {}", entry.path, entry.what))
            });
        format!(
            "restored {} to {} ({})\n{left_out}",
            restored.id,
            printable(&restored.dir),
            restored.strategy
        )
    })?;
    if interrupted {
        eprintln!("interrupted too late: the directory is restored");
        return Ok(INTERRUPTED.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Which backup, and where to.
async fn handle(context: &Context, arguments: &Restore) -> Result<DirectoryBackup, Failure> {
    let (backup, dir) = (&arguments.backup, arguments.dir.clone());
    let (id, dir): (BackupId, String) = match dir {
        Some(dir) => (selector::id(&context.api, backup).await?, dir),
        None => {
            let record = selector::record(&context.api, backup).await?.value;
            (record.id, record.dir)
        }
    };
    Ok(DirectoryBackup { id, dir })
}
