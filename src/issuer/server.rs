//! The issuer's port: open, closed, and open again under the same number.
//!
//! It serves whatever routes it is given, and has no timer: under tokio's paused clock nothing here
//! makes time pass.

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

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port, kept from here on whether anybody listens on it or not.
pub(super) struct Server {
    addr: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// Bound and never listening: while the server is closed, a connection is refused and no socket
    /// that asks for any free port is given this one.
    placeholder: Option<TcpSocket>,
    running: Option<Running>,
}

struct Running {
    /// Dropped, it ends the task, and with that the listener and every connection.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes `addr`, whose port may be 0 for any that is free. Nobody is answered yet.
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

    /// Answers by `routes`. Changes nothing where the server is open.
    pub(super) async fn open<F>(&self, routes: F) -> io::Result<()>
    where
        F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
    {
        let mut state = self.state.lock().await;
        if state.running.is_none() {
            // Where a system does not let two sockets share a port, the placeholder itself listens.
            let socket = bind(self.addr).or_else(|fault| state.placeholder.take().ok_or(fault))?;
            let listener = socket.listen(BACKLOG)?;
            let (stop, stopped) = oneshot::channel();
            let task = tokio::spawn(accept(listener, routes, stopped));
            state.running = Some(Running { stop, task });
        }
        Ok(())
    }

    /// Closes the listener and cuts every connection; both have happened when this returns.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some(Running { stop, task }) = state.running.take() {
            drop(stop);
            // It could fail by a panic alone, and then everything is closed as well.
            let _ = task.await;
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Windows this option would let another process take the port over.
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
                // Out of descriptors, or a client that has gone: others get their turn first.
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
    // A connection that breaks is what half of the tests are about; there is nobody to tell.
    let _ = Builder::new(TokioExecutor::new())
        .http1_only()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}
