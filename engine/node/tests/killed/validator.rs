//! One validator in a process of its own, with clients that tell its parent what was committed.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use probity::{Config, Node, SubmitError};

/// Clients of each validator, one transaction after the other.
const CLIENTS: u8 = 2;
/// How long a client waits where the validator takes nothing yet.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts a validator on its directory, whatever is in it.
pub(crate) fn start(home: &Path, number: u8) -> Node {
    let mut config = Config::load(home.join(format!("node-{number}.toml"))).unwrap();
    config.tuning.verify_threads = 1;
    let (storage, transport) = (config.open_lmdb().unwrap(), config.bind_quic().unwrap());
    let node = Node::builder(config);
    node.storage(storage).transport(transport).start().unwrap()
}

/// The child: runs until it is killed, or its parent is gone. Standard output has a line for every transaction that was
/// committed here: no line is written before.
pub(crate) fn run(home: &Path, number: u8, start_number: u32) -> ExitCode {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let node = Arc::new(start(home, number));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let node = Arc::clone(&node);
            let mut head = vec![number, client];
            head.extend(start_number.to_le_bytes());
            thread::spawn(move || submit(&node, &head))
        })
        .collect();
    for client in clients {
        if let Err(why) = client.join().unwrap() {
            eprintln!("validator {number}, start {start_number}: {why}");
        }
    }
    ExitCode::FAILURE
}

/// One transaction after the other, until the node stops.
fn submit(node: &Node, head: &[u8]) -> Result<(), SubmitError> {
    for count in 0u32.. {
        let transaction = [head, &count.to_le_bytes()].concat();
        let taken = node.submit_blocking(Bytes::from(transaction.clone()));
        match taken.and_then(|receipt| receipt.committed_blocking()) {
            Ok(_) => {
                let mut line = hex::encode(transaction);
                line.push('\n');
                // One write: a kill leaves a whole line or none that ends.
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
            // Away for too long to know, or not at work yet.
            Err(SubmitError::Unknown | SubmitError::NotMember | SubmitError::Busy { .. }) => {
                thread::sleep(PAUSE);
            }
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
