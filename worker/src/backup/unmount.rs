//! `unmountBackup`: take a restored directory away.

use sandbox_shared::{
    Result,
    protocol::{UnmountBackup, UnmountResult},
};

use super::{Context, auto_restore};

/// Takes a restored directory away, which is not put back any more either.
pub async fn unmount(context: &Context<'_>, request: UnmountBackup) -> Result<UnmountResult> {
    // What could not be put back can be forgotten nevertheless.
    let put_back = auto_restore::put_back(context).await;
    let dir = request.dir.clone();
    let agent = context.lifecycle.agent().await?;
    let unmounted = agent.unmount(&request).await;
    let was_missing = put_back.is_err_and(|error| auto_restore::is_about(&error, &dir));
    if unmounted.is_ok() || was_missing {
        auto_restore::forget(context, &dir).await?;
    }
    match unmounted {
        Err(_) if was_missing => Ok(UnmountResult { success: true, dir }),
        unmounted => unmounted,
    }
}
