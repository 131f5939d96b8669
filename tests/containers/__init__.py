"""The containers of docker-compose.yml, really run: `make test-containers`."""
