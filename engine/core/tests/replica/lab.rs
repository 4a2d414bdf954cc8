//! Several replicas driven by hand, and links that deliver at once, later or never. The last validators of the
//! committee may be played by the test.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use probity_core::{Block, BlockRef, Committee, Link, Message, Round, Time, ValidatorIndex};

use crate::hand::{Hand, Takes, message};

/// A message under way: from, to, what.
pub(crate) type Frame = (u16, u16, Message);

/// What becomes of a message on its way out.
pub(crate) type Lie = fn(Message) -> Option<Message>;

pub(crate) struct Lab {
    pub(crate) hands: Vec<Hand>,
    /// Links whose messages vanish.
    pub(crate) lost: BTreeSet<(u16, u16)>,
    /// Links whose messages wait until they are released.
    pub(crate) stopped: BTreeSet<(u16, u16)>,
    /// How often each replica asked for blocks that it has collected.
    pub(crate) grounding_requests: Vec<usize>,
    /// One whose messages are changed or kept on their way out.
    pub(crate) liar: Option<(u16, Lie)>,
    /// Own blocks of lower rounds are not sent again.
    pub(crate) replays_from: Round,
    /// What came for validators that the test plays.
    pub(crate) inbox: Vec<Frame>,
    waiting: Vec<Frame>,
    queue: VecDeque<Frame>,
    now: Time,
}

impl Lab {
    /// Replicas for validators `0..honest`, linked with each other and with `linked`.
    pub(crate) fn new(committee: &Arc<Committee>, honest: u16, linked: &[u16]) -> Self {
        let hand = |me| Hand::new(committee, me, Takes::All);
        let mut lab = Self {
            hands: (0..honest).map(hand).collect(),
            lost: BTreeSet::new(),
            stopped: BTreeSet::new(),
            grounding_requests: vec![0; usize::from(honest)],
            liar: None,
            replays_from: Round::GENESIS,
            inbox: Vec::new(),
            waiting: Vec::new(),
            queue: VecDeque::new(),
            now: Time(1_000_000),
        };
        for me in 0..honest {
            let peers = (0..honest).chain(linked.iter().copied());
            for peer in peers.filter(|peer| *peer != me) {
                lab.hands[usize::from(me)].link(peer, Link::Up);
            }
        }
        lab.settle();
        lab
    }

    pub(crate) fn honest(&self) -> Range<u16> {
        0..u16::try_from(self.hands.len()).unwrap()
    }

    pub(crate) fn hand(&self, node: u16) -> &Hand {
        &self.hands[usize::from(node)]
    }

    /// Sends a block in the name of its author.
    pub(crate) fn play(&mut self, block: &Block, to: impl IntoIterator<Item = u16>) {
        for to in to {
            self.send((block.author().0, to, message(block)));
        }
        self.settle();
    }

    pub(crate) fn send(&mut self, mut frame: Frame) {
        if let Some((_, lie)) = self.liar.filter(|(liar, _)| *liar == frame.0) {
            match lie(frame.2) {
                Some(message) => frame.2 = message,
                None => return,
            }
        }
        if round_of(&frame.2).is_some_and(|round| round < self.replays_from) {
            return;
        }
        let link = (frame.0, frame.1);
        if let Message::Fetch(refs) | Message::FetchHistory { refs, .. } = &frame.2 {
            let asker = usize::from(frame.0);
            if let Some(hand) = self.hands.get(asker) {
                let gc_round = hand.status().gc_round;
                let collected = refs.iter().any(|reference| reference.round <= gc_round);
                self.grounding_requests[asker] += usize::from(collected);
            }
        }
        if self.lost.contains(&link) {
            return;
        }
        if self.stopped.contains(&link) {
            self.waiting.push(frame);
        } else {
            self.queue.push_back(frame);
        }
    }

    /// Lets everything that waits go on.
    pub(crate) fn release(&mut self) {
        self.stopped.clear();
        self.queue.extend(self.waiting.drain(..));
        self.settle();
    }

    /// Delivers until nothing is under way.
    pub(crate) fn settle(&mut self) {
        loop {
            for me in self.honest() {
                for (to, message) in std::mem::take(&mut self.hands[usize::from(me)].sent) {
                    self.send((me, to.0, message));
                }
            }
            let Some((from, to, message)) = self.queue.pop_front() else {
                break;
            };
            match self.hands.get_mut(usize::from(to)) {
                Some(hand) => hand.hear(ValidatorIndex(from), &message),
                None => self.inbox.push((from, to, message)),
            }
        }
    }

    /// Goes to the next deadline of any replica.
    pub(crate) fn advance(&mut self) {
        let deadlines = self.hands.iter().map(|hand| hand.replica.next_deadline());
        let due = deadlines.flatten().min().expect("some replica waits");
        self.now = due.max(self.now.plus_us(1));
        let now = self.now;
        self.hands.iter_mut().for_each(|hand| hand.tick(now));
        self.settle();
    }

    /// Goes on until these replicas proposed in `round`.
    ///
    /// # Panics
    /// When they do not within ten seconds of virtual time.
    pub(crate) fn run_to(&mut self, nodes: &Range<u16>, round: u32) {
        let limit = self.now.plus_us(10_000_000);
        let behind = |lab: &Self| {
            let mut nodes = nodes.clone();
            nodes.any(|node| lab.hand(node).status().round < Round(round))
        };
        while behind(self) {
            assert!(
                self.now < limit,
                "halted below {round}: {}",
                self.describe()
            );
            self.advance();
        }
    }

    fn describe(&self) -> String {
        let status = |hand: &Hand| format!("\n{:?}", hand.status());
        self.hands.iter().map(status).collect()
    }

    /// The block that a replica broadcast in a round.
    pub(crate) fn own(&self, node: u16, round: u32) -> Option<&Arc<Block>> {
        let mut own = self.hand(node).own.iter();
        own.rfind(|block| block.round() == Round(round))
    }

    /// What all replicas broadcast in a round.
    pub(crate) fn round(&self, nodes: impl IntoIterator<Item = u16>, round: u32) -> Vec<BlockRef> {
        let own = nodes.into_iter().filter_map(|node| self.own(node, round));
        own.map(|block| block.reference()).collect()
    }

    /// Asserts that the sequences are prefixes of each other; returns the length of the shortest.
    pub(crate) fn agreed(&self) -> usize {
        let longest = self.hands.iter().max_by_key(|hand| hand.commits.len());
        for hand in &self.hands {
            for (a, b) in hand.commits.iter().zip(&longest.unwrap().commits) {
                assert_eq!(a.digest, b.digest, "commit {} differs", a.index());
            }
        }
        let lengths = self.hands.iter().map(|hand| hand.commits.len());
        lengths.min().unwrap()
    }
}

/// The round of a block that its author sends.
fn round_of(message: &Message) -> Option<Round> {
    let Message::Block(bytes) = message else {
        return None;
    };
    let round = bytes.get(42..46)?.try_into().ok()?;
    Some(Round(u32::from_le_bytes(round)))
}
