//! `unmountBackup`: take a restored directory away.

use sandbox_shared::{
    ErrorCode, Result,
    protocol::{UnmountBackup, UnmountResult},
};

use super::{Context, auto_restore};

/// Takes a restored directory away, which is not put back any more either.
pub async fn unmount(context: &Context<'_>, request: UnmountBackup) -> Result<UnmountResult> {
    let dir = request.dir.clone();
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
