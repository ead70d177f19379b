//! Ctrl-C, and the request to end that service managers send.

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Returns when the user wants an end.
pub(crate) async fn requested() {
    let handlers = signal(SignalKind::interrupt()).and_then(|interrupted| {
        signal(SignalKind::terminate()).map(|terminated| (interrupted, terminated))
    });
    match handlers {
        Ok((mut interrupted, mut terminated)) => tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        },
        // Where no handler can be installed, the signal ends the process.
        Err(_) => std::future::pending().await,
    }
}

/// What `work` gives, unless the user wants an end before.
pub(crate) async fn unless<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        () = requested() => Err(Failure::Interrupted),
    }
}
