//! The smallest node: one validator in this process orders one transaction.
use probity::{CommitIndex, Config, Keypair, MemoryNetwork, MemoryStorage, Node, PeerId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::single(Keypair::from_seed(&[7; 32]))?;
    let node = Node::builder(config)
        .storage(MemoryStorage::new())
        .transport(MemoryNetwork::new().transport(PeerId::new([1; 32])))
        .start()?;
    let submitted = node.submit_blocking("hello, order".into())?; // checked and queued
    let index = submitted.committed_blocking()?; // in the sequence, durably

    let mut commits = node.commits_after(CommitIndex::GENESIS);
    while let Some(commit) = commits.next_blocking() {
        for transaction in commit.transactions() {
            println!("commit {}: {transaction:?}", commit.index());
        }
        if commit.index() == index {
            break;
        }
    }
    node.stop();
    Ok(())
}
