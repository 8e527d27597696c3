//! The lab: machines as network namespaces, real routers beside them, and margay between the two.
//!
//! `make lab` and every end-to-end test use this same code. A lab is known by its prefix (`lab`): namespaces
//! `lab-n1`, `lab-tor`, `lab-pod-n1-a` …, and everything else below `/run/margay/lab`. Labs with different prefixes do
//! not see each other, so tests run side by side, with the same addresses.

pub mod bench;
pub mod bgp_bench;
pub mod bridged;
pub mod cni;
pub mod ctl;
pub mod guest;
pub mod handmade;
pub mod interop;
pub mod ip;
pub mod lab;
pub mod monitor;
pub mod netns;
pub mod objects;
pub mod packages;
pub mod pipe;
pub mod plan;
pub mod pods;
pub mod policy_bench;
pub mod prober;
pub mod process;
pub mod programs;
pub mod reach;
pub mod router;
pub mod traffic;
pub mod trial;
pub mod tshark;
pub mod two_pods;
pub mod wait;
