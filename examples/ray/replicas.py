"""A bundle under Ray Serve: the application of `trimtab serve`, in as many replicas on as many machines as Ray has.

cd examples/ray && serve run replicas:app bundle=/shared/bundle replicas=2 log=postgresql://user@host/database
"""

from ray import serve

from trimtab.serve.app import application
from trimtab.serve.server import Server
from trimtab.serve.settings import Settings


def app(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` deploys. The bundle's folder has to be there on every machine, and all of them write one log."""
    settings = Settings(bundle=arguments["bundle"], threads=1, log=arguments.get("log"), keys=arguments.get("keys"))

    def replica():
        return application(Server(settings))

    deployment = serve.deployment(
        serve.ingress(replica)(),
        name="trimtab",
        num_replicas=int(arguments.get("replicas", "2")),
        max_ongoing_requests=256,  # rows of requests that come together are computed together
        ray_actor_options={"num_cpus": 1},
    )
    return deployment.bind()
