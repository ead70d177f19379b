//! A network that can fail: connections go through it until it is cut.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// A running relay. It stops when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relays connections to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let cut = Arc::new(Notify::new());
        let relay = cut.clone();
        Self {
            port: listener.local_addr().unwrap().port(),
            cut,
            task: tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(connect(near, port, relay.clone()));
                }
            }),
        }
    }

    /// Where to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection. New ones are relayed.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn connect(mut near: TcpStream, port: u16, cut: Arc<Notify>) {
    let cut = cut.notified();
    let relayed = async {
        let mut far = TcpStream::connect(("127.0.0.1", port)).await?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        // Whoever hung up knows why.
        _ = relayed => {}
        () = cut => {}
    }
}
