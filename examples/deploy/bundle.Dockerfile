# The server with a bundle in it, which is how replicas get the same one. With the bundle's folder as the context:
#   docker build -f examples/deploy/bundle.Dockerfile -t registry.example.com/reviews:1 runs/reviews/bundle
ARG SERVER=trimtab-serve:1
FROM $SERVER
COPY --chown=10001:10001 . /bundle
