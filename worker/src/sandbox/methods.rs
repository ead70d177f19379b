//! What each method of [`sandbox_shared::methods`] does. Both adapters, HTTP and
//! RPC, call it from here.

use std::rc::Rc;

use futures_util::{FutureExt, Stream, StreamExt, future::LocalBoxFuture};
use sandbox_shared::{
    ErrorCode, Result, SandboxError,
    methods::{self, Method, Row},
    progress::OperationEvent,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    call::{Call, Reply},
    content,
};
use crate::{operation::cancellation::Cancellation, service::Service, sse};

/// A method and what it does.
struct Handler {
    method: &'static Row,
    run: Box<Run>,
}

type Run = dyn Fn(Rc<Service>, Call) -> LocalBoxFuture<'static, Result<Reply>>;

thread_local! {
    static HANDLERS: Vec<Handler> = handlers();
}

/// Calls a method.
pub(super) async fn call(service: Rc<Service>, method: &Row, call: Call) -> Result<Reply> {
    let running = HANDLERS.with(|handlers| {
        let handler = handlers
            .iter()
            .find(|handler| std::ptr::eq(handler.method, method));
        handler.map(|handler| (handler.run)(service, call))
    });
    match running {
        Some(running) => running.await,
        None => Err(SandboxError::new(
            ErrorCode::InternalError,
            format!("nothing is done by {}", method.name),
        )),
    }
}

/// A method whose result is a value.
fn on<T, R>(
    method: &'static Method<T, R>,
    run: impl AsyncFn(&Service, T) -> Result<R> + 'static,
) -> Handler
where
    T: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    on_call(method, async move |service, request, _call| {
        Reply::of(&run(&service, request).await?)
    })
}

/// A method that wants to know more of how it is called.
fn on_call<T, R, O>(
    method: &'static Method<T, R, O>,
    run: impl AsyncFn(Rc<Service>, T, Call) -> Result<Reply> + 'static,
) -> Handler
where
    T: DeserializeOwned + 'static,
    R: 'static,
    O: DeserializeOwned + 'static,
{
    let run = Rc::new(run);
    Handler {
        method,
        run: Box::new(move |service, mut call| {
            let run = run.clone();
            async move {
                let request = method.read(std::mem::take(&mut call.fields))?;
                run(service, request, call).await
            }
            .boxed_local()
        }),
    }
}

/// Runs an operation for a caller who follows it, or for one who waits for it.
async fn operate<T, R: Serialize + 'static, O>(
    method: &Method<T, R, O>,
    service: Rc<Service>,
    follows: bool,
    operation: impl AsyncFnOnce(&Service, Cancellation) -> Result<R> + 'static,
) -> Result<Reply> {
    if !follows {
        return reply(method, &operation(&service, Cancellation::default()).await?);
    }
    let events =
        service.follow(async |service, cancellation| operation(&service, cancellation).await);
    events_reply::<OperationEvent<R>>(events)
}

/// The result of a method.
fn reply<T, R: Serialize, O>(_method: &Method<T, R, O>, result: &R) -> Result<Reply> {
    Reply::of(result)
}

fn events_reply<T: Serialize>(events: impl Stream<Item = Result<T>> + 'static) -> Result<Reply> {
    sse::response(events.map(|event| sse::event(&event))).map(Reply::Stream)
}

