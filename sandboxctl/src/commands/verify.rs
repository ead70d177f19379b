//! `verify`

use std::process::ExitCode;

use sandbox_shared::verification::{ChecksumVerdict, VerifyBackupResult};

use super::{
    Context, Done,
    operation::{Followed, follow},
};
use crate::{
    failure::FAILED,
    interrupt,
    output::{bytes, counted, printable},
    selector,
};

/// Reads all of a backup. One that is damaged is a failure.
pub(super) async fn verify(context: &Context, backup: &str) -> Done {
    let id = interrupt::unless(selector::id(&context.api, backup)).await?;
    let route = ["backups", id.as_str(), "verify"];
    let Followed { answer, .. } = follow::<VerifyBackupResult>(context, &route, &()).await?;
    context.say(&answer, describe)?;
    Ok(if answer.value.valid {
        ExitCode::SUCCESS
    } else {
        FAILED.into()
    })
}

fn describe(result: &VerifyBackupResult) -> String {
    let archive = &result.archive;
    let checksum = match archive.checksum {
        ChecksumVerdict::Matches => "the checksum matches",
        ChecksumVerdict::Differs => "the checksum DIFFERS",
        ChecksumVerdict::NotRecorded => "no checksum was recorded",
    };
    let mut text = format!(
        "backup {} is {}: {} of {} read, {checksum}\n",
        result.id,
        if result.valid { "whole" } else { "DAMAGED" },
        counted(archive.files, "file", "files"),
        bytes(archive.bytes),
    );
    for problem in &archive.problems {
        text += &format!("  {}\n", printable(problem));
    }
    text
}
