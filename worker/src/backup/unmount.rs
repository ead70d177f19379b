//! `unmountBackup`: take a restored directory away.

use sandbox_shared::{
    AllowedDir, ErrorCode, Result,
    protocol::{UnmountBackup, UnmountResult},
};

use super::{Context, auto_restore};

/// Takes a restored directory away, which is not put back any more either.
pub async fn unmount(context: &Context<'_>, dir: AllowedDir, force: bool) -> Result<UnmountResult> {
    let dir = String::from(dir);
    let request = UnmountBackup {
        dir: dir.clone(),
        force,
    };
    let agent = context.lifecycle.agent().await?;
    let unmounted = agent.unmount(&request).await;
    // What has not been put back can be forgotten nevertheless.
    let was_missing = match &unmounted {
        Err(error) if error.code == ErrorCode::InvalidBackupConfig => {
            auto_restore::remembers(context, &dir).await?
        }
        _ => false,
    };
    if unmounted.is_ok() || was_missing {
        auto_restore::forget(context, &dir).await?;
    }
    match unmounted {
        Err(_) if was_missing => Ok(UnmountResult { success: true, dir }),
        unmounted => unmounted,
    }
}
