//! An S3 server on loopback that verifies signatures, made of the crate `s3s`,
//! which shares no code with ours.

use std::io;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    S3,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// The access key id that the server knows.
pub const ACCESS_KEY_ID: &str = "test-key-id";
/// The secret that belongs to [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "test/secret+access=key";

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    origin: String,
    task: JoinHandle<()>,
}

impl S3Server {
    /// Serves `store` on a free port.
    pub async fn start(store: impl S3) -> io::Result<Self> {
        let mut builder = S3ServiceBuilder::new(store);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(serve(listener, builder.build()));
        Ok(Self { origin, task })
    }

    /// `http://127.0.0.1:port`
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    while let Ok((socket, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            // A client that goes away is no concern of the server.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
