//! The socket engine (stand-in until the engine is merged).
pub fn start() -> std::io::Result<()> {
    Ok(())
}
pub fn run() {}
pub fn close() {}
pub fn stop() {}
