//! A wire between two programs that a test holds in its hand.
//!
//! Programs listen on port 0 and get another port each time they start; a relay keeps one address
//! for what is behind it. And it sees *turns*: each time the caller has spoken and the other side
//! begins to answer is one. At a turn of the test's choosing a [`Relay::trap`] acts before a byte of
//! the answer passes: the other side has done its work, and the caller does not know. That is the
//! worst moment to lose power, and it needs neither sleeping nor luck to hit.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done when a trap springs.
type Action = Box<dyn FnOnce() + Send>;

/// A relay; lives as long as the test.
pub(crate) struct Relay {
    addr: Option<SocketAddr>,
    shared: Arc<Shared>,
}

struct Shared {
    behind: Mutex<Option<Behind>>,
    wires: Mutex<Vec<Wire>>,
    trap: Mutex<Option<(u64, Action)>>,
    /// Turns since the trap was set.
    turns: AtomicU64,
    connections: AtomicU64,
}

#[derive(Clone)]
enum Behind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Relay {
    /// Listens on a port of its own, with nothing behind it yet.
    pub(crate) fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(None));
        let here = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                near.set_nodelay(true).unwrap();
                here.join(Wire::Tcp(near));
            }
        });
        Self {
            addr: Some(addr),
            shared,
        }
    }

    /// Listens on a socket file, for the one at `behind`.
    pub(crate) fn unix(socket: &Path, behind: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let shared = Arc::new(Shared::new(Some(Behind::Unix(behind.to_owned()))));
        let here = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                here.join(Wire::Unix(near));
            }
        });
        Self { addr: None, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.addr.unwrap().port()
    }

    /// From now on this is behind it.
    pub(crate) fn leads_to(&self, addr: SocketAddr) {
        *self.shared.behind.lock().unwrap() = Some(Behind::Tcp(addr));
    }

    /// Nothing is behind it any more: who calls is hung up on. Returns what was there.
    pub(crate) fn interrupt(&self) -> Interrupted {
        let behind = self.shared.behind.lock().unwrap().take();
        self.cut();
        Interrupted(behind)
    }

    /// What was there is there again.
    pub(crate) fn resume(&self, interrupted: Interrupted) {
        *self.shared.behind.lock().unwrap() = interrupted.0;
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for wire in self.shared.wires.lock().unwrap().drain(..) {
            wire.close();
        }
    }

    /// At turn `turn`, counted from 0 from now on: `action`, then all connections end and not a
    /// byte of that answer passes.
    pub(crate) fn trap(&self, turn: u64, action: impl FnOnce() + Send + 'static) {
        self.cut();
        let mut trap = self.shared.trap.lock().unwrap();
        self.shared.turns.store(0, Ordering::SeqCst);
        *trap = Some((turn, Box::new(action)));
    }

    /// Takes the trap away; whether it has sprung.
    pub(crate) fn has_sprung(&self) -> bool {
        self.shared.trap.lock().unwrap().take().is_none()
    }

    /// Connections that were ever made through it.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

/// What was behind an interrupted relay.
pub(crate) struct Interrupted(Option<Behind>);

impl Shared {
    fn new(behind: Option<Behind>) -> Self {
        Self {
            behind: Mutex::new(behind),
            wires: Mutex::default(),
            trap: Mutex::default(),
            turns: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    fn join(self: &Arc<Self>, near: Wire) {
        let behind = self.behind.lock().unwrap().clone();
        let far = match behind {
            Some(Behind::Tcp(addr)) => TcpStream::connect(addr).ok().map(|stream| {
                stream.set_nodelay(true).unwrap();
                Wire::Tcp(stream)
            }),
            Some(Behind::Unix(path)) => UnixStream::connect(path).ok().map(Wire::Unix),
            None => None,
        };
        let Some(far) = far else {
            near.close();
            return;
        };
        self.connections.fetch_add(1, Ordering::SeqCst);
        let spoken = Arc::new(Mutex::new(false));
        self.wires.lock().unwrap().extend([near.twin(), far.twin()]);
        self.carry(near.twin(), far.twin(), Arc::clone(&spoken), Way::There);
        self.carry(far, near, spoken, Way::Back);
    }

    fn carry(self: &Arc<Self>, mut from: Wire, mut to: Wire, spoken: Arc<Mutex<bool>>, way: Way) {
        let here = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                match way {
                    Way::There => *spoken.lock().unwrap() = true,
                    Way::Back => {
                        let is_turn = std::mem::take(&mut *spoken.lock().unwrap());
                        if is_turn && here.turn() {
                            break;
                        }
                    }
                }
                if to.write(&buffer[..length]).is_err() {
                    break;
                }
            }
            from.close();
            to.close();
        });
    }

    /// Counts a turn; whether the trap sprang.
    fn turn(&self) -> bool {
        let action = {
            let mut trap = self.trap.lock().unwrap();
            let turn = self.turns.fetch_add(1, Ordering::SeqCst);
            trap.take_if(|(wanted, _)| *wanted == turn)
        };
        let Some((_, action)) = action else {
            return false;
        };
        action();
        for wire in self.wires.lock().unwrap().drain(..) {
            wire.close();
        }
        true
    }
}

#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

impl Wire {
    fn twin(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}
