"""The Helm chart, rendered by Helm's own engine with good and bad values."""

import functools
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/miroir"
LOADED = helm_python.Chart.load(CHART)
# The parser in C, if PyYAML has it here.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HERE = ROOT / "tests/chart"
GOOD = sorted((HERE / "good").glob("*.yaml"))
NAMESPACE = "prod"
# The oldest that Chart.yaml allows, and the newest of which we have the schemas.
KUBERNETES = ["1.25", kubernetes_validate.latest_version()]
MIROIR = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/miroir"
ENVOY = ROOT / ".tools/envoy/bin/envoy"


def load(path):
    return yaml.safe_load(path.read_text())


def render(values, release="shop", chart=None):
    """All objects of a release, without the notes."""
    texts = (chart or LOADED).render(values, name=release, namespace=NAMESPACE)
    manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
    return [item for text in manifests for item in yaml.load_all(text, LOADER) if item]


def of_kind(objects, *kinds):
    return [item for item in objects if item["kind"] in kinds]


def workloads(objects):
    return of_kind(objects, "StatefulSet", "Deployment")


def name(item):
    return item["metadata"]["name"]


def selects(selector, labels):
    return selector.items() <= labels.items()


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    return pod(workload).get("initContainers", []) + pod(workload)["containers"]


def ports(workload):
    return {port["name"]: port["containerPort"] for part in containers(workload) for port in part.get("ports", [])}


def named(items, suffix):
    [item] = [item for item in items if name(item).endswith(suffix)]
    return item


def workload_of(objects, component):
    return named(workloads(objects), f"-{component}")


def variables(workload):
    return [variable for part in containers(workload) for variable in part.get("env", [])]


def config_file(objects, suffix, file):
    return yaml.safe_load(named(of_kind(objects, "ConfigMap"), suffix)["data"][file])


def on_redis(values):
    return values.get("taskStore", {}).get("backend") == "redis"


def given_keys(values):
    """Each key and password that the values hold or say the Secret of."""
    password = values.get("taskStore", {}).get("redis", {}).get("password")
    return [values["masterKey"], values["adminKey"]] + ([password] if password else [])


def documented_keys():
    """The first column of the first table of docs/configuration.md."""
    table = (ROOT / "docs/configuration.md").read_text().split("## Keys\n\n")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def keys_of(value, prefix=""):
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item, f"{prefix[:-1]}[].")}
    if isinstance(value, dict):
        return {key for name, item in value.items() for key in keys_of(item, f"{prefix}{name}.")}
    return {prefix[:-1]}


def keys_of_schema(schema, prefix=""):
    if "properties" not in schema:
        return {prefix[:-1]}
    return {key for name, item in schema["properties"].items() for key in keys_of_schema(item, f"{prefix}{name}.")}


def of_each_release(test):
    """Runs a test with the values and the objects of each release of good/."""

    @functools.wraps(test)
    def run(self):
        for path in GOOD:
            values = load(path)
            with self.subTest(path.name):
                test(self, values, render(values))

    return run


