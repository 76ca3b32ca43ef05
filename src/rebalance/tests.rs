//! The laws of DESIGN §5 as properties, rounds against a simulated ledger, and how long they take.

mod by_hand;
mod laws;
mod rounds;
mod storms;
mod timing;
mod world;
