//! Following an operation instead of waiting for it.

use std::{pin::pin, rc::Rc};

use futures_util::{
    Stream,
    future::{Either, select},
    stream,
};
use sandbox_shared::{ErrorCode, Result, SandboxError, progress::OperationEvent};
use tokio::sync::oneshot;
use wasm_bindgen_futures::spawn_local;

use super::Service;
use crate::operation::cancellation::Cancellation;

impl Service {
    /// Runs `operation` and says how far it is; the last event is its result or its
    /// error. It is cancelled when the events are dropped.
    pub fn follow<T: 'static>(
        self: Rc<Self>,
        operation: impl AsyncFnOnce(Rc<Self>, Cancellation) -> Result<T> + 'static,
    ) -> impl Stream<Item = Result<OperationEvent<T>>> {
        let cancellation = Cancellation::default();
        let (sender, receiver) = oneshot::channel();
        // On its own, so that it can clean up after the reader has gone.
        spawn_local({
            let (service, cancellation) = (self.clone(), cancellation.clone());
            async move {
                let _ = sender.send(operation(service, cancellation).await);
            }
        });
        let guard = CancelOnDrop(cancellation);
        stream::unfold(Some((receiver, guard)), move |running| {
            let service = self.clone();
            async move {
                let (receiver, guard) = running?;
                let next = {
                    let progress = pin!(service.operations.progress().of(&guard.0));
                    match select(receiver, progress).await {
                        Either::Left((outcome, _)) => Err(outcome),
                        Either::Right((operation, receiver)) => Ok((operation, receiver)),
                    }
                };
                Some(match next {
                    Ok((operation, receiver)) => {
                        let operation = Box::new(operation);
                        let event = OperationEvent::Progress { operation };
                        (Ok(event), Some((receiver, guard)))
                    }
                    Err(outcome) => {
                        let lost = |_| {
                            SandboxError::new(ErrorCode::InternalError, "the operation was lost")
                        };
                        let outcome = outcome.map_err(lost).flatten();
                        (
                            outcome.map(|result| OperationEvent::Result { result }),
                            None,
                        )
                    }
                })
            }
        })
    }
}

/// Cancels an operation that nobody waits for any more.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}
