//! The issuer's server, which can be stopped and started again on the same port.
//!
//! There are no timers except in `Fault::Drip`, so this will not advance tokio's paused clock.

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

const BACKLOG: u32 = 1024;

/// A port, which stays reserved while the server does not listen on it.
pub(super) struct Server {
    addr: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// A socket that is bound but doesn't listen. While the server is closed, connections are
    /// refused, and the system won't give the port to a socket that requests any free port.
    placeholder: Option<TcpSocket>,
    running: Option<Running>,
}

struct Running {
    /// Dropping this ends the task, which closes the listener and every connection.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Reserves `addr`, but doesn't listen yet. Port 0 means any free port.
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
            // if two sockets can't share a port on this system, listen on the placeholder itself
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
            // the task can only fail by a panic, which also closes everything
            let _ = task.await;
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // on Windows, this option would let another process use the port
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
                // There are no free descriptors, or the client has gone. Let other tasks run before
                // we try again.
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
    // ignore errors, many tests break connections on purpose
    let _ = Builder::new(TokioExecutor::new())
        .http1_only()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}
