//! Every kernel program loads and fires on this machine's kernel, and says exactly what happened.
//!
//! A child process (`actor.c`) makes system calls on command; what the programs say of it is compared with what it did.

mod bytes;
mod connections;
mod descriptors;
mod loading;
mod probes;
mod processes;
mod propagation;
mod seen;
mod stage;
mod tools;