fn handlers() -> Vec<Handler> {
    vec![
        on_call(&methods::CREATE_BACKUP, async |service, options, call| {
            let backup = options.check(&service.allowed_roots()?)?;
            let named = methods::CREATE_BACKUP.read_options(call.options)?;
            let id = call.operation.or(named.operation_id);
            operate(
                &methods::CREATE_BACKUP,
                service,
                call.follows,
                async move |service, cancellation| {
                    service.create_backup(backup, id, cancellation).await
                },
            )
            .await
        }),
        on(&methods::PREVIEW_BACKUP, async |service, options| {
            let backup = options.check(&service.allowed_roots()?)?;
            service.preview_backup(backup).await
        }),
        on_call(&methods::RESTORE_BACKUP, async |service, request, call| {
            let options = methods::RESTORE_BACKUP.read_options(call.options)?;
            let restore = request.with(&options).check(&service.allowed_roots()?)?;
            let id = call.operation.or(options.operation_id);
            operate(
                &methods::RESTORE_BACKUP,
                service,
                call.follows,
                async move |service, cancellation| {
                    service.restore_backup(restore, id, cancellation).await
                },
            )
            .await
        }),
        on(&methods::UNMOUNT_BACKUP, async |service, request| {
            let dir = service.allowed_roots()?.check(&request.dir)?;
            service.unmount_backup(dir, request.force).await
        }),
        on(&methods::LIST_BACKUPS, async |service, query| {
            service.list_backups(&query)
        }),
        on(&methods::GET_BACKUP, async |service, backup| {
            service.get_backup(&backup.id).await
        }),
        on_call(&methods::VERIFY_BACKUP, async |service, backup, call| {
            operate(
                &methods::VERIFY_BACKUP,
                service,
                call.follows,
                async move |service, cancellation| {
                    service.verify_backup(backup.id, cancellation).await
                },
            )
            .await
        }),
        on(&methods::DELETE_BACKUP, async |service, backup| {
            service.delete_backup(backup.id).await
        }),
        on(&methods::PRUNE_BACKUPS, async |service, rules| {
            service.prune_backups(rules).await
        }),
        on(&methods::REINDEX_BACKUPS, async |service, _| {
            service.reindex_backups().await
        }),
        on(&methods::CANCEL_OPERATION, async |service, _| {
            Ok(service.cancel_operation().await)
        }),
        on(&methods::OPERATION_OUTCOME, async |service, asked| {
            service.operation_outcome(asked.operation_id).await
        }),
        on(&methods::OPERATION_LOG, async |service, query| {
            service.operation_log(&query)
        }),
        on_call(&methods::EXEC, async |service, request, call| {
            if call.follows {
                return events_reply(service.exec_events(&request).await?);
            }
            reply(&methods::EXEC, &service.exec(&request).await?)
        }),
        on_call(&methods::EXEC_STREAM, async |service, request, _| {
            events_reply(service.exec_events(&request).await?)
        }),
        on_call(&methods::WRITE_FILE, async |service, file, call| {
            let body = content::to_write(call.content, file.encoding.unwrap_or_default())?;
            reply(
                &methods::WRITE_FILE,
                &service.write_file(file.path, body).await?,
            )
        }),
        on(&methods::READ_FILE, async |service, file| {
            let bytes = service.read_file(file.path.clone()).await?.bytes().await?;
            Ok(content::as_read(file, bytes))
        }),
        on_call(&methods::WRITE_RAW_FILE, async |service, file, call| {
            let body = call.content.into();
            reply(
                &methods::WRITE_RAW_FILE,
                &service.write_file(file.path, body).await?,
            )
        }),
        on_call(&methods::READ_RAW_FILE, async |service, file, _| {
            let content = service.read_file(file.path).await?;
            Ok(Reply::Stream(content.into_response()))
        }),
        on(&methods::LIST_FILES, async |service, request| {
            service.list_files(request).await
        }),
        on(&methods::DELETE_FILE, async |service, file| {
            service.delete_file(file.path).await
        }),
        on(&methods::MKDIR, async |service, request| {
            service.mkdir(request).await
        }),
        on(&methods::EXISTS, async |service, file| {
            service.exists(file.path).await
        }),
        on(&methods::STATUS, async |service, _| service.status().await),
        on_call(&methods::STOP, async |service, _, _| {
            service.stop().await.map(|()| Reply::Done)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_does_something() {
        let handlers = handlers();
        let done: Vec<_> = handlers.iter().map(|handler| handler.method.name).collect();
        let all: Vec<_> = methods::of_a_sandbox().map(|method| method.name).collect();
        assert_eq!(done, all);
    }
}
