//! The agent of a node: facts walk in, the world is learned, a plan is made, the kernel and the speaker are told.
//!
//! ```text
//! watch ─▶ world ─▶ plan ─▶ apply        loop 1, `reconcile`
//!             speaker                    loop 2
//! ```
//! `world` and `plan` are pure. `watch`, `apply`, `speaker`, `bfd` and `serve` are the hands.

pub mod api_server;
pub mod apply;
pub mod bfd;
pub mod fact;
pub mod plan;
pub mod reconcile;
pub mod replay;
pub mod run;
pub mod serve;
pub mod speaker;
pub mod watch;
pub mod world;
