//! Harness of the end-to-end tests, the demo and the benchmarks: real programs, a real agent, Elastic's own decoder.
//!
//! A test takes its [`turn::Turn`] (one that attaches runs alone, and says by name why it is skipped), starts a target
//! from [`programs`], [`nginx`] or [`postgres`], watches it with [`watch::Watch`], sends requests with [`http`] or a
//! real client, and asks the decoded [`documents::Documents`] what was seen.
//!
//! Everything started is ended by its process id when the value that stands for it is dropped. Nothing sleeps for a
//! fixed time: [`wait::until`] waits for a condition with a deadline.

pub mod agent;
pub mod callee;
pub mod child;
pub mod compared;
pub mod databases;
pub mod decoder;
pub mod documents;
pub mod dotnet;
pub mod express;
pub mod fan;
pub mod go;
pub mod go_web;
pub mod http;
pub mod links;
pub mod load;
pub mod mariadb;
pub mod memcached;
pub mod nginx;
pub mod node;
pub mod place;
pub mod postgres;
pub mod privilege;
pub mod process;
pub mod programs;
pub mod redis;
pub mod residue;
pub mod small_servers;
pub mod stats;
pub mod tds;
pub mod tls;
pub mod turn;
pub mod wait;
pub mod watch;
