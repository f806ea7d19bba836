//! luaclib-client
