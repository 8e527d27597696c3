//! What should be, as a pure function of the world. Every decision carries its reason.

pub mod aggregates;
pub mod bgp;
pub mod blocks;
mod bmp;
pub mod cni;
pub mod desired;
pub mod drain;
pub mod encap;
pub mod ends;
pub mod firewall;
pub mod first_pool;
pub mod forecast;
pub mod foresee;
mod gateways;
pub mod judged;
pub mod mtu;
mod nat;
pub mod needs;
mod neighbours;
pub mod own;
pub mod pods;
pub mod policies;
pub mod report;
pub mod routes;
pub mod services;
pub mod trace;
pub mod why;
