//! Following an operation, and ending it when the user wants to.

use std::pin::pin;

use sandbox_shared::{
    BackupId,
    operation::{OperationId, OperationOutcome},
    progress::{CancelResult, Operation, OperationEvent},
    status::SandboxStatus,
};
use serde::{Serialize, de::DeserializeOwned};

use super::Context;
use crate::{
    api::{Answer, Events},
    failure::Failure,
    interrupt,
    progress::Bar,
};

/// What became of it.
pub(super) struct Followed<T> {
    pub(super) answer: Answer<T>,
    /// Whether the user wanted it to end, too late.
    pub(super) interrupted: bool,
}

/// Runs the operation of `route` and shows how far it is. When its answer is
/// lost, the Worker is asked what became of it.
pub(super) async fn follow<T: DeserializeOwned>(
    context: &Context,
    route: &[&str],
    request: &impl Serialize,
) -> Result<Followed<T>, Failure> {
    let operation = OperationId::random();
    let followed = context.api.follow_as(&operation, route, request);
    match follow_to_the_end(context, followed).await {
        Err(Failure::Broken(reason)) => {
            Err(interrupt::unless(lost(context, &operation, reason)).await?)
        }
        ended => ended,
    }
}

/// What to say of an operation whose connection broke.
async fn lost(
    context: &Context,
    operation: &OperationId,
    reason: String,
) -> Result<Failure, Failure> {
    let route = ["operations", operation.as_str()];
    let outcome: Result<Answer<OperationOutcome>, _> = context.api.get(&route, &()).await;
    Ok(match outcome {
        Ok(outcome) => Failure::Api(outcome.value.interrupted(&reason).into()),
        // Then it is the connection that is worth telling of.
        Err(_) => Failure::Broken(reason),
    })
}

async fn follow_to_the_end<T: DeserializeOwned>(
    context: &Context,
    followed: impl Future<Output = Result<Events, Failure>>,
) -> Result<Followed<T>, Failure> {
    let bar = Bar::show(context.quiet, "waiting for its turn");
    let mut events = interrupt::unless(followed).await?;
    let mut running = None;
    {
        let mut interrupt = pin!(interrupt::requested());
        loop {
            let event = tokio::select! {
                event = next(&mut events) => event?,
                () = &mut interrupt => break,
            };
            match event {
                Next::Further(operation) => {
                    bar.update(&operation);
                    running = Some(operation.id);
                }
                Next::Done(answer) => {
                    return Ok(Followed {
                        answer,
                        interrupted: false,
                    });
                }
            }
        }
    }
    bar.ending();
    // Before its turn it has nothing that could be left, and hanging up ends it.
    let Some(id) = running else {
        return Err(Failure::Interrupted);
    };
    interrupt::unless(end(context, &id, &mut events)).await
}

/// Ends an operation and waits until nothing of it is left, or until it is
/// done because it could not be stopped any more.
async fn end<T: DeserializeOwned>(
    context: &Context,
    id: &BackupId,
    events: &mut Events,
) -> Result<Followed<T>, Failure> {
    let is_ours = |operation: &Operation| operation.id == *id;
    let status: Answer<SandboxStatus> = context.api.get(&["status"], &()).await?;
    // Another's operation is none of our business.
    if status.value.operation.as_ref().is_some_and(is_ours) {
        let _: Answer<CancelResult> = context.api.delete(&["operation"]).await?;
    }
    loop {
        match next(events).await {
            Ok(Next::Further(_)) => {}
            Ok(Next::Done(answer)) => {
                return Ok(Followed {
                    answer,
                    interrupted: true,
                });
            }
            Err(Failure::Api(error)) if error.context.get("cancelled") == Some(&true.into()) => {
                return Err(Failure::Cancelled("nothing of it is left"));
            }
            Err(failure) => return Err(failure),
        }
    }
}

enum Next<T> {
    Further(Box<Operation>),
    Done(Answer<T>),
}

async fn next<T: DeserializeOwned>(events: &mut Events) -> Result<Next<T>, Failure> {
    let mut event: Answer<OperationEvent<T>> = events.next().await?;
    Ok(match event.value {
        OperationEvent::Progress { operation } => Next::Further(operation),
        OperationEvent::Result { result } => Next::Done(Answer {
            json: event.json["result"].take(),
            value: result,
        }),
    })
}
