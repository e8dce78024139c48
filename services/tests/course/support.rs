//! A server of one dialect, and a script that speaks to it byte by byte.

use std::{convert::Infallible, sync::Arc, time::Duration};

use framing::{
    Connection, Raw,
    serve::{Address, BoxError, Drain, Handler, Peer},
};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use services::{
    Clock, Request, Response, Unsupported,
    audit::MemoryAudit,
    course::{CourseCaller, CourseError, CourseServer, Dialect, ExecForm, ExecOptions},
    exec::{Allow, Exec, Limits, Script, ScriptedSpawner},
    files::{Files, MemoryStore},
    login::{
        AnonymousLayer, Authenticator, HashCost, Identity, LoginLayer, MemoryAccounts, Password,
        Right,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::timeout,
};
use tower::{Layer, ServiceBuilder, make::Shared, util::BoxCloneSyncService};

/// Waits for something that must not take long, but for the longest time limit in here.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(40), future)
        .await
        .expect("it comes to an end")
}

pub(crate) const WELCOME: &str = "登录成功";
pub(crate) const WRONG: &str = "用户名或者密码错误";

/// What stands behind a server, from a request to its response.
pub(crate) type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// The server before it is started.
pub(crate) type Server = CourseServer<Shared<Stack>>;

/// What a stack is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) spawner: ScriptedSpawner,
    pub(crate) store: MemoryStore,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) limits: Limits,
    pub(crate) max_tries: u32,
    pub(crate) clock: Clock,
}

impl Parts {
    pub(crate) fn new() -> Self {
        Self {
            spawner: ScriptedSpawner::new(),
            store: MemoryStore::new(),
            audit: Arc::default(),
            limits: Limits::new(),
            max_tries: 3,
            clock: Clock::new(),
        }
    }

    /// A program that writes this.
    pub(crate) fn program(mut self, name: &str, script: Script) -> Self {
        self.spawner = self.spawner.program(name, script);
        self
    }

    fn inside(
        &self,
    ) -> impl tower::Service<
        services::Authed<Request>,
        Response = Response,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static {
        let allow = Allow::new(["echo", "uname", "head"]).unwrap();
        let exec = Exec::new(self.spawner.clone(), allow)
            .shell(true)
            .limits(self.limits.clone())
            .audit(self.audit.clone());
        ServiceBuilder::new()
            .layer(exec.into_layer())
            .layer(Files::new(self.store.clone()).into_layer())
            .layer(self.clock.clone().into_layer())
            .service(Unsupported)
    }

    /// Everybody is somebody with these rights.
    pub(crate) fn everybody(&self, rights: &[Right]) -> Stack {
        let identity = Identity::new("everybody", rights.iter().copied());
        Stack::new(AnonymousLayer::new(identity).layer(self.inside()))
    }

    /// Behind a login: alex with `dsb`, who may all; poor with `dsb`, who may nothing.
    pub(crate) fn login(&self) -> Stack {
        let all = [Right::Exec, Right::Read, Right::Write];
        let password = || Password::new("dsb").unwrap();
        let accounts = MemoryAccounts::new()
            .with("alex", password(), all)
            .unwrap()
            .with("poor", password(), [])
            .unwrap()
            .with("亅", password(), all)
            .unwrap();
        let authenticator = Authenticator::new(accounts).hash_cost(HashCost::new(8, 1, 1).unwrap());
        let login = LoginLayer::new(authenticator)
            .max_tries(self.max_tries)
            .audit(self.audit.clone());
        Stack::new(login.layer(self.inside()))
    }
}

/// Commands in this form, in UTF-8.
pub(crate) fn exec(form: ExecForm) -> Dialect {
    let options = ExecOptions {
        form,
        ..ExecOptions::default()
    };
    Dialect::Exec(options)
}

/// A server of which each connection can be watched to its end.
pub(crate) struct Running {
    server: Server,
    pub(crate) drain: Drain,
    pub(crate) buffer: usize,
}

impl Running {
    /// Speaks this over `stack`.
    pub(crate) fn new(stack: Stack, dialect: Dialect) -> Self {
        Self::of(stack, |server| server.then(dialect))
    }

    pub(crate) fn of(stack: Stack, set: impl FnOnce(Server) -> Server) -> Self {
        Self {
            server: set(CourseServer::new(Shared::new(stack))),
            drain: Drain::new(),
            buffer: 1 << 20,
        }
    }

    pub(crate) fn connect(&self) -> Peered {
        let (ours, theirs) = tokio::io::duplex(self.buffer);
        let connection: Connection<_, framing::BoxFraming> =
            Connection::new(theirs, Box::new(Raw::default()));
        let peer = Peer::new(Address::Memory(1), Address::Memory(0));
        let ended = self.server.handle(connection, peer, self.drain.clone());
        Peered {
            io: ours,
            ended: tokio::spawn(ended),
        }
    }
}

/// A script's socket, and how the server's side of it ends.
pub(crate) struct Peered {
    pub(crate) io: DuplexStream,
    ended: JoinHandle<Result<(), BoxError>>,
}

impl Peered {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.io.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Exactly these bytes come.
    pub(crate) async fn sees(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut read = vec![0; bytes.len()];
        within(self.io.read_exact(&mut read)).await.unwrap();
        let shown = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .chars()
                .take(200)
                .collect::<String>()
        };
        assert!(
            read == bytes,
            "{:?} and not {:?}",
            shown(&read),
            shown(bytes)
        );
    }

    /// Nothing comes for a while.
    pub(crate) async fn sees_nothing(&mut self) {
        let mut byte = [0];
        let read = timeout(Duration::from_millis(200), self.io.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?} {byte:?}");
    }

    /// So many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut read = vec![0; count];
        within(self.io.read_exact(&mut read)).await.unwrap();
        read
    }

    /// An object with its length.
    pub(crate) async fn object(&mut self) -> Value {
        let length = self.take(4).await.try_into().unwrap();
        let object = self.take(i32::from_ne_bytes(length) as usize).await;
        serde_json::from_slice(&object).unwrap()
    }

    pub(crate) async fn ask(&mut self, object: Value) -> Value {
        self.send(counted(object.to_string())).await;
        self.object().await
    }

    /// The server closes; what it said before.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        within(self.io.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    /// The server closes without another byte.
    pub(crate) async fn sees_the_end(&mut self) {
        assert_eq!(self.rest().await, b"");
    }

    /// How the server's side ended.
    pub(crate) async fn ended(self) -> Result<(), BoxError> {
        drop(self.io);
        within(self.ended).await.expect("no panic")
    }

    /// Why the server gave the connection up.
    pub(crate) async fn error(self) -> CourseError {
        let error = self.ended().await.expect_err("it is not a clean end");
        *error.downcast().expect("an error of the dialects")
    }
}

/// `struct.pack('i', len(bytes)) + bytes`
pub(crate) fn counted(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = (bytes.len() as i32).to_ne_bytes().to_vec();
    out.extend(bytes);
    out
}

pub(crate) fn md5(bytes: impl AsRef<[u8]>) -> String {
    let digest = Md5::digest(bytes.as_ref());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file's header as scripts write it.
pub(crate) fn header(name: &str, body: &[u8]) -> Value {
    json!({ "filename": name, "filesize": body.len(), "md5": md5(body) })
}

/// Our client, and the other end of its connection.
pub(crate) fn caller(dialect: Option<Dialect>) -> (services::client::Client, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (CourseCaller::new(ours, dialect).unwrap().into(), theirs)
}
