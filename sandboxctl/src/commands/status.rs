//! `status`

use sandbox_shared::status::{AutoRestoreStatus, SandboxStatus};

use super::{Context, Done};
use crate::{
    api::Answer,
    output::{age_of, bytes, printable},
};

/// Shows how the sandbox is.
pub(super) async fn status(context: &Context) -> Done {
    let answer: Answer<SandboxStatus> = context.api.get(&["status"], &()).await?;
    context.say(&answer, describe)
}

fn describe(status: &SandboxStatus) -> String {
    let mut text = format!("container  {}", status.container.state.as_str());
    let strategies: Vec<_> = status
        .container
        .strategies
        .iter()
        .map(|strategy| strategy.as_str())
        .collect();
    if !strategies.is_empty() {
        text += &format!(", restores by {}", strategies.join(", "));
    }
    text.push('\n');
    match &status.operation {
        Some(operation) => {
            text += &format!(
                "operation  {} {} of {}: {}, {}",
                operation.kind.as_str(),
                operation.id,
                printable(&operation.dir),
                operation.phase.as_str(),
                bytes(operation.bytes_done),
            );
            if let Some(total) = operation.bytes_total {
                text += &format!(" of {}", bytes(total));
            }
            text += &format!(", begun {}\n", age_of(&operation.started_at));
        }
        None => text += "operation  none\n",
    }
    for mount in &status.mounts {
        let state = format!("{:?}", mount.state).to_lowercase();
        text += &format!(
            "restored   {} from {} ({}, {state}, {} of {} here",
            printable(&mount.dir),
            mount.id,
            mount.strategy,
            bytes(mount.cached_bytes),
            bytes(mount.size_bytes),
        );
        if !mount.left_out.is_empty() {
            text += &format!(", {} could not be unpacked", mount.left_out.count);
        }
        text += ")\n";
    }
    for AutoRestoreStatus { entry, error } in &status.auto_restore {
        let dir = printable(&entry.backup.dir);
        text += &format!("put back   {dir} from {}", entry.backup.id);
        if let Some(error) = error {
            text += &format!(": failed [{}]: {}", error.code, printable(&error.message));
        }
        text.push('\n');
    }
    text
}
