//! An echo server on Tokio's current_thread runtime, a task a client: echo PORT.

use std::{env, io, net::Ipv4Addr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const BUFFER_BYTES: usize = 64 * 1024;
const BACKLOG: u32 = 4096;

fn allow_all_descriptors() {
    // SAFETY: both calls see a limit that lives through them.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

async fn echo(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES); // not zeroed: idle, it takes no memory
    while client.read_buf(&mut buffer).await? > 0 {
        client.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    allow_all_descriptors();
    let port = env::args().nth(1).and_then(|text| text.parse().ok());
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port.expect("usage: echo PORT")).into())?;
    let listener = socket.listen(BACKLOG)?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(echo(client));
    }
}
