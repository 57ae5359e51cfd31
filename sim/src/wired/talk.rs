//! Traffic that shows who reaches whom: a service that sends back what it gets, somebody who asks it
//! once, and a connection that goes on until nothing comes back any more. Each says in JSON what
//! happened.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use vouchsafe_net::Clock;

/// How long one answer is awaited by somebody who asks once.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long a live connection may be silent before it is called dead. The answers before came within
/// milliseconds.
const SILENCE: Duration = Duration::from_millis(1500);

/// Pause between two questions of a live connection.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a connection may be idle at the service.
const IDLE: Duration = Duration::from_secs(60);

/// How much is poured at a time, in octets.
const PIECE: usize = 256 * 1024;

/// A small datagram, in octets.
const SMALL: usize = 64;

/// Datagrams between two looks at the time.
const TOGETHER: usize = 64;

/// Who talks.
#[derive(Debug, clap::Subcommand)]
pub enum Talk {
    /// Send back whatever comes.
    Serve {
        /// Where to listen.
        addresses: Vec<SocketAddr>,
    },
    /// Ask once; exit code 1 when nothing comes back.
    Ask {
        /// Whom.
        to: SocketAddr,
    },
    /// Go on asking over one connection until nothing comes back any more.
    Flow {
        /// Whom.
        to: SocketAddr,
    },
    /// Take whatever comes, and tell of each connection how much that was. Datagrams are dropped.
    Take {
        /// Where to listen.
        address: SocketAddr,
    },
    /// Send as much as passes.
    Pour {
        /// Whom.
        to: SocketAddr,
        /// For how long.
        milliseconds: u64,
        /// Small datagrams instead of one connection.
        #[arg(long)]
        datagrams: bool,
    },
}

/// Talks.
///
/// # Errors
/// An address cannot be listened on, or the connection that should live was never made.
pub fn run(talk: &Talk) -> anyhow::Result<ExitCode> {
    match talk {
        Talk::Serve { addresses } => serve(addresses),
        Talk::Ask { to } => Ok(ask(*to)),
        Talk::Flow { to } => flow(*to),
        Talk::Take { address } => take(*address),
        Talk::Pour {
            to,
            milliseconds,
            datagrams,
        } => pour(*to, Duration::from_millis(*milliseconds), *datagrams),
    }
}

fn serve(addresses: &[SocketAddr]) -> anyhow::Result<ExitCode> {
    let listeners: std::io::Result<Vec<TcpListener>> =
        addresses.iter().map(TcpListener::bind).collect();
    let threads: Vec<_> = listeners
        .context("listening")?
        .into_iter()
        .map(|listener| {
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || echo(stream));
                }
            })
        })
        .collect();
    say(&json!({ "ready": addresses }));
    for thread in threads {
        let _ = thread.join();
    }
    Ok(ExitCode::SUCCESS)
}

fn echo(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(IDLE));
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let bytes = buffer.get(..length).unwrap_or_default();
        if stream.write_all(bytes).is_err() {
            return;
        }
    }
}

fn ask(to: SocketAddr) -> ExitCode {
    let asked = TcpStream::connect_timeout(&to, PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        question(&mut stream)
    });
    match asked {
        Ok(()) => {
            say(&json!({ "event": "answered", "by": to }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&json!({ "event": "nothing", "of": to, "why": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn flow(to: SocketAddr) -> anyhow::Result<ExitCode> {
    let mut stream = TcpStream::connect_timeout(&to, IDLE).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let clock = Clock::system();
    let mut answers = 0_u64;
    let mut last = clock.now();
    while question(&mut stream).is_ok() {
        last = clock.now();
        answers += 1;
        if answers == 1 {
            say(&json!({ "event": "flowing", "to": to }));
        }
        std::thread::sleep(PAUSE);
    }
    say(&json!({ "event": "silent", "answers": answers, "last_at": last }));
    Ok(ExitCode::SUCCESS)
}

fn take(address: SocketAddr) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(address).context("listening")?;
    // Held, so that nobody is told that there is none.
    let _datagrams = UdpSocket::bind(address).context("listening")?;
    say(&json!({ "ready": address }));
    for mut stream in listener.incoming().flatten() {
        let _ = stream.set_read_timeout(Some(IDLE));
        let mut buffer = vec![0; PIECE];
        let (begun, mut octets) = (Instant::now(), 0_u64);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            octets += u64::try_from(length).unwrap_or(0);
        }
        let seconds = begun.elapsed().as_secs_f64();
        say(&json!({ "event": "taken", "octets": octets, "seconds": seconds }));
    }
    Ok(ExitCode::SUCCESS)
}

fn pour(to: SocketAddr, time: Duration, datagrams: bool) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    if datagrams {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(to)?;
        let mut sent = 0_u64;
        while begun.elapsed() < time {
            for _ in 0..TOGETHER {
                // One that finds no room is not sent.
                sent += u64::from(socket.send(&[0; SMALL]).is_ok());
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        say(&json!({ "event": "poured", "datagrams": sent, "seconds": seconds }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut stream = TcpStream::connect_timeout(&to, IDLE).context("connecting")?;
    let piece = vec![0; PIECE];
    while begun.elapsed() < time {
        stream.write_all(&piece)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn question(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0; 1])
}

fn say(line: &Value) {
    let mut output = std::io::stdout().lock();
    // Whoever stopped listening does not want to know.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
