"""The files that nobody runs by hand: Dagster instances, containers, the workflow. What they name has to be there."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef

PROJECT = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT / "deploy"
INSTANCES = [PROJECT / "dagster.yaml", DEPLOY / "dagster.yaml", DEPLOY / "dagster-kubernetes.yaml"]
PROGRAMS = {"dagster", "dagster-webserver", "dagster-daemon", "rotoscale"}
"""Commands of what is installed everywhere; `ray` comes with the extra `distributed`."""
DATABASE = {f"DAGSTER_PG_{name}" for name in ("HOST", "PORT", "USER", "PASSWORD", "DB")}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def asked_for(value: Any) -> set[str]:
    """Environment variables that a configuration reads."""
    if isinstance(value, dict):
        if set(value) == {"env"} and isinstance(value["env"], str):
            return {value["env"]}
        return set().union(*(asked_for(one) for one in value.values()))
    return set().union(*(asked_for(one) for one in value)) if isinstance(value, list) else set()


def instance(path: Path, home: Path) -> InstanceRef:
    """The instance that Dagster makes of a file, checked against its schema; nothing is connected to."""
    (home / "dagster.yaml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    dagster_instance_config(str(home))  # raises where a key or a value is wrong
    return InstanceRef.from_dir(str(home))


@pytest.mark.parametrize("path", INSTANCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_dagster_takes_every_instance(path: Path, tmp_path: Path) -> None:
    settings = instance(path, tmp_path).settings
    assert settings["run_monitoring"]["enabled"]
    assert settings["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


def test_an_unknown_key_of_an_instance_is_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((DEPLOY / "dagster.yaml").read_text(encoding="utf-8").replace("run_retries:", "run_tries:"))
    with pytest.raises(dg.DagsterInvalidConfigError, match="run_tries"):
        instance(wrong, tmp_path)


def test_passwords_are_not_handed_to_jobs_of_ray() -> None:
    """Ray lists them for everybody, and Dagster writes them into the log of a run whose worker died."""
    assert "env_vars" not in load(DEPLOY / "dagster.yaml")["run_launcher"]["config"]["ray"]


def test_ray_takes_its_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_ray", reason="the extra `distributed` is not installed")
    monkeypatch.setenv("ROTOSCALE_RAY", "http://head:8265")
    launcher = instance(DEPLOY / "dagster.yaml", tmp_path).run_launcher
    assert (launcher.address, launcher.num_cpus, launcher.num_gpus) == ("http://head:8265", 2, 0)


def test_a_job_of_kubernetes_has_what_its_run_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job as it would be sent to Kubernetes, made by the launcher itself."""
    pytest.importorskip("dagster_k8s", reason="the extra `kubernetes` is not installed")
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job

    monkeypatch.setattr("dagster_k8s.launcher.load_kubernetes_config", lambda **_: None)  # no cluster is asked
    for name in DATABASE - {"DAGSTER_PG_PASSWORD"}:
        monkeypatch.setenv(name, "5432")
    launcher = instance(DEPLOY / "dagster-kubernetes.yaml", tmp_path).run_launcher
    context = K8sContainerContext.create_for_run(dg.DagsterRun("a_job"), launcher, include_run_tags=False)
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(job_image=None, run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    pod = job.spec.template.spec
    (container,) = pod.containers
    has = {variable.name: variable for variable in container.env}
    assert asked_for(load(DEPLOY / "dagster-kubernetes.yaml")["storage"]) == DATABASE
    assert has.keys() >= DATABASE
    assert has["DAGSTER_PG_PASSWORD"].value is None
    assert has["DAGSTER_PG_PASSWORD"].value_from.secret_key_ref.key in (DEPLOY / "dagster-kubernetes.yaml").read_text()
    (mount,) = [one for one in container.volume_mounts if one.name == "data"]
    assert [one.persistent_volume_claim.claim_name for one in pod.volumes if one.name == "data"] == ["rotoscale-data"]
    for name in ("DAGSTER_HOME", "ROTOSCALE_DATA", "ROTOSCALE_FAMILIES"):
        assert Path(has[name].value).is_relative_to(mount.mount_path), name
    assert container.resources.requests == {"cpu": "2", "memory": "16Gi"}


def test_every_service_starts_something_that_is_there() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    scripts = {script.name for script in entry_points(group="console_scripts")}
    for name, service in services.items():
        for dependency in service.get("depends_on", []):
            assert dependency in services, f"{name} depends on {dependency}"
        if "build" not in service:
            continue
        build = service["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        command = service["command"]
        steps = command[2].split("&&") if command[:2] == ["sh", "-c"] else [shlex.join(command)]
        for step in steps:
            program, *arguments = shlex.split(step)
            if program == "python":
                assert arguments[0] == "-m"
                assert (PROJECT / arguments[1] / "__main__.py").is_file()
            elif program == "ray":
                assert arguments[0] == "start"
            elif program not in ("mkdir", "cp"):
                assert program in scripts, f"{name}: {program}"
            for argument in arguments:
                if re.fullmatch(r"[\w./-]+\.(py|yaml)", argument):
                    assert (PROJECT / argument).is_file(), f"{name}: {argument}"


def test_the_daemon_and_the_webserver_find_the_code() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    (location,) = load(DEPLOY / "workspace.yaml")["load_from"]
    server = location["grpc_server"]
    command = services[server["host"]]["command"]
    assert command[:3] == ["dagster", "code-server", "start"]
    assert command[command.index("-p") + 1] == str(server["port"])
    for name in ("daemon", "webserver"):
        assert "deploy/workspace.yaml" in services[name]["command"]
        assert server["host"] in services[name]["depends_on"]


def test_every_service_finds_the_database_and_the_data() -> None:
    compose = load(DEPLOY / "compose.yaml")
    in_image = dict(re.findall(r"(\w+)=(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    assert (PROJECT / Path(in_image["ROTOSCALE_DAGSTER_YAML"]).relative_to("/rotoscale")).is_file()
    wanted = asked_for(load(DEPLOY / "dagster.yaml"))
    for name, service in compose["services"].items():
        if "build" in service:
            assert wanted <= service["environment"].keys() | in_image.keys(), name
            mounted = {volume.rpartition(":/")[2].partition(":")[0] for volume in service["volumes"]}
            assert mounted == {"data", "families"}, name
    assert in_image["ROTOSCALE_DATA"] == "/data"
    assert in_image["ROTOSCALE_FAMILIES"] == "/families"


def test_the_workflow_runs_commands_that_there_are() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    told = "".join((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/contributing.md"))
    used = set()
    for file in (PROJECT / ".github" / "workflows").glob("*.yaml"):
        for job in load(file)["jobs"].values():
            for step in job["steps"]:
                used |= set(re.findall(r"\bmake ([\w-]+)", step.get("run", "")))
    assert {"test", "demo", "test-slow", "test-distributed"} <= used
    for target in used:
        assert target in targets
        assert f"make {target}" in told