class Good(unittest.TestCase):
    """Whatever holds of every release."""

    @of_each_release
    def test_kubernetes_takes_every_object(self, values, objects):
        for item in objects:
            if item["apiVersion"].startswith("monitoring.coreos.com/"):
                continue
            for version in KUBERNETES:
                with self.subTest(f"{item['kind']} {name(item)}", version=version):
                    kubernetes_validate.validate(item, version, strict=True)

    @of_each_release
    def test_no_two_objects_have_one_name_and_all_names_are_allowed(self, values, objects):
        names = [(item["kind"], name(item)) for item in objects]
        self.assertEqual(len(names), len(set(names)))
        for kind, text in names:
            self.assertRegex(text, r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")
            if kind == "StatefulSet":
                self.assertLessEqual(len(text), 52)

    @of_each_release
    def test_a_workload_selects_its_own_pods_alone(self, values, objects):
        for workload in workloads(objects):
            selector = workload["spec"]["selector"]["matchLabels"]
            self.assertEqual(
                [name(workload)], [name(other) for other in workloads(objects) if selects(selector, pod_labels(other))]
            )

    @of_each_release
    def test_services_lead_to_ports_that_are_there(self, values, objects):
        for service in of_kind(objects, "Service"):
            selector = service["spec"]["selector"]
            selected = [workload for workload in workloads(objects) if selects(selector, pod_labels(workload))]
            self.assertEqual(len(selected), 1, name(service))
            for port in service["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports(selected[0]), name(service))

    @of_each_release
    def test_statefulsets_are_governed_by_services_that_lead_to_them(self, values, objects):
        services = {name(service): service["spec"] for service in of_kind(objects, "Service")}
        for workload in of_kind(objects, "StatefulSet"):
            service = services[workload["spec"]["serviceName"]]
            self.assertTrue(selects(service["selector"], pod_labels(workload)))
            # Miroir itself sees which nodes are up, and Envoys need a control plane that is not ready too.
            self.assertTrue(service["publishNotReadyAddresses"])

    @of_each_release
    def test_probes_ask_ports_that_are_there(self, values, objects):
        for workload in workloads(objects):
            for part in pod(workload)["containers"]:
                probes = [part[key] for key in ("startupProbe", "livenessProbe", "readinessProbe") if key in part]
                self.assertGreaterEqual(len(probes), 2, name(workload))
                for probe in probes:
                    if "httpGet" in probe:
                        self.assertIn(probe["httpGet"]["port"], ports(workload))

    @of_each_release
    def test_what_is_mounted_is_there_and_all_that_is_there_is_mounted(self, values, objects):
        configs = {name(item) for item in of_kind(objects, "ConfigMap")}
        for workload in workloads(objects):
            volumes = pod(workload).get("volumes", [])
            claims = workload["spec"].get("volumeClaimTemplates", [])
            there = [item["name"] for item in volumes] + [name(item) for item in claims]
            mounted = [mount["name"] for part in containers(workload) for mount in part["volumeMounts"]]
            self.assertEqual(set(there), set(mounted), name(workload))
            self.assertEqual(len(there), len(set(there)), name(workload))
            for volume in volumes:
                self.assertIn(volume.get("configMap", {}).get("name"), configs | {None})

    @of_each_release
    def test_keys_come_from_secrets_that_are_there(self, values, objects):
        secrets = {(name(item), key) for item in of_kind(objects, "Secret") for key in item["stringData"]}
        for key in given_keys(values):
            if "existingSecret" in key:
                secrets.add((key["existingSecret"], key["existingSecretKey"]))
        asked = {}
        for variable in [variable for workload in workloads(objects) for variable in variables(workload)]:
            if "secretKeyRef" in variable.get("valueFrom", {}):
                ref = variable["valueFrom"]["secretKeyRef"]
                asked.setdefault(variable["name"], set()).add((ref["name"], ref["key"]))
        passwords = {"MIROIR_REDIS_PASSWORD"} if len(given_keys(values)) > 2 else set()
        passwords |= {"REDISCLI_AUTH"} if values.get("redis", {}).get("enabled") else set()
        self.assertEqual(asked.keys(), {"MIROIR_MASTER_KEY", "MIROIR_ADMIN_KEY", "MEILI_MASTER_KEY"} | passwords)
        self.assertEqual(asked["MIROIR_MASTER_KEY"], asked["MEILI_MASTER_KEY"])
        self.assertEqual(asked.get("REDISCLI_AUTH", asked.get("MIROIR_REDIS_PASSWORD")), asked.get("MIROIR_REDIS_PASSWORD"))
        self.assertEqual(set.union(*asked.values()), secrets)

    @of_each_release
    def test_keys_are_in_secrets_alone(self, values, objects):
        others = yaml.safe_dump([item for item in objects if item["kind"] != "Secret"])
        for key in given_keys(values):
            self.assertNotIn(key.get("value", "no key"), others)

    @of_each_release
    def test_disruption_budgets_cover_all_of_which_there_are_several(self, values, objects):
        budgets = [item["spec"] for item in of_kind(objects, "PodDisruptionBudget")]
        covered = [
            name(workload)
            for budget in budgets
            for workload in workloads(objects)
            if selects(budget["selector"]["matchLabels"], pod_labels(workload))
        ]
        alone = ["-redis"] + (["-control-plane"] if values.get("controlPlane", {}).get("replicas", 1) == 1 else [])
        wanted = [name(item) for item in workloads(objects) if not name(item).endswith(tuple(alone))]
        enabled = values.get("podDisruptionBudgets", {}).get("enabled", True)
        self.assertCountEqual(covered, wanted if enabled else [])
        self.assertTrue(all(budget["maxUnavailable"] == 1 for budget in budgets))

    @of_each_release
    def test_prometheus_finds_what_it_is_to_ask(self, values, objects):
        monitors = of_kind(objects, "ServiceMonitor")
        self.assertEqual(len(monitors), 2 if values.get("serviceMonitor", {}).get("enabled") else 0)
        for monitor in monitors:
            [endpoint] = monitor["spec"]["endpoints"]
            selector = monitor["spec"]["selector"]["matchLabels"]
            [service] = [
                item for item in of_kind(objects, "Service") if selects(selector, item["metadata"]["labels"])
            ]
            self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])
            self.assertTrue(selects(values["serviceMonitor"]["labels"], monitor["metadata"]["labels"]))

    @of_each_release
    def test_the_configuration_names_the_pods_as_nodes(self, values, objects):
        config = config_file(objects, "-control-plane", "miroir.yaml")
        domain = values.get("clusterDomain", "cluster.local")
        pods = {}
        for workload in of_kind(objects, "StatefulSet"):
            group = pod_labels(workload).get("miroir/group")
            for ordinal in range(workload["spec"]["replicas"] if group else 0):
                host = f"{name(workload)}-{ordinal}.{workload['spec']['serviceName']}.{NAMESPACE}.svc.{domain}"
                pods[f"{group}-{ordinal}"] = {"group": group, "url": f"http://{host}:{ports(workload)['http']}"}
        nodes = {node.pop("id"): node for node in config["nodes"]}
        self.assertEqual(nodes, pods)
        groups = values.get("meilisearch", {}).get("groups", [{"nodes": 3}])
        self.assertEqual(len(pods), sum(group["nodes"] for group in groups))

    @of_each_release
    def test_the_configuration_says_what_the_values_say(self, values, objects):
        config = config_file(objects, "-control-plane", "miroir.yaml")
        self.assertEqual(config["shards"], values.get("shards", 64))
        self.assertEqual(config["replication_factor"], values.get("replicationFactor", 2))
        for key, value in values.get("config", {}).items():
            self.assertEqual(config[key], value)
        self.assertLessEqual(keys_of(config), documented_keys())

    @of_each_release
    def test_the_configuration_agrees_with_the_pods(self, values, objects):
        config = config_file(objects, "-control-plane", "miroir.yaml")
        control_plane, envoy = workload_of(objects, "control-plane"), workload_of(objects, "envoy")
        ours = ports(control_plane)
        self.assertEqual(config["listen"], {key: f"0.0.0.0:{ours[key]}" for key in ("envoy", "admin")})
        self.assertEqual(config["standalone"]["listen"], f"0.0.0.0:{ports(envoy)['http']}")
        mounts = {mount["name"]: mount["mountPath"] for mount in containers(control_plane)[0]["volumeMounts"]}
        for file, volume in (("path", "data"), ("ca_file", "redis-ca")):
            path = config["task_store"].get(file)
            self.assertEqual(path and str(Path(path).parent), mounts.get(volume))
        copy, proxy = containers(envoy)
        [filter_mount] = [mount for mount in proxy["volumeMounts"] if mount["name"] == "filter"]
        self.assertEqual(str(Path(config["filter"]["module"]).parent), filter_mount["mountPath"])
        self.assertEqual(copy["command"][1], config["filter"]["module"])

    @of_each_release
    def test_the_control_plane_asks_the_redis_that_is_meant(self, values, objects):
        store = config_file(objects, "-control-plane", "miroir.yaml")["task_store"]
        self.assertEqual(store["backend"], "redis" if on_redis(values) else "sqlite")
        started = [item for item in workloads(objects) if name(item).endswith("-redis")]
        if not started:
            self.assertEqual(store.get("url"), values["taskStore"]["redis"]["url"] if on_redis(values) else None)
            return
        service = named(of_kind(objects, "Service"), "-redis")
        domain = values.get("clusterDomain", "cluster.local")
        self.assertEqual(store["url"], f"redis://{name(service)}.{NAMESPACE}.svc.{domain}:{ports(started[0])['redis']}/0")
        self.assertTrue(selects(service["spec"]["selector"], pod_labels(started[0])))

    @of_each_release
    def test_control_planes_of_which_there_may_be_several_keep_nothing_and_have_an_address_each(self, values, objects):
        control_plane = workload_of(objects, "control-plane")
        self.assertEqual(control_plane["kind"], "Deployment" if on_redis(values) else "StatefulSet")
        self.assertEqual(control_plane["spec"]["replicas"], values.get("controlPlane", {}).get("replicas", 1))
        address = [item for item in variables(control_plane) if item["name"] == "MIROIR_LISTEN__ADVERTISE"]
        self.assertEqual([item["valueFrom"]["fieldRef"]["fieldPath"] for item in address], ["status.podIP"] * on_redis(values))

    @unittest.skipUnless(MIROIR.exists(), "the control plane is not built")
    @of_each_release
    def test_the_control_plane_takes_the_configuration(self, values, objects):
        config = config_file(objects, "-control-plane", "miroir.yaml")
        given = variables(workload_of(objects, "control-plane"))
        environment = {variable["name"]: variable.get("value", "10.0.0.7") for variable in given}
        # It reads and checks all of the configuration before it opens the store, for which a file is missing.
        said = "`ca_file` is" if on_redis(values) else "`task_store.path` is"
        self.assertIn(said, self.serve(config, environment))
        self.assertIn("configuration:", self.serve({**config, "shards": 0}, environment))

    def serve(self, config, environment):
        with tempfile.TemporaryDirectory() as folder:
            store, missing = dict(config["task_store"]), f"{folder}/none/there"
            if "url" in store:
                # Certificates are for a Redis with TLS.
                store |= {"url": re.sub("^rediss?:", "rediss:", store["url"]), "ca_file": missing}
            else:
                store["path"] = missing
            config = {**config, "task_store": store}
            file = Path(folder) / "miroir.yaml"
            file.write_text(yaml.safe_dump(config))
            command = [MIROIR, "serve", "--config", file]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr

    @of_each_release
    def test_envoy_is_configured_as_the_standalone_one(self, values, objects):
        envoy = config_file(objects, "-envoy", "envoy.yaml")
        metrics = load(CHART / "files/metrics.yaml")
        static = envoy["static_resources"]
        self.assertEqual(static.pop("listeners"), metrics["listeners"])
        self.assertEqual(static["clusters"].pop(), metrics["clusters"][0])
        domain = values.get("clusterDomain", "cluster.local")
        endpoint = static["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        address = endpoint["address"]["socket_address"]
        service_name, rest = address["address"].split(".", 1)
        self.assertEqual(rest, f"{NAMESPACE}.svc.{domain}")
        [service] = [item["spec"] for item in of_kind(objects, "Service") if name(item) == service_name]
        self.assertTrue(selects(service["selector"], pod_labels(workload_of(objects, "control-plane"))))
        self.assertIn(address["port_value"], [port["port"] for port in service["ports"]])
        self.assertTrue(service["publishNotReadyAddresses"])
        # Of several, Envoy has to know the address of each.
        self.assertEqual(service.get("clusterIP") == "None", on_redis(values))
        address["address"] = "control-plane"
        self.assertEqual(envoy, load(ROOT / "envoy/standalone.yaml"))
        deployment = workload_of(objects, "envoy")
        metrics_port = metrics["listeners"][0]["address"]["socket_address"]["port_value"]
        self.assertEqual(metrics_port, ports(deployment)["metrics"])
        self.assertIn("$(POD_NAME)", pod(deployment)["containers"][0]["args"])

    @unittest.skipUnless(ENVOY.exists(), "Envoy is not installed")
    @of_each_release
    def test_envoy_takes_its_configuration_and_arguments(self, values, objects):
        deployment = workload_of(objects, "envoy")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(config_file(objects, "-envoy", "envoy.yaml"), file)
            paths = {"/etc/envoy/envoy.yaml": file.name, "$(POD_NAME)": "shop-envoy-0"}
            args = [paths.get(arg, arg) for arg in pod(deployment)["containers"][0]["args"]]
            done = subprocess.run(
                [ENVOY, *args, "--mode", "validate", "--log-level", "error"], capture_output=True, text=True, timeout=60
            )
            self.assertEqual(done.returncode, 0, done.stderr)

    @of_each_release
    def test_a_pod_has_time_to_drain(self, values, objects):
        for deployment in of_kind(objects, "Deployment"):
            command = pod(deployment)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
            slept = int(re.search(r"sleep (\d+)$", " ".join(command))[1])
            self.assertGreater(pod(deployment)["terminationGracePeriodSeconds"], slept)

    @unittest.skipUnless(shutil.which("redis-server"), "Redis is not installed")
    @of_each_release
    def test_redis_takes_its_configuration_and_password_and_keeps_what_it_acknowledged(self, values, objects):
        if not values.get("redis", {}).get("enabled"):
            return
        [container] = containers(workload_of(objects, "redis"))
        with tempfile.TemporaryDirectory() as folder:
            socket, file = f"{folder}/redis.sock", Path(folder) / "redis.conf"
            config = named(of_kind(objects, "ConfigMap"), "-redis")["data"]["redis.conf"]
            file.write_text(config.replace("/data", folder) + f"\nport 0\nunixsocket {socket}\n")
            command = [part.replace("/etc/redis/redis.conf", str(file)) for part in container["command"]]
            right = {**os.environ, "REDISCLI_AUTH": values["taskStore"]["redis"]["password"]["value"]}

            def ask(*arguments, environment=right):
                cli = ["redis-cli", "-s", socket, *arguments]
                return subprocess.run(cli, env=environment, capture_output=True, text=True, timeout=30)

            with subprocess.Popen(command, env=right, stdout=subprocess.PIPE, text=True) as process:
                try:
                    said = next((line for line in process.stdout if "ready to accept" in line.lower()), None)
                    self.assertIsNotNone(said, "Redis has ended")
                    for probe in ("livenessProbe", "readinessProbe"):
                        [cli, *arguments] = container[probe]["exec"]["command"]
                        self.assertEqual((cli, ask(*arguments).stdout), ("redis-cli", "PONG\n"))
                    self.assertNotEqual(ask("-e", "ping", environment={**right, "REDISCLI_AUTH": "wrong"}).returncode, 0)
                    for key, value in (("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")):
                        self.assertEqual(ask("config", "get", key).stdout.split(), [key, value])
                finally:
                    process.kill()

    @of_each_release
    def test_notes_tell_how_to_add_the_next_node(self, values, objects):
        texts = LOADED.render(values, name="shop", namespace=NAMESPACE)
        [notes] = [text for path, text in texts.items() if path.endswith("NOTES.txt")]
        for group in values.get("meilisearch", {}).get("groups", [{"name": "default", "nodes": 3}]):
            self.assertRegex(
                notes, rf"miroir node add {group['name']}-{group['nodes']} http://\S+:7700 --group {group['name']}\n"
            )

    def test_helm_lint_finds_nothing(self):
        for path in GOOD:
            report = helm_python.lint(CHART, load(path), strict=True, namespace=NAMESPACE)
            self.assertEqual(report["errors"], [])
            self.assertEqual([message for message in report["messages"] if message["severity"] > 1], [])


class Bad(unittest.TestCase):
    """What can't work is refused before anything is installed."""

    def test_bad_values_are_refused_and_the_reason_is_told(self):
        minimal = load(HERE / "good/minimal.yaml")
        for case in load(HERE / "bad.yaml"):
            with self.subTest(str(case)):
                with self.assertRaises(helm_python.HelmError) as refused:
                    render({**minimal, **case.get("values", {})}, case.get("release", "shop"))
                self.assertIn(case["says"], str(refused.exception))

    def test_nothing_given_is_refused(self):
        with self.assertRaises(helm_python.HelmValuesError) as refused:
            render({})
        for key in ("/masterKey/", "/adminKey/", "/image/repository"):
            self.assertIn(key, str(refused.exception))

    def test_a_key_that_is_refused_is_not_shown(self):
        minimal = load(HERE / "good/minimal.yaml")
        redis = lambda settings: {"taskStore": {"backend": "redis", "redis": settings}}
        for values in (
            {"masterKey": {"value": "Tr0ub4dor"}},
            {"masterKey": {"value": "Tr0ub4dor and more of it"}},
            {**redis({"password": {"value": "Tr0ub4dor"}}), "redis": {"enabled": True}},
            redis({"url": "redis://user:Tr0ub4dor@redis:6379", "password": {"existingSecret": "redis"}}),
        ):
            with self.subTest(str(values)):
                with self.assertRaises(helm_python.HelmError) as refused:
                    render({**minimal, **values})
                self.assertNotIn("Tr0ub4dor", str(refused.exception))


class Chart(unittest.TestCase):
    """The chart agrees with the rest of the repository."""

    def test_the_schema_is_a_schema(self):
        Draft7Validator.check_schema(LOADED.schema)

    def test_every_key_of_the_configuration_can_be_set_or_is_set(self):
        by_chart = {"shards", "replication_factor", "listen.envoy", "listen.admin", "filter.module", "filter.source"}
        by_chart |= {"task_store.backend", "task_store.path", "task_store.url", "task_store.ca_file"}
        by_chart |= {"listen.advertise", "standalone.listen"}
        by_chart |= {"nodes[].id", "nodes[].url", "nodes[].group"}
        # Miroir's nodes are the chart's pods, all alike, and their number is seen; keys come by the environment.
        not_needed = {"nodes[].weight", "nodes[].cluster", "replica_groups"}
        not_needed |= {"master_key_file", "admin_key_file", "task_store.password_file"}
        by_values = keys_of_schema(LOADED.schema["properties"]["config"])
        self.assertEqual(by_values | by_chart | not_needed, documented_keys())

    def test_a_package_of_the_chart_makes_the_same(self):
        values = load(HERE / "good/full.yaml")
        with tempfile.TemporaryDirectory() as folder:
            package = helm_python.package(CHART, destination=folder)
            self.assertEqual(render(values, chart=helm_python.Chart.load(package)), render(values))

    def test_versions_are_those_that_the_repository_uses(self):
        chart, values = load(CHART / "Chart.yaml"), load(CHART / "values.yaml")
        cargo = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertEqual(chart["appVersion"], cargo[1])
        services = load(ROOT / "docker-compose.yml")["services"]
        for part, service in (("envoy", "envoy"), ("meilisearch", "meilisearch-a")):
            image = values[part]["image"]
            self.assertEqual(f"{image['repository']}:{image['tag']}", services[service]["image"])


if __name__ == "__main__":
    unittest.main()
