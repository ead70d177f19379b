//! The way to a container's agent, and when nobody has gone it for too long.
//!
//! The platform ends a container when its Durable Object has been inactive for
//! the time that the object has asked for. This host sees an object's calls to
//! itself and its requests to the agent; while one of those is under way, the
//! object is active.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, sync::watch, time::Instant};

/// What an object does with its container.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<watch::Sender<Seen>>);

#[derive(Debug)]
struct Seen {
    requests: usize,
    last: Instant,
    timeout: Duration,
}

/// A request under way.
struct UnderWay(Activity);

impl Activity {
    /// Active just now, and inactive after `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self(Arc::new(watch::Sender::new(Seen {
            requests: 0,
            last: Instant::now(),
            timeout,
        })))
    }

    /// The object has called.
    pub(super) fn note(&self) {
        self.0.send_modify(|seen| seen.last = Instant::now());
    }

    /// From now on it is inactive only after `timeout`.
    pub(super) fn set_timeout(&self, timeout: Duration) {
        self.0.send_modify(|seen| {
            seen.last = Instant::now();
            seen.timeout = timeout;
        });
    }

    fn begin(&self) -> UnderWay {
        self.0.send_modify(|seen| seen.requests += 1);
        UnderWay(self.clone())
    }

    /// Returns when the object has been inactive for too long.
    pub(super) async fn ended(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let until = {
                let seen = changes.borrow_and_update();
                (seen.requests == 0).then(|| seen.last.checked_add(seen.timeout))
            };
            let over = async {
                match until.flatten() {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // Ends with us.
                _ = changes.changed() => {}
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|seen| {
            seen.requests -= 1;
            seen.last = Instant::now();
        });
    }
}

/// Hands requests on to an agent.
#[derive(Debug)]
pub(super) struct Front {
    listener: TcpListener,
    agent: SocketAddr,
    activity: Activity,
}

impl Front {
    /// On a free loopback port, for the agent that listens on `agent`.
    pub(super) async fn new(agent: SocketAddr, activity: Activity) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port")?;
        Ok(Self {
            listener,
            agent,
            activity,
        })
    }

    pub(super) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Does so until it is dropped.
    pub(super) async fn serve(self) {
        // A connection for each request: when its caller hangs up, so do we.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build_http();
        let state = Arc::new((client, self.agent, self.activity));
        let router = Router::new().fallback(forward).with_state(state);
        if let Err(error) = axum::serve(self.listener, router).await {
            eprintln!("container host: {error}");
        }
    }
}

type Target = Arc<(Client<HttpConnector, Body>, SocketAddr, Activity)>;

async fn forward(State(target): State<Target>, mut request: Request) -> Response {
    let (client, agent, activity) = &*target;
    let under_way = activity.begin();
    let path = request.uri().path_and_query().map(PathAndQuery::as_str);
    match format!("http://{agent}{}", path.unwrap_or("/")).parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
    match client.request(request).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let chunks = Body::new(body).into_data_stream().map(move |chunk| {
                let _ = &under_way;
                chunk
            });
            Response::from_parts(parts, Body::from_stream(chunks))
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn inactivity_counts_from_the_last_call_or_the_end_of_the_last_request() {
        let activity = Activity::new(2 * SECOND);
        let ends_within = |duration| timeout(duration, activity.ended());
        assert!(ends_within(SECOND).await.is_err());
        activity.note();
        assert!(ends_within(SECOND).await.is_err());
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert!(ends_within(100 * SECOND).await.is_err());
        drop(second);
        assert!(ends_within(SECOND).await.is_err());
        assert!(ends_within(2 * SECOND).await.is_ok());
        activity.set_timeout(10 * SECOND);
        assert!(ends_within(9 * SECOND).await.is_err());
        assert!(ends_within(2 * SECOND).await.is_ok());
    }
}
