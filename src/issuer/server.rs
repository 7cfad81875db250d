//! The issuer's server. Its port can be closed and opened again with the same number.
//!
//! The server uses no timer: under tokio's paused clock, nothing here advances the time.

use std::{convert::Infallible, io, net::SocketAddr};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, oneshot},
    task::{JoinHandle, JoinSet},
};
use warp::{Filter, reply::Response};

/// The maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that stays reserved even while the server does not listen on it.
pub(super) struct Server {
    addr: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// Bound, but never listening. While the server is closed, connections are refused, and the
    /// system does not assign the port to a socket that asks for any free one.
    placeholder: Option<TcpSocket>,
    running: Option<Running>,
}

struct Running {
    /// Dropping it ends the task, which closes the listener and every connection.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Reserves `addr`, whose port may be 0 for any free one. Does not listen yet.
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let placeholder = bind(addr)?;
        Ok(Self {
            addr: placeholder.local_addr()?,
            state: Mutex::new(State {
                placeholder: Some(placeholder),
                running: None,
            }),
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves `routes`. Does nothing if the server is open.
    pub(super) async fn open<F>(&self, routes: F) -> io::Result<()>
    where
        F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    {
        let mut state = self.state.lock().await;
        if state.running.is_none() {
            // If the system does not let two sockets share a port, listens on the placeholder
            // itself.
            let socket = bind(self.addr).or_else(|fault| state.placeholder.take().ok_or(fault))?;
            let listener = socket.listen(BACKLOG)?;
            let (stop, stopped) = oneshot::channel();
            let task = tokio::spawn(accept(listener, routes, stopped));
            state.running = Some(Running { stop, task });
        }
        Ok(())
    }

    /// Closes the listener and every connection. Returns when they are closed.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some(Running { stop, task }) = state.running.take() {
            drop(stop);
            // The task can fail only by a panic, which also closes everything.
            let _ = task.await;
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Windows, this option would let another process use the port.
    socket.set_reuseaddr(cfg!(not(windows)))?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn accept<F>(listener: TcpListener, routes: F, mut stopped: oneshot::Receiver<()>)
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, routes.clone()));
                }
                // Either no descriptors are free, or the client is gone. Lets other tasks run
                // before the next attempt.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection<F>(socket: TcpStream, routes: F)
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    let service = TowerToHyperService::new(warp::service(routes));
    // Many tests break connections on purpose, so errors are expected and ignored.
    let _ = Builder::new(TokioExecutor::new())
        .http1_only()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}
