//! The image in containers of several kinds: what the agent can do there.

use std::{fs, sync::Arc, time::Duration};

use sandbox_shared::{
    Strategy,
    protocol::{AgentStatus, env, paths},
};
use sandbox_tests::docker_stage::DockerStage;
use sandbox_toolbox::project;
use tokio::time::{sleep, timeout};
use xtask::docker::{AGENT_IMAGE, BUSYBOX_IMAGE};

sandbox_tests::tests![
    strategies_by_what_a_container_may_do,
    adds_one_file_to_its_base,
    an_image_of_ones_own,
];

/// What `wrangler dev` gives to containers where the engine is rootless.
const FUSE: &str = "--device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined";
/// A place that is not an overlay itself, for what overlayfs writes.
const VOLUME: &str = "--volume /var/lib/sandbox-agent";
const USER: &str = "--user 1000 --env SANDBOX_AGENT_STATE_DIR=/tmp/state";

/// Backs a directory up, restores it by each strategy, and says which work.
const TRY: &str = r"
set -e
mkdir -p /tmp/source/d && echo content > /tmp/source/d/file
sandbox-agent create /tmp/source --output /tmp/archive > /tmp/log 2>&1
for strategy in kernel overlay fuse extract; do
  target=/tmp/$strategy
  sandbox-agent restore --strategy $strategy /tmp/archive $target > /tmp/log 2>&1 || continue
  [ $(cat $target/d/file) = content ]
  mv $target/d $target/e
  echo changed > $target/e/file
  [ $(cat $target/e/file) = changed ]
  sandbox-agent unmount $target
  echo $strategy
done
";

/// What works in a container that `docker run` makes with these options.
fn strategies(stage: &DockerStage, image: &str, options: &str) -> String {
    let script = ["--entrypoint", "/bin/sh", image, "-c", TRY];
    let arguments: Vec<_> = ["run", "--rm"]
        .into_iter()
        .chain(options.split_whitespace())
        .chain(script)
        .collect();
    stage.docker(&arguments).replace('\n', " ")
}

/// The table in docs/operations.md.
async fn strategies_by_what_a_container_may_do(stage: Arc<DockerStage>) {
    stage.engine.build_sandbox("sandbox-plain", &[]).unwrap();
    let loops: String = (0..8).map(|n| format!(" --device /dev/loop{n}")).collect();
    let loops = format!("{FUSE} --device /dev/loop-control{loops}");
    for (options, expected) in [
        (format!("{loops} {VOLUME}"), "kernel overlay fuse extract"),
        (format!("{FUSE} {VOLUME}"), "overlay fuse extract"),
        (format!("{FUSE} --shm-size 512m"), "overlay fuse extract"),
        (FUSE.to_owned(), "fuse extract"),
        ("--device /dev/fuse".to_owned(), "extract"),
        (String::new(), "extract"),
        (USER.to_owned(), "extract"),
        (format!("{USER} {FUSE}"), "extract"),
    ] {
        let works = strategies(&stage, "sandbox-plain", &options);
        assert_eq!(works, expected, "{options}");
    }
}

async fn adds_one_file_to_its_base(stage: Arc<DockerStage>) {
    stage.engine.build_sandbox("sandbox-plain", &[]).unwrap();
    let size = |image: &str| -> u64 {
        let size = stage.docker(&["image", "inspect", "--format", "{{.Size}}", image]);
        size.parse().unwrap()
    };
    let added = size("sandbox-plain") - size("debian:bookworm-slim");
    assert_eq!(added, size(AGENT_IMAGE));
    assert!(added < 20_000_000, "{added} bytes");
}

/// The lines that the Dockerfile offers for other images, in one that has no
/// C library, run by somebody who is not root.
async fn an_image_of_ones_own(stage: Arc<DockerStage>) {
    let dockerfile = fs::read_to_string(project::root().join("Dockerfile")).unwrap();
    let offered = |instruction: &str| {
        let lines = dockerfile
            .lines()
            .filter_map(|line| line.strip_prefix("#   "));
        let mut lines = lines.filter(|line| line.starts_with(instruction));
        lines.next().unwrap().to_owned()
    };
    let context = project::target_dir().join("docker-tests/own");
    fs::create_dir_all(&context).unwrap();
    let lines = ["COPY ", "ENTRYPOINT ", "USER ", "ENV "]
        .map(offered)
        .join("\n");
    let content = format!("FROM {BUSYBOX_IMAGE}\n{lines}\n");
    fs::write(context.join("Dockerfile"), content).unwrap();
    stage.docker(&[
        "build",
        "--quiet",
        "--tag",
        "own",
        context.to_str().unwrap(),
    ]);
    assert_eq!(strategies(&stage, "own", ""), "extract");
    let as_root = format!("--user 0 {FUSE}");
    assert_eq!(strategies(&stage, "own", &as_root), "fuse extract");

    let token = format!("{}=secret", env::TOKEN);
    let container = stage.docker(&["run", "--detach", "--env", &token, "own"]);
    let address = "{{.NetworkSettings.IPAddress}}";
    let address = stage.docker(&["inspect", "--format", address, &container]);
    let url = format!("http://{address}:8080{}", paths::STATUS);
    let status = async {
        // It may need a moment until it listens.
        loop {
            let request = stage.client.get(&url).bearer_auth("secret");
            if let Ok(response) = request.send().await {
                break response.json::<AgentStatus>().await.unwrap();
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let status = timeout(Duration::from_secs(60), status).await.unwrap();
    assert_eq!(status.strategies, [Strategy::Extract]);
}
