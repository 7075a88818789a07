"""What is shown of containers is true: ports, probes, metrics and options exist, and the files fit their schemas."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving
import tiny_bundle
import yaml
from benchmarks import environments
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from trimtab.serve.drift import GAUGES
from trimtab.serve.endpoints import every
from trimtab.serve.server import Server
from trimtab.serve.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "examples" / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "trimtab.json").read_text(encoding="utf-8"))
ROW = {"review": "A lovely little film.", "stars": "many", "shop": "north"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with serving.client(bundle) as made:
        yield made


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def instructions(name: str = "Dockerfile") -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its words."""
    lines = (line for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def containers() -> dict[str, dict[str, Any]]:
    """The containers of the manifests that run the server."""
    deployment, runtime = read("kubernetes/deployment.yaml"), read("kserve/runtime.yaml")
    return {
        "kubernetes": deployment["spec"]["template"]["spec"]["containers"][0],
        "kserve": runtime["spec"]["containers"][0],
    }


def words() -> dict[str, list[str]]:
    """What each container gives `trimtab serve`."""
    (given,) = [json.loads(told) for name, told in instructions() if name == "CMD"]
    return {"docker": given, **{name: one["args"] for name, one in containers().items()}}


# ------------------------------------------------------------------------------------------------- ports and probes


@pytest.mark.parametrize("where", ["docker", "kubernetes", "kserve"])
def test_the_options_that_a_container_gives_are_those_of_the_command(where: str, tmp_path: Path) -> None:
    given = [*words()[where][1:-1], "0"]  # the last one is the port
    command = [sys.executable, "-m", "trimtab", "serve", str(tmp_path / "none"), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "no such folder" in done.stderr) == (2, True), done.stderr


def test_every_port_is_the_one_that_the_server_listens_at() -> None:
    ports = {name: int(given[given.index("--port") + 1]) for name, given in words().items()}
    exposed = [int(told) for name, told in instructions() if name == "EXPOSE"]
    declared = {name: one["ports"][0]["containerPort"] for name, one in containers().items()}
    scraped = read("prometheus/prometheus.yaml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert exposed == [ports["docker"]]
    assert declared == {name: ports[name] for name in declared}
    assert scraped == [f"server:{ports['docker']}"]
    assert read("compose.yaml")["services"]["server"]["ports"] == [f"127.0.0.1:8000:{ports['docker']}"]
    assert read("kubernetes/service.yaml")["spec"]["ports"][0]["targetPort"] == "http"
    template = read("kubernetes/deployment.yaml")["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(ports["kubernetes"])


def test_probes_ask_addresses_that_answer_without_a_key(bundle: Path) -> None:
    given = every(Server(Settings(str(bundle), threads=1)))
    anyone = {endpoint.path for endpoint in given if endpoint.method == "GET" and endpoint.access == "open"}
    probes = {
        probe["httpGet"]["path"]
        for one in containers().values()
        for name, probe in one.items()
        if name.endswith("Probe")
    }
    (health,) = [told for name, told in instructions() if name == "HEALTHCHECK"]
    asked = {*probes, *re.findall(r"127\.0\.0\.1:8000(/\w+)", health)}
    assert len(probes) >= 4
    assert asked <= anyone


# --------------------------------------------------------------------------------------------------- who may do what


def test_containers_run_as_a_user_without_rights() -> None:
    users = [told for name, told in instructions() if name == "USER"]
    server = read("compose.yaml")["services"]["server"]
    pod = read("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["securityContext"]
    assert users == ["10001:10001"]
    assert (server["cap_drop"], server["read_only"]) == (["ALL"], True)
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]) == (True, 10001, 10001)
    for one in containers().values():
        own = one["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})


def test_the_image_is_made_of_the_torch_free_core() -> None:
    (extras,) = [told for name, told in instructions() if name == "ARG"]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {
        source for name, told in instructions() if name == "COPY" and "--" not in told for source in sources(told)
    }
    assert extras == "EXTRAS=serve"
    assert copied == {line[1:] for line in ignored if line.startswith("!")}


def sources(told: str) -> list[str]:
    return told.split()[:-1]


# ---------------------------------------------------------------------------------------------------------- metrics


@pytest.fixture(scope="module")
def measured(client: TestClient) -> dict[str, set[str]]:
    """The samples that /metrics has after some requests, with their labels."""
    for row in (ROW, {"reviwe": "x"}):
        client.post("/predict", json=row)
    families = text_string_to_metric_families(client.get("/metrics").text)
    counted = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    return counted | {name: set(labels) for name, (_, labels) in GAUGES.items()}  # those of a server that keeps a log


def queries() -> list[str]:
    """What the dashboard and the alerts ask Prometheus for."""
    drawn = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for group in read("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
    return [*drawn, *rules]


def test_every_metric_and_label_that_is_asked_for_exists(measured: dict[str, set[str]]) -> None:
    asked = queries()
    assert len(asked) > 12
    names = {name for query in asked for name in re.findall(r"\btrimtab_\w+", query)}
    labels = {label for query in asked for label in re.findall(r"(\w+)=~?\"", query)}
    grouped = {one for query in asked for group in re.findall(r"by \(([^)]*)\)", query) for one in group.split(", ")}
    assert names <= measured.keys()
    assert labels | grouped <= {label for found in measured.values() for label in found} | {"job"}


def test_the_dashboard_is_one_that_grafana_can_lay_out() -> None:
    source = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    panels = DASHBOARD["panels"]
    squares = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 24
    assert len({panel["id"] for panel in panels}) == len(panels) >= 8
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    folder = read("grafana/provisioning/dashboards/trimtab.yaml")["providers"][0]["options"]["path"]
    mounts = read("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{folder}:ro" in mounts


# ----------------------------------------------------------------------------------- schemas, in a place of their own


@pytest.fixture(scope="module")
def checkers() -> Path:
    """The folder with the programs that know the schemas."""
    return environments.python("deploy").parent


def check(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.29", "1.32"])
def test_kubernetes_manifests_fit_the_schemas_of_kubernetes(checkers: Path, version: str) -> None:
    manifests = [path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"]
    assert len(manifests) == 4
    for path in manifests:
        check(checkers / "kubernetes-validate", "--strict", "-k", version, path)


@pytest.mark.slow
def test_the_kustomization_can_be_built() -> None:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine")
    check("kubectl", "kustomize", DEPLOY / "kubernetes")


@pytest.mark.slow
def test_the_dockerfiles_have_nothing_that_hadolint_warns_of(checkers: Path) -> None:
    check(checkers / "hadolint", DEPLOY / "Dockerfile", DEPLOY / "bundle.Dockerfile")


@pytest.mark.slow
def test_the_compose_file_fits_the_compose_specification(checkers: Path) -> None:
    text = re.sub(r"\$\{\w+(?::\?[^}]*|:-[^}]*)?\}", "/there", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    code = "import sys, compose_spec; compose_spec.PyCompose.from_yaml(sys.argv[1]).validate()"
    check(checkers / "python", "-c", code, text)


@pytest.mark.slow
def test_prometheus_takes_its_files() -> None:
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine (Debian: apt-get install prometheus)")
    check("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runtime", "reviews"])
def test_kserve_manifests_have_the_fields_of_kserve(name: str, models: dict[str, dict[str, str]]) -> None:
    manifest = read(f"kserve/{name}.yaml")
    version = manifest["apiVersion"].rpartition("/")[2].capitalize()
    strange = list(unknown(manifest, f"{version}{manifest['kind']}", models))
    assert strange == []


@pytest.mark.slow
def test_the_container_of_the_kserve_runtime_is_one_of_kubernetes(checkers: Path, tmp_path: Path) -> None:
    spec = {"containers": read("kserve/runtime.yaml")["spec"]["containers"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trimtab"}, "spec": spec}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    check(checkers / "kubernetes-validate", "--strict", "-k", "1.32", tmp_path / "pod.yaml")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The fields of KServe's models with their types, out of its Python package, of which nothing is run."""
    folder = tmp_path_factory.mktemp("kserve")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "kserve==0.21.0", "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        files = [name for name in wheel.namelist() if name.startswith("kserve/models/v1")]
        return dict(part for name in files for part in fields(wheel.read(name).decode()))


def fields(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            tables = {
                part.targets[0].id: ast.literal_eval(part.value)
                for part in node.body
                if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)
            }
            yield node.name, {key: tables["openapi_types"][own] for own, key in tables["attribute_map"].items()}


def unknown(value: Any, kind: str, models: dict[str, dict[str, str]], where: str = "") -> Iterator[str]:
    """The places of a value where it is not of its kind; what is no kind of KServe's own is not looked at."""
    if listed := re.fullmatch(r"list\[(\w+)\]", kind):
        for place, one in enumerate(value):
            yield from unknown(one, listed[1], models, f"{where}[{place}]")
    elif kind in models:
        for key, one in value.items():
            if key in models[kind]:
                yield from unknown(one, models[kind][key], models, f"{where}.{key}")
            else:
                yield f"{where}.{key}"
    elif kind in ("str", "int", "bool"):
        yield from [] if type(value).__name__ == kind else [f"{where}: no {kind}"]


# ------------------------------------------------------------------------------------------------- without a daemon


@pytest.mark.slow
def test_what_the_image_is_made_of_serves_a_bundle_without_torch(bundle: Path, tmp_path: Path) -> None:
    """The steps of the Dockerfile, in a virtual environment."""
    source = tmp_path / "source"
    for name, told in instructions():
        if name == "COPY" and "--" not in told:
            for part in sources(told):
                copy(ROOT / part, source / told.split()[-1])
    check(sys.executable, "-m", "venv", tmp_path / "trimtab")
    pip = [tmp_path / "trimtab" / "bin" / "python", "-m", "pip", "--quiet"]
    check(*pip, "install", "--constraint", source / "constraints.txt", f"{source}[serve]")
    installed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
    assert not {line.partition("==")[0] for line in installed.splitlines()} & {
        "torch",
        "transformers",
        "pandas",
        "scipy",
    }
    given = [str(bundle), "--host", "127.0.0.1", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [tmp_path / "trimtab" / "bin" / "trimtab", "serve", *given],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    try:
        assert server.stderr is not None
        address = re.search(r"http://\S+", server.stderr.readline())
        assert address is not None
        body = json.dumps(ROW).encode()
        request = urllib.request.Request(f"{address[0]}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert set(json.load(response)["answer"]) == {"mood", "confidence"}
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


def copy(source: Path, target: Path) -> None:
    """As COPY does."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
