//! What every transport must pass: a third-party one runs it in one line.
//!
//! ```
//! use probity_transport::conformance::{self, Member};
//! use probity_transport::{MemoryNetwork, PeerId};
//!
//! conformance::check(|| {
//!     let network = MemoryNetwork::new();
//!     move |seat| {
//!         let transport = network.transport(PeerId::new([seat; 32]));
//!         Member { peer: transport.as_peer(), transport: Box::new(transport) }
//!     }
//! });
//! ```
//!
//! Each case asks for a fresh network and seats as many members as it needs. A seat is an identity:
//! seating it again, after its transport was stopped, is a restart; its address may then differ.
//!
//! Cases wait for events with a generous deadline and never sleep. What must *not* happen is
//! watched for a short [`QUIET`] time, so a broken transport may pass such a case by being slow; a
//! sound one never fails.

use std::time::Duration;

use crate::{Peer, Transport};
use cluster::Cluster;

mod bounds;
mod cluster;
mod delivery;
mod lifecycle;
mod membership;

/// How long a case watches for what must not happen.
pub const QUIET: Duration = Duration::from_millis(100);

/// How long a case waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A transport that has not been started, and how the others find it.
pub struct Member {
    /// The transport under test.
    pub transport: Box<dyn Transport>,
    /// Its identity, and its address if it has one.
    pub peer: Peer,
}

/// One named situation.
#[derive(Clone, Copy)]
pub struct Case {
    /// What must hold, as a sentence.
    pub name: &'static str,
    run: fn(&mut Cluster<'_>),
}

/// Every case, in the order of [`check`].
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        delivery::CASES,
        bounds::CASES,
        membership::CASES,
        lifecycle::CASES,
    ]
    .concat()
}

/// Runs every case on the networks that `new_network` makes.
///
/// `new_network` is called once per case; what it returns is called with a seat and binds that
/// identity.
///
/// # Panics
/// When a case fails. Its name is printed before it runs.
pub fn check<Seat>(new_network: impl Fn() -> Seat)
where
    Seat: Fn(u8) -> Member,
{
    for case in cases() {
        println!("conformance: {}", case.name);
        check_one(case, &new_network());
    }
}

/// Runs one case on one fresh network.
///
/// # Panics
/// When the case fails.
pub fn check_one(case: Case, seat: &dyn Fn(u8) -> Member) {
    (case.run)(&mut Cluster::new(seat));
}

/// A table of cases named after their functions.
macro_rules! case_table {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Case] =
            &[$(super::Case { name: stringify!($name), run: $name }),+];
    };
}
use case_table;
