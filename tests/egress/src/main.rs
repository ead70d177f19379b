//! Stands in for the sidecar that `wrangler dev` puts beside every container.
//!
//! The real one (`cloudflare/proxy-everything`) comes from a registry. What the
//! runtime asks of it is small when no traffic of the container is intercepted
//! (workerd, `container-client.c++`): in the network namespace that it shares
//! with the container, on port 39001,
//!
//! | request | answer |
//! |---|---|
//! | `CONNECT 127.0.0.1:PORT` | 200 and a tunnel, or 400 where nothing listens |
//! | `PUT /egress`, `GET /ca` | 200 |
//!
//! The container's own traffic goes out by the bridge, as Docker sets it up.
#![forbid(unsafe_code)]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread,
};

const PORT: u16 = 39001;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const TUNNEL: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const REFUSED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    for connection in listener.incoming() {
        let Ok(connection) = connection else { continue };
        thread::spawn(move || serve(connection));
    }
    Ok(())
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut body = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let Some(target) = request.strip_prefix("CONNECT ") else {
        io::copy(&mut reader.take(body), &mut io::sink())?;
        return client.write_all(OK);
    };
    let address = target.split(' ').next().unwrap_or_default();
    let Ok(server) = TcpStream::connect(address) else {
        return client.write_all(REFUSED);
    };
    server.set_nodelay(true)?;
    client.write_all(TUNNEL)?;
    let up = (reader, server.try_clone()?);
    let upwards = thread::spawn(move || pump(up.0, up.1));
    pump(server, client)?;
    upwards.join().ok();
    Ok(())
}

/// Copies until the end, and passes that end on.
fn pump(mut from: impl Read, mut to: TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    // The other side may be gone already.
    to.shutdown(Shutdown::Write).ok();
    copied.map(drop)
}
