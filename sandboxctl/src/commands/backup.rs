//! `backup` and `preview`.

use std::process::ExitCode;

use sandbox_shared::{
    BackupOptions, EntryCounts,
    report::{BackupPreview, CreatedBackup},
};

use super::{
    Context, Done,
    operation::{Followed, follow},
};
use crate::{
    api::Answer,
    failure::{INTERRUPTED, PARTIAL},
    output::{self, bytes, counted, printable},
};

/// Backs a directory up.
pub(super) async fn create(context: &Context, options: &BackupOptions) -> Done {
    let Followed {
        answer,
        interrupted,
    } = follow::<CreatedBackup>(context, &["backups"], options).await?;
    context.say(&answer, describe)?;
    if interrupted {
        eprintln!("interrupted too late: the backup exists");
        return Ok(INTERRUPTED.into());
    }
    Ok(exit_code(&answer.value.counts))
}

/// Tells what a backup would hold.
pub(super) async fn preview(context: &Context, options: &BackupOptions) -> Done {
    let answer: Answer<BackupPreview> = context.api.post(&["preview"], options).await?;
    context.say(&answer, |preview| {
        let mut text = String::new();
        for path in &preview.included.first {
            text += &format!("+ {}\n", printable(path));
        }
        for entry in &preview.excluded.first {
            text += &format!("- {} ({})\n", printable(&entry.path), entry.rule.as_str());
        }
        let shown = preview.included.first.len() + preview.excluded.first.len();
        let hidden = preview.included.count + preview.excluded.count - shown as u64;
        if hidden > 0 {
            text += &format!("… and {} more\n", hidden);
        }
        text + &summary(&preview.counts) + "\n" + &preview.report.describe(output::printable)
    })?;
    Ok(exit_code(&answer.value.counts))
}

fn exit_code(counts: &EntryCounts) -> ExitCode {
    match counts.unreadable {
        0 => ExitCode::SUCCESS,
        _ => PARTIAL.into(),
    }
}

fn describe(created: &CreatedBackup) -> String {
    format!(
        "backup {} of {}\n{}, stored as {}\n{}",
        created.backup.id,
        printable(&created.backup.dir),
        summary(&created.counts),
        bytes(created.size_bytes),
        created.report.describe(output::printable)
    )
}

fn summary(counts: &EntryCounts) -> String {
    let mut parts = vec![
        counted(counts.files, "file", "files"),
        counted(counts.directories, "directory", "directories"),
    ];
    for (count, one, more) in [
        (counts.symlinks, "symbolic link", "symbolic links"),
        (counts.special, "special file", "special files"),
    ] {
        if count > 0 {
            parts.push(counted(count, one, more));
        }
    }
    parts.push(bytes(counts.bytes));
    if counts.excluded > 0 {
        parts.push(format!("{} left out by rules", counts.excluded));
    }
    parts.join(", ")
}
