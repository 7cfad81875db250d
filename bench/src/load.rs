//! Generates the maximum load: each connection sends the next request as soon as it gets a
//! response. One thread serves all connections and never sleeps: if it did, the server would pay
//! for waking it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::connection::Connection;

/// The duration after which a measurement ends early.
const ENOUGH: Duration = Duration::from_secs(1);
/// The duration without a response after which the server counts as hung.
const HUNG: Duration = Duration::from_secs(30);

/// Open connections, and the epoll instance that watches them.
pub struct Load {
    connections: Vec<Connection>,
    answered: Epoll,
}

impl Load {
    pub fn open(server: SocketAddr, connections: usize) -> Self {
        let answered = Epoll::new(EpollCreateFlags::empty()).unwrap();
        let open = |i| {
            let connection = Connection::open(server);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, i as u64);
            answered.add(connection.socket(), event).unwrap();
            connection
        };
        let connections = (0..connections).map(open).collect();
        Self {
            connections,
            answered,
        }
    }

    /// Sends `requests` in turn: `count` of them, or as many as fit into a second. Each must be
    /// answered with `status`. Returns the number of responses.
    pub fn run(&mut self, requests: &[Vec<u8>], count: usize, status: u16) -> usize {
        self.run_for(ENOUGH, requests, count, status)
    }

    /// Like [`run`](Self::run), but always sends `count` requests, however long that takes.
    pub fn run_slowly(&mut self, requests: &[Vec<u8>], count: usize, status: u16) {
        self.run_for(HUNG, requests, count, status);
    }

    fn run_for(
        &mut self,
        enough: Duration,
        requests: &[Vec<u8>],
        count: usize,
        status: u16,
    ) -> usize {
        let mut requests = requests.iter().cycle().take(count);
        let mut waiting = 0;
        for (connection, request) in self.connections.iter_mut().zip(&mut requests) {
            connection.ask(request);
            waiting += 1;
        }
        let began = Instant::now();
        let mut answered = 0;
        let mut events = [EpollEvent::empty(); 64];
        while waiting > 0 {
            let late = began.elapsed();
            assert!(late < HUNG, "the server does not answer");
            let ready = self.answered.wait(&mut events, EpollTimeout::ZERO).unwrap();
            for event in &events[..ready] {
                let connection = &mut self.connections[usize::try_from(event.data()).unwrap()];
                let Some(answer) = connection.hears() else {
                    continue;
                };
                assert_eq!(answer, status, "the server's answer");
                answered += 1;
                match requests.next().filter(|_| late < enough) {
                    Some(request) => connection.ask(request),
                    None => waiting -= 1,
                }
            }
        }
        answered
    }
}
