//! luaclib-skynet
