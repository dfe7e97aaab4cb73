//! A redis-server of a test's own, on a unix socket in a temporary folder; ends with the test.

use spanbufd::config::Config;
use spanbufd::store::redis::RedisStore;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    folder: PathBuf,
    child: Child,
}

impl Redis {
    pub fn start(name: &str) -> Redis {
        let folder = std::env::temp_dir().join(format!("spanbufd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.join("redis.sock"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Redis { folder, child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while redis.cli(&["ping"]) != "PONG" {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    pub fn cli(&self, words: &[&str]) -> String {
        let socket = self.folder.join("redis.sock");
        let out = Command::new("redis-cli").arg("-s").arg(socket).args(words).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    pub fn store(&self) -> RedisStore {
        self.store_under("spanbuf")
    }

    pub fn store_under(&self, namespace: &str) -> RedisStore {
        let socket = self.folder.join("redis.sock");
        let redis_url = format!("redis+unix://{}", socket.display());
        let namespace = namespace.to_owned();
        RedisStore::open(&Config { redis_url, namespace, ..Config::default() }).unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
