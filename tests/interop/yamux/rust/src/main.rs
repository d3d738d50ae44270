//! The other end for the interop tests: rust's `yamux` on an inherited socket, steered by lines on stdin.
//!
//! It accepts streams and serves the exchange that `../peer/exchange.go` describes. One command is known, and answered by
//! one line of JSON:
//!
//!     call N TOTAL MAX SEED  open N streams at once and run an exchange on each, TOTAL bytes in all, MAX on one

use std::cell::RefCell;
use std::os::unix::io::FromRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::task::Poll;

use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{spawn_local, LocalSet};
use tokio_util::compat::TokioAsyncReadCompatExt;
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

const HALF_CLOSE: u8 = 1;
const RESET: u8 = 2;
const CHUNK: usize = 100_000;

type Failure = Box<dyn std::error::Error>;
type Opening = oneshot::Sender<Result<Stream, ConnectionError>>;

/// Random sizes and payloads, from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn size(&mut self, average: u64, largest: u64) -> u32 {
        let most = match self.next() % 8 {
            0 => return 0,
            1 => largest.min(3 * average + 1),
            _ => largest.min(average / 2 + 1),
        };
        (self.next() % (most + 1)) as u32
    }

    fn payload(&mut self, size: u32) -> Vec<u8> {
        (0..size).map(|_| self.next() as u8).collect()
    }
}

async fn answer(mut stream: Stream) -> Result<(), Failure> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let (request, response) = (number(&head[1..5]), number(&head[5..9]));
    let mut digest = Sha256::new();
    let mut left = request as usize;
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let count = left.min(CHUNK);
        stream.read_exact(&mut buffer[..count]).await?;
        digest.update(&buffer[..count]);
        left -= count;
    }
    if head[0] == HALF_CLOSE && stream.read(&mut buffer[..1]).await? != 0 {
        return Err("no end behind the request".into());
    }
    let response = Random(u64::from(request ^ response)).payload(response);
    stream.write_all(&digest.finalize()).await?;
    stream.write_all(&response).await?;
    stream.write_all(&Sha256::digest(&response)).await?;
    stream.close().await?;
    // A stream that is dropped is reset: the opener is to read all of it first.
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn call(mut stream: Stream, mode: u8, request: u32, response: u32) -> Result<(), Failure> {
    stream.write_all(&[&[mode], &request.to_be_bytes()[..], &response.to_be_bytes()[..]].concat()).await?;
    let request = Random(u64::from(request)).payload(request);
    stream.write_all(&request).await?;
    if mode == HALF_CLOSE {
        stream.close().await?;
    }
    let mut got = vec![0; response as usize + 64];
    stream.read_exact(&mut got).await?;
    if got[..32] != Sha256::digest(&request)[..] {
        return Err("the peer got another request".into());
    }
    if got[got.len() - 32..] != Sha256::digest(&got[32..got.len() - 32])[..] {
        return Err("the response is damaged".into());
    }
    if stream.read(&mut [0]).await? != 0 {
        return Err("no end behind the response".into());
    }
    stream.close().await?;
    Ok(())
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

async fn call_many(open: &mpsc::UnboundedSender<Opening>, words: &[u64]) -> String {
    let (count, total, largest) = (words[0], words[1], words[2]);
    let mut random = Random(words[3]);
    let mut calls = Vec::new();
    for _ in 0..count {
        let mode = (random.next() % 3) as u8;
        let (request, response) = (random.size(total / count, largest), random.size(total / count, largest));
        let (opening, opened) = oneshot::channel();
        let _ = open.send(opening);
        calls.push((mode, spawn_local(async move {
            let stream = opened.await??;
            call(stream, mode, request, response).await
        })));
    }
    let (mut ok, mut reset, mut errors) = (0, 0, Vec::new());
    for (mode, task) in calls {
        match task.await.expect("the call ends") {
            Ok(()) => ok += 1,
            Err(_) if mode == RESET => reset += 1,
            Err(error) => errors.push(format!("{:?}", format!("mode {}: {}", mode, error))),
        }
    }
    format!("{{\"ok\": {}, \"reset\": {}, \"errors\": [{}]}}", ok, reset, errors.join(", "))
}

/// Moves the connection: it opens what is asked for, and serves what the peer opens.
async fn run(mut connection: Connection<tokio_util::compat::Compat<UnixStream>>, mut openings: mpsc::UnboundedReceiver<Opening>) {
    let waiting: Rc<RefCell<Option<Opening>>> = Rc::default();
    poll_fn(|context| loop {
        let mut slot = waiting.borrow_mut();
        if slot.is_none() {
            if let Poll::Ready(opening) = openings.poll_recv(context) {
                *slot = opening;
            }
        }
        if slot.is_some() {
            if let Poll::Ready(stream) = connection.poll_new_outbound(context) {
                let _ = slot.take().expect("it is there").send(stream);
                continue;
            }
        }
        match connection.poll_next_inbound(context) {
            Poll::Ready(Some(Ok(stream))) => {
                spawn_local(async move {
                    let _ = answer(stream).await; // a reset by the opener is as good an end as any
                });
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    })
    .await
}

fn main() {
    let mut descriptor = 3;
    let mut mode = Mode::Server;
    for argument in std::env::args().skip(1) {
        if let Some(value) = argument.strip_prefix("-fd=") {
            descriptor = value.parse().expect("a number");
        } else if argument == "-client=true" {
            mode = Mode::Client;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        // The descriptor is inherited, and nobody else has it.
        let socket = unsafe { StdUnixStream::from_raw_fd(descriptor) };
        socket.set_nonblocking(true).expect("a socket");
        let socket = UnixStream::from_std(socket).expect("a socket").compat();
        let (open, openings) = mpsc::unbounded_channel();
        spawn_local(run(Connection::new(socket, Config::default(), mode), openings));
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().expect("a number")).collect();
            println!("{}", call_many(&open, &words).await);
        }
    });
    runtime.shutdown_background(); // a thread may wait for stdin
}
