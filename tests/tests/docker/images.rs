//! The image in containers of several kinds: what the agent can do there.

use std::sync::Arc;

use sandbox_tests::docker_stage::DockerStage;
use xtask::docker::BUSYBOX_IMAGE;

sandbox_tests::tests![
    strategies_by_what_a_container_may_do,
    without_a_c_library,
    size_of_the_agent
];

/// Backs a directory up and restores it by each strategy, and says which work.
const TRY: &str = r"
set -e
mkdir -p /tmp/source/d && echo content > /tmp/source/d/file
sandbox-agent create /tmp/source --output /tmp/archive 2> /dev/null
for strategy in kernel overlay fuse extract; do
  target=/tmp/$strategy
  sandbox-agent restore --strategy $strategy /tmp/archive $target > /tmp/log 2>&1 || { echo $strategy: $(cat /tmp/log) >&2; continue; }
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
    let options = options.split_whitespace();
    let arguments: Vec<_> = ["run", "--rm"]
        .into_iter()
        .chain(options)
        .chain(script)
        .collect();
    stage.docker(&arguments).replace('\n', " ")
}

fn build(stage: &DockerStage, name: &str, arguments: &[&str]) -> String {
    stage.engine.build_sandbox(name, arguments).unwrap();
    name.to_owned()
}

async fn strategies_by_what_a_container_may_do(stage: Arc<DockerStage>) {
    let image = build(&stage, "sandbox-plain", &[]);
    for (options, expected) in [("", "extract")] {
        println!("{options:60} {}", strategies(&stage, &image, options));
        let _ = expected;
    }
    let volume = "--volume /var/lib/sandbox-agent";
    let fuse = "--device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined";
    let loops = "--device /dev/loop-control --device /dev/loop0 --device /dev/loop1 --device /dev/loop2 --device /dev/loop3 --device /dev/loop4 --device /dev/loop5 --device /dev/loop6 --device /dev/loop7";
    let user = "--user 1000 --env SANDBOX_AGENT_STATE_DIR=/tmp/state";
    for options in [
        format!("{fuse} {loops}"),
        format!("{fuse} {loops} {volume}"),
        fuse.to_owned(),
        format!("{fuse} {volume}"),
        format!("{fuse} --shm-size 512m"),
        "--device /dev/fuse".to_owned(),
        user.to_owned(),
        format!("{user} {fuse}"),
    ] {
        println!("{options:60} {}", strategies(&stage, &image, &options));
    }
}

async fn without_a_c_library(stage: Arc<DockerStage>) {
    let base = format!("BASE={BUSYBOX_IMAGE}");
    let image = build(&stage, "sandbox-on-busybox", &[&base]);
    let fuse = "--device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined";
    println!("{}", strategies(&stage, &image, fuse));
}

async fn size_of_the_agent(stage: Arc<DockerStage>) {
    build(&stage, "sandbox-plain", &[]);
    let size = |image: &str| -> u64 {
        stage
            .docker(&["image", "inspect", "--format", "{{.Size}}", image])
            .parse()
            .unwrap()
    };
    println!("{} {}", size("sandbox-plain"), size("debian:bookworm-slim"));
}
