//! How fast two QUIC transports on loopback are: `cargo run --release --example throughput`.
//!
//! Both ends run in this process, each with its own I/O thread, and the receiver is a thread too:
//! on a machine with few cores they compete, as the nodes of a test cluster do.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use probity_transport::{
    Event, InboxLimits, InboxReceiver, Lane, NetworkKey, Peer, QuicOptions, QuicTransport,
    Transport, inbox,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    for mtu_max in [1452, 4096] {
        let options = QuicOptions {
            mtu_max,
            ..QuicOptions::default()
        };
        println!("mtu_max {mtu_max}");
        for _ in 0..3 {
            report_stream("256 KiB", 256 * 1024, 4_000, &options)?;
        }
        report_stream("  1 KiB", 1024, 600_000, &options)?;
        report_round_trips(&options)?;
        report_mesh(&options)?;
    }
    Ok(())
}

/// One transport and its receiver.
struct End {
    transport: QuicTransport,
    receiver: InboxReceiver,
}

/// `count` transports, each linked to every other.
fn mesh(count: u8, options: &QuicOptions) -> Result<Vec<End>, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bind = |number| {
        QuicTransport::bind(
            address,
            NetworkKey::from_seed([number; 32]),
            options.clone(),
        )
    };
    let transports = (1..=count).map(bind).collect::<Result<Vec<_>, _>>()?;
    let peers: Vec<Peer> = transports
        .iter()
        .map(|transport| Peer {
            id: transport.id(),
            address: transport.local_address(),
        })
        .collect();
    let mut ends = Vec::new();
    for transport in transports {
        let (inbox, receiver) = inbox(InboxLimits::default());
        transport.set_peers(&peers);
        transport.start(inbox);
        ends.push(End {
            transport,
            receiver,
        });
    }
    for end in &ends {
        for _ in 1..count {
            next(&end.receiver);
        }
    }
    Ok(ends)
}

fn next(receiver: &InboxReceiver) -> Event {
    let mut events = Vec::new();
    receiver.recv_batch(&mut events, 1, Duration::from_secs(20));
    events.pop().expect("an event within 20 s")
}

/// Sends `count` frames, holding back when the receiver is a window behind, as an engine would.
fn report_stream(
    name: &str,
    bytes: usize,
    count: usize,
    options: &QuicOptions,
) -> Result<(), Failure> {
    let ends = mesh(2, options)?;
    let target = ends[1].transport.id();
    let frame = Bytes::from(vec![7; bytes]);
    let window = (4 * 1024 * 1024 / bytes).min(512);
    let (acknowledge, acknowledged) = std::sync::mpsc::channel();
    let cpu_before = cpu_seconds();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let receiver = &ends[1].receiver;
        scope.spawn(move || {
            let mut events = Vec::new();
            let mut received = 0;
            while received < count {
                receiver.recv_batch(&mut events, 256, Duration::from_secs(20));
                received += events.len();
                let _ = acknowledge.send(events.len());
                events.clear();
            }
        });
        let mut under_way = 0;
        for _ in 0..count {
            while under_way >= window {
                under_way -= acknowledged.recv().expect("the receiver runs");
            }
            ends[0].transport.send(target, Lane::Blocks, frame.clone());
            under_way += 1;
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu_before;
    let gigabytes = (bytes * count) as f64 / 1e9;
    println!(
        "  {name} frames: {:6.0} MB/s {:8.0} frames/s, CPU {:.2} s/GB both ends",
        gigabytes * 1e3 / seconds,
        count as f64 / seconds,
        cpu / gigabytes,
    );
    Ok(())
}

fn report_round_trips(options: &QuicOptions) -> Result<(), Failure> {
    let ends = mesh(2, options)?;
    let frame = Bytes::from(vec![7; 1024]);
    let mut micros = Vec::new();
    std::thread::scope(|scope| {
        let echo = &ends[1];
        scope.spawn(move || {
            while let Event::Frame { peer, lane, frame } = next(&echo.receiver) {
                echo.transport.send(peer, lane, frame);
            }
        });
        for _ in 0..10_000 {
            let began = Instant::now();
            ends[0]
                .transport
                .send(ends[1].transport.id(), Lane::Control, frame.clone());
            next(&ends[0].receiver);
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
        ends[0].transport.stop();
    });
    micros.sort_by(f64::total_cmp);
    println!(
        "    1 KiB round trip: p50 {:.0} us, p99 {:.0} us",
        micros[5_000], micros[9_900]
    );
    Ok(())
}

/// Four nodes, each broadcasting 256 KiB frames as fast as the slowest peer of all takes them.
fn report_mesh(options: &QuicOptions) -> Result<(), Failure> {
    const FRAMES: usize = 400;
    let ends = mesh(4, options)?;
    let ids: Vec<_> = ends.iter().map(|end| end.transport.id()).collect();
    let frame = Bytes::from(vec![7; 256 * 1024]);
    let cpu_before = cpu_seconds();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for end in &ends {
            let (ids, frame) = (&ids, &frame);
            scope.spawn(move || broadcast_and_count(end, ids, frame, FRAMES));
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let sent = (4 * 3 * FRAMES * frame.len()) as f64 / 1e6;
    println!(
        "  4 nodes, all to all: {:.0} MB/s in all, {:.0} MB/s made by each node, CPU {:.2} s/GB",
        sent / seconds,
        sent / seconds / 12.0,
        (cpu_seconds() - cpu_before) / (sent / 1e3)
    );
    Ok(())
}

/// Sends one frame to everybody for each round received from everybody, eight rounds ahead.
fn broadcast_and_count(end: &End, ids: &[probity_transport::PeerId], frame: &Bytes, frames: usize) {
    let mut events = Vec::new();
    let mut received = 0;
    let mut sent = 0;
    while received < 3 * frames {
        while sent < frames && 3 * sent < received + 24 {
            for id in ids.iter().filter(|id| **id != end.transport.id()) {
                end.transport.send(*id, Lane::Blocks, frame.clone());
            }
            sent += 1;
        }
        end.receiver
            .recv_batch(&mut events, 64, Duration::from_secs(20));
        received += events.len();
        events.clear();
    }
}

/// User and system time of this process so far, on Linux; elsewhere 0.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
