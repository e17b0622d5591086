//! Servers as processes on this machine.
